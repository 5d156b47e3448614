"""Keys of all that is computed and cached: the one place that forms them.

A key is the hash of everything that decides what was computed: the values that its maker names, the libraries that
compute it, and this package's own code.

The code and the libraries are not listed by hand. From the module that computes, all imports within the package are
followed, those inside functions included, those for type checkers alone not, and the sources of the modules that are
met this way are hashed: a change of the report leaves a stylised clip as it is, a change of the resizing does not. An
`__init__.py` counts where something is imported from it. `sdbench.assets` is not followed: what comes from outside is
in a key by its own hash. The libraries are those that these modules import, and what those require in turn. Each is in
the key with its version, with the hashes of the files that it was installed from, which differ from build to build, and
with what it says of its build itself: CUDA and cuDNN of torch, FFmpeg of PyAV, the build of OpenCV.

What this does not see: a file of an installed library that was changed behind the installer's back (but for the one
that is imported first), and a system library that a library loads and does not tell of.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

_ROOT = Path(__file__).parents[2]
"""The folder in which the package lies."""

_PACKAGE = Path(__file__).parents[1].name

_NOT_FOLLOWED = f"{_PACKAGE}.assets"

_DECIDE_NOTHING = frozenset(
    {"filelock", "platformdirs", "pooch", "pydantic", "pydantic_core", "pytest", "ray", "requests", "rich", "tabulate"}
)
"""Libraries that fetch, lock, check, show and spread work. Any that is not named here is taken to move numbers."""


class Key(str):
    """A key that `cache_key` made.

    Attributes:
        kind: of what it stands for.
        software: the libraries and the code that compute it, in words.
    """

    __slots__ = ("kind", "software")
    kind: str
    software: str


@dataclass(frozen=True)
class Library:
    """A library that is installed, or is not.

    Attributes:
        name: of its distribution.
        version: as its metadata says; "not installed".
        build: hash of what was installed, of what it requires, and of what it says of its build.
    """

    name: str
    version: str
    build: str


def identity_of(*decisive: object) -> str:
    """64 hexadecimal digits that stand for all of `decisive`: whatever has the same ones is the same.

    It says what something is, whoever computes with it; what is computed has a key: see `cache_key`.

    Args:
        decisive: plain values and frozen records whose `repr` says all that matters of them.
    """
    return hashlib.sha256(repr(decisive).encode()).hexdigest()


def cache_key(kind: str, *decisive: object, code: object) -> Key:
    """The key of something that is computed and cached.

    Args:
        kind: what it is, in words, several of it: no two kinds share a key.
        decisive: plain values and frozen records, whose `repr` says all that matters of them, that decide it beside
            the software.
        code: what computes it: a module's name, a function, a class, or an object with the objects that it is made of;
            or several of these, in a tuple.
    """
    modules = frozenset(modules_of(code))
    key = Key(identity_of(kind, decisive, _software(modules)))
    libraries, source = _software(modules)
    key.kind = kind
    key.software = ", ".join([*(f"{known.name} {known.version}" for known in libraries), f"{_PACKAGE} {source[:12]}"])
    return key


def versions(code: object) -> tuple[tuple[str, str], ...]:
    """The libraries that compute, with their versions, and the hash of the code: what must not differ between machines.

    Args:
        code: as of `cache_key`.
    """
    libraries, source = _software(frozenset(modules_of(code)))
    return (*((known.name, known.version) for known in libraries if known.build), (_PACKAGE, source))


def modules_of(code: object) -> Iterator[str]:
    """The names of the modules in which something that computes is defined; the same one may come twice."""
    seen: set[int] = set()
    todo = [code]
    while todo:
        found = todo.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, str):
            yield found
        elif isinstance(found, (tuple, list, set, frozenset)):
            todo += found
        elif isinstance(found, ModuleType):
            yield found.__name__
        elif isinstance(found, type):
            yield from (each.__module__ for each in found.__mro__ if each is not object)
        elif isinstance(found, functools.partial):
            todo += [found.func, *filter(_is_made_here, (*found.args, *found.keywords.values()))]
        elif inspect.ismethod(found):
            todo.append(found.__self__)
        elif inspect.isfunction(found):
            yield found.__module__
            todo += filter(_is_made_here, map(_content, found.__closure__ or ()))
        else:
            todo += [type(found), *filter(_is_made_here, getattr(found, "__dict__", {}).values())]


def _content(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _is_made_here(value: object) -> bool:
    """Whether a value may compute by code of this package: one of its objects, or a function."""
    of = value if inspect.isfunction(value) or isinstance(value, type) else type(value)
    if inspect.ismethod(value) or isinstance(value, functools.partial):
        return True
    return str(of.__module__).startswith(f"{_PACKAGE}.")


@functools.cache
def _software(modules: frozenset[str]) -> tuple[tuple[Library, ...], str]:
    """The libraries behind some modules, sorted, and the hash of the sources of this package among them."""
    sources, imported = followed(modules)
    libraries = {library(name) for name in imported if name not in _DECIDE_NOTHING}
    return tuple(sorted(libraries, key=lambda known: known.name)), identity_of(sorted(sources.items()))


def followed(modules: Iterable[str], root: Path = _ROOT) -> tuple[dict[str, str], set[str]]:
    """The modules of this package that some modules lead to, each with the hash of its source, and what they import.

    Args:
        modules: where to begin; those of other packages are themselves imported.
        root: the folder in which the package lies.

    Returns:
        name of a module -> hash of its source; and the other packages, by the names that they are imported by.
    """
    sources: dict[str, str] = {}
    others: set[str] = set()
    todo = list(modules)
    while todo:
        name = _imported_as(todo.pop())
        package = name.partition(".")[0]
        if name in sources or name == _NOT_FOLLOWED or name.startswith(f"{_NOT_FOLLOWED}."):
            continue
        if package != _PACKAGE:
            if package not in sys.stdlib_module_names and package != "__main__":
                others.add(package)
            continue
        path = _source(name, root)
        if path is None:  # a name within a module, or a folder without one
            continue
        sources[name], imports = _read(path)
        for module, member in imports:
            inner = f"{module}.{member}"
            todo.append(inner if member and _source(inner, root) else module)
    return sources, others


def _imported_as(module: str) -> str:
    """The name by which others import a module: a program that runs has another one for itself."""
    if module != "__main__":
        return module
    program = sys.modules[module]
    if program.__spec__ is not None:
        return program.__spec__.name
    return Path(getattr(program, "__file__", None) or module).stem


def _source(module: str, root: Path) -> Path | None:
    place = root.joinpath(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


@functools.cache
def _read(path: Path) -> tuple[str, frozenset[tuple[str, str]]]:
    """The hash of a source, and what it imports: a module, and what of it, or ""."""
    content = path.read_bytes()
    return hashlib.sha256(content).hexdigest(), frozenset(_imports(ast.parse(content)))


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            todo += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from ((each.name, "") for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, each.name) for each in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called == "import_module" and isinstance(node.args[0].value, str):
                yield node.args[0].value, ""
        todo += ast.iter_child_nodes(node)


@functools.cache
def library(module: str) -> Library:
    """The library that is imported by this name.

    Args:
        module: the name, without a dot.
    """
    try:
        origin = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        origin = None
    if origin is None:
        return Library(module, "not installed", "")
    found = distributions_of(module)
    first = Path(origin.origin) if origin.origin else None
    told = [
        sorted(_installed(each) for each in found),
        hashlib.sha256(first.read_bytes()).hexdigest() if first is not None and first.is_file() else "",
        _BUILDS[module](importlib.import_module(module)) if module in _BUILDS else "",
    ]
    versions = sorted({each.version for each in found}) or ["unknown"]
    name = found[0].metadata["Name"] if found else module
    return Library(str(name).lower(), ", ".join(versions), identity_of(told))


def distributions_of(module: str) -> list[metadata.Distribution]:
    """What is installed that is imported by this name: as a rule one, of the same name or another."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        return [metadata.distribution(module)]
    inside = re.compile(rf"^{re.escape(module)}(/|\.py,)", re.MULTILINE)
    return [
        each
        for each in metadata.distributions()
        if inside.search(each.read_text("RECORD") or "") or module in (each.read_text("top_level.txt") or "").split()
    ]


def _installed(distribution: metadata.Distribution) -> tuple[str, ...]:
    """The versions of a distribution and of all that it requires, and the hash of the files that came with each.

    An installer's record names each file with its hash. What differs from one machine to the next is left out: compiled
    modules, scripts, which name their interpreter, and what the installer says of itself.
    """
    todo, seen = [distribution], dict[str, str]()
    while todo:
        each = todo.pop()
        name = str(each.metadata["Name"]).lower()
        if name in seen or name.replace("-", "_") in _DECIDE_NOTHING:
            continue
        lines = sorted(
            line
            for line in (each.read_text("RECORD") or "").splitlines()
            if ",sha256=" in line and not re.match(r"\.\.|/|[^,]*\.dist-info/|[^,]*\.pyc,", line)
        )
        seen[name] = f"{name} {each.version} {hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"
        for requirement in each.requires or ():
            if "extra ==" not in requirement and (wanted := re.match(r"[\w.-]+", requirement)):
                with contextlib.suppress(metadata.PackageNotFoundError):
                    todo.append(metadata.distribution(wanted[0]))
    return tuple(sorted(seen.values()))


def _of_torch(torch: Any) -> object:
    told = [line for line in torch.__config__.show().splitlines() if "capability usage" not in line]  # the processor's
    return torch.__version__, torch.version.cuda, torch.backends.cudnn.version(), told


def _of_pillow(pillow: Any) -> object:
    features = importlib.import_module(f"{pillow.__name__}.features")
    return [(name, features.version(name)) for name in sorted(features.get_supported())]


_BUILDS: Mapping[str, Callable[[Any], object]] = {
    "PIL": _of_pillow,
    "av": lambda av: (av.__version__, sorted(av.library_versions.items())),
    "cv2": lambda cv2: cv2.getBuildInformation(),
    "numpy": lambda numpy: {**numpy.show_config(mode="dicts"), "SIMD Extensions": "the processor's"},
    "onnxruntime": lambda onnxruntime: (onnxruntime.__version__, onnxruntime.get_build_info()),
    "scipy": lambda scipy: scipy.show_config(mode="dicts"),
    "torch": _of_torch,
}
"""What libraries say of their own builds: what they were compiled with, and what they load."""
