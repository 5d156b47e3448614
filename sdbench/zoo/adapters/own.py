"""A function of the user's own, which returns a module or an `sdbench.Network`: "my_model.py:build"."""

from __future__ import annotations

import hashlib
import importlib
import importlib.machinery
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import torch
from torch import nn

from sdbench.assets.store import AssetStore
from sdbench.base.errors import InputError, SdbenchError, some, unknown_name
from sdbench.base.files import sha256_of
from sdbench.networks.network import Network
from sdbench.networks.reading import VideoNetwork
from sdbench.video.feed import Feed
from sdbench.zoo.adapters import fresh, untrained_note
from sdbench.zoo.adapters.told import among, told
from sdbench.zoo.asked import Asked

_FILES: dict[str, ModuleType] = {}
"""Name -> the module that was made of a file of the user's; no two files have one name."""

_BESIDE: dict[str, ModuleType] = {}
"""Name -> each module that these imported from files beside them."""

_NO_WEIGHTS = "it loads its weights itself"


def network_of(name: str, asked: Asked, store: AssetStore) -> Network:  # noqa: ARG001 - every prefix is asked alike
    """What a function of the user's own returns, fed and read as asked.

    Args:
        name: FILE.py:FUNCTION, or PACKAGE.MODULE:FUNCTION of one that can be imported.
        asked: `feed` and `layers` go before what a returned `Network` says.
        store: of no use here: the function has its own weights.

    Raises:
        InputError: there is no such file or function, it raises, it returns something else, no layers are named for a
            module that does not list its own, or parameters of an untrained network cannot be made anew.
    """
    where, _, function = name.rpartition(":")
    asked.without(
        "a function of your own",
        trained_on=_NO_WEIGHTS,
        weights=_NO_WEIGHTS,
        revision=_NO_WEIGHTS,
    )
    of_file = where.endswith(".py")
    module = _from_file(Path(where)) if of_file else _imported(where)
    build = getattr(module, function, None)
    if not callable(build):
        own = vars(module).items()
        known = [key for key, value in own if getattr(value, "__module__", None) == module.__name__ and callable(value)]
        raise unknown_name(f"function of {where}", function, known)
    shown = f"{Path(where).name}:{function}" if of_file else name
    if asked.untrained is None:
        made = _called(build, shown, module)
    else:
        made = _untrained(build, shown, module, asked.untrained)
    notes = () if asked.untrained is None else (untrained_note(asked.untrained),)
    network = _network(made, shown, asked)
    return replace(network, assets={**network.assets, **_sources(module)}, notes=(*network.notes, *notes))


def by_value() -> tuple[ModuleType, ...]:
    """The modules that other processes cannot import by their names: what is pickled of them must hold their code."""
    return tuple(module for name, module in {**_BESIDE, **_FILES}.items() if sys.modules.get(name) is module)


def _network(made: nn.Module | Network, name: str, asked: Asked) -> Network:
    if isinstance(made, Network):
        network = replace(made, feed=asked.fed(made.feed), layers=asked.layers or made.layers)
        return told(network, among(made.read))
    if asked.layers is None and not isinstance(made, VideoNetwork):
        raise InputError(
            f"{name} returns a module that does not list its layers: say which to read, such as --layers 'blocks.*'; "
            f"`sdbench layers {name}` lists what can be read"
        )
    return Network(made, asked.fed(Feed()), name, asked.layers)


def _called(build: Callable[[], Any], name: str, module: ModuleType) -> nn.Module | Network:
    """What the function returns.

    Raises:
        InputError: it raises, or returns something else than a module or a `Network`.
    """
    try:
        with _importing_from(_folder_of(module)):
            made = build()
    except SdbenchError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{name}() raises {_said(error, module)}") from error
    if not isinstance(made, (nn.Module, Network)):
        raise InputError(f"{name}() returns {type(made).__name__}; expected a torch.nn.Module or an sdbench.Network")
    return made


def _untrained(build: Callable[[], Any], name: str, module: ModuleType, seed: int) -> nn.Module | Network:
    """What the function returns, every parameter made anew by the module that it belongs to.

    Raises:
        InputError: there are parameters that no module makes anew.
    """
    made: list[nn.Module | Network] = []

    def built() -> nn.Module:
        made.append(_called(build, name, module))
        network = made[0].module if isinstance(made[0], Network) else made[0]
        torch.manual_seed(seed)
        _reset(network, name)
        return network

    fresh(built, seed)
    return made[0]


def _reset(network: nn.Module, name: str) -> None:
    parameters = dict(network.named_parameters())
    with torch.no_grad():
        # What still holds NaN afterwards was not made anew, whatever the modules say that they reset.
        for parameter in parameters.values():
            if parameter.is_floating_point() or parameter.is_complex():
                parameter.fill_(torch.nan)
        # The whole after its parts: it may make theirs anew in its own way.
        for part in reversed(list(network.modules())):
            reset = getattr(part, "reset_parameters", None) or getattr(part, "_reset_parameters", None)
            if callable(reset):
                _called_of(part, reset, name)
        left = [key for key, parameter in parameters.items() if bool(torch.isnan(parameter).any())]
    if left:
        raise InputError(
            f"{name} cannot be measured untrained: nothing makes {some(left)} anew; give the module that holds "
            f"{'them' if len(left) > 1 else 'it'} a method reset_parameters()"
        )


def _called_of(part: nn.Module, reset: Callable[[], Any], name: str) -> None:
    try:
        reset()
    except Exception as error:
        raise InputError(
            f"{name} cannot be measured untrained: to make a {type(part).__name__} anew raises "
            f"{type(error).__name__}: {error}"
        ) from error


class _FromSource(importlib.machinery.SourceFileLoader):
    """Compiles what is in the file now: what Python kept of it may be of a file of the same size and second."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _from_file(path: Path) -> ModuleType:
    """The module in a file, under a name of its own.

    Raises:
        InputError: there is no such file, or it does not import.
    """
    path = path.expanduser().resolve()
    if not path.is_file():
        raise InputError(f"no file at {path}; expected one of Python with a function that returns a torch.nn.Module")
    name = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_FromSource(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    _forget_elsewhere(path.parent)
    sys.modules[name] = module
    try:
        with _importing_from(path.parent):
            spec.loader.exec_module(module)
    except SdbenchError:
        raise
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(f"{path} does not import: it raises {_said(error, module)}") from error
    _FILES[name] = module
    return module


def _imported(name: str) -> ModuleType:
    """A module that can be imported, from the current folder too.

    Raises:
        InputError: there is none of this name, or it does not import.
    """
    try:
        with _importing_from(Path.cwd()):
            return importlib.import_module(name)
    except SdbenchError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise InputError(
                f"no module {error.name} can be imported here; expected PACKAGE.MODULE:FUNCTION of one that is "
                "installed, or FILE.py:FUNCTION"
            ) from None
        raise InputError(f"{name} does not import: it raises {type(error).__name__}: {error}") from error


def _folder_of(module: ModuleType) -> Path:
    return Path(module.__file__).parent if module.__name__ in _FILES and module.__file__ else Path.cwd()


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Meanwhile what lies in a folder can be imported, as if Python had been started there."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if name not in _FILES and _is_own(sys.modules[name], folder):
                _BESIDE[name] = sys.modules[name]


def _is_own(module: ModuleType, folder: Path) -> bool:
    """Whether a module lies in the folder and is the user's: no installed one, and none of this package."""
    path = getattr(module, "__file__", None)
    if path is None or not Path(path).is_relative_to(folder) or module.__name__.partition(".")[0] == "sdbench":
        return False
    return not {"site-packages", "dist-packages"} & set(Path(path).parts)


def _forget_elsewhere(folder: Path) -> None:
    """Two folders may have files of one name: those that lie beside another file are not taken for this one's."""
    for name, module in list(_BESIDE.items()):
        if not _is_own(module, folder):
            sys.modules.pop(name, None)
            del _BESIDE[name]


def _sources(module: ModuleType) -> dict[str, str]:
    """SHA-256 of the user's files, which say what the network computes as much as its weights do."""
    if module.__file__ is None:
        return {}
    folder = Path(module.__file__).parent
    paths = {
        Path(module.__file__),
        *(Path(found.__file__ or "") for found in _BESIDE.values() if _is_own(found, folder)),
    }
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(paths)}


def _said(error: BaseException, module: ModuleType) -> str:
    """What was raised, and which line of the user's file raised it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == module.__file__]
    line = error.lineno if isinstance(error, SyntaxError) else frames[-1].lineno if frames else None
    said = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split()) or "it says no more"
    return f"{type(error).__name__}: {said}" + (f" (line {line})" if line else "")
