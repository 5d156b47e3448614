"""What is in a key: the software that computes, found by following imports, and nothing else."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import sdbench
from sdbench.base import cache_keys
from sdbench.base.cache_keys import cache_key, followed, modules_of
from sdbench.data.videos import VideoDataset
from sdbench.studies.own_clips import Opened

PACKAGE = Path(sdbench.__file__).parent
PAINT = "sdbench.video.paint"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package, to be changed."""
    shutil.copytree(PACKAGE, tmp_path / "sdbench", ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    cache_keys._read.cache_clear()  # pytest gives the folder of an earlier test again
    return tmp_path


def append(root: Path, module: str) -> None:
    path = root.joinpath(*module.split(".")).with_suffix(".py")
    path.write_text(path.read_text(encoding="utf-8") + "\n_LATER = 1\n", encoding="utf-8")
    cache_keys._read.cache_clear()


@pytest.mark.parametrize("module", [PAINT, "sdbench.video.frames", "sdbench.video.style_network"])
def test_a_changed_source_that_computes_is_another_key(copy: Path, module: str) -> None:
    before = followed([PAINT], copy)
    assert before == followed([PAINT]), "a copy is the same"
    append(copy, module)
    assert followed([PAINT], copy) != before


@pytest.mark.parametrize("module", ["sdbench.report.html", "sdbench.networks.action.x3d", "sdbench.assets.store"])
def test_a_changed_source_that_does_not_is_the_same_key(copy: Path, module: str) -> None:
    before = followed([PAINT], copy)
    append(copy, module)
    assert followed([PAINT], copy) == before


def test_imports_are_followed_wherever_they_stand(tmp_path: Path) -> None:
    sources = {
        "__init__": "import torch\nfrom sdbench.end import never\n",
        "start": "import json\nfrom typing import TYPE_CHECKING\nfrom sdbench import inside\n"
        "from sdbench.room import name\nif TYPE_CHECKING:\n    import rich.table\n    from sdbench.end import never\n",
        "inside": "import importlib\ndef late():\n    from sdbench.late import it\n"
        "    importlib.import_module('cv2')\n",
        "late": "import PIL.Image\nit = 1\n",
        "end": "never = 1\n",
        "room/__init__": "from sdbench.room.far import name\n",
        "room/far": "import av\nname = 1\n",
    }
    for name, source in sources.items():
        (tmp_path / "sdbench" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sdbench" / f"{name}.py").write_text(source)
    found, libraries = followed(["sdbench.start", "numpy.linalg"], tmp_path)
    names = {f"sdbench.{name}" for name in ("start", "inside", "late", "room", "room.far")}
    assert (set(found), libraries) == (names, {"numpy", "cv2", "PIL", "av"})


def test_code_is_found_in_what_computes() -> None:
    def opened(_length: int, _side: int) -> VideoDataset:
        raise NotImplementedError

    study = Opened(functools.partial(opened, 3))
    assert set(modules_of(study)) == {"sdbench.studies.own_clips", __name__}
    read = VideoDataset.__new__(VideoDataset).read
    assert "sdbench.data.videos" in set(modules_of(read)), "a method is its object's"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Install a library of its own kind anew, and take the key of something that it computes."""
    place = tmp_path / "site"
    monkeypatch.syspath_prepend(str(place))

    def install(version: str = "1.0", build: str = "aa", source: str = "", requires: str = "1.0") -> str:
        shutil.rmtree(place, ignore_errors=True)
        for name, number, hashes in (("standin", version, build), ("standin-below", requires, "cc")):
            module = name.replace("-", "_")
            (place / module).mkdir(parents=True)
            (place / module / "__init__.py").write_text(source)
            about = place / f"{module}-{number}.dist-info"
            about.mkdir()
            needs = "Requires-Dist: standin-below (>=1)\n" if name == "standin" else ""
            (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n{needs}")
            record = [f"{module}/__init__.py,sha256={hashes},9", f"../bin/{name},sha256={time_of(place)},9"]
            (about / "RECORD").write_text("\n".join([*record, f"{about.name}/RECORD,,"]) + "\n")
        forget()
        return cache_key("things", 1, code="standin.inner")

    yield install
    sys.modules.pop("standin", None)
    forget()


def time_of(place: Path) -> str:
    """What differs each time that a library is installed."""
    return str((place / "standin").stat().st_mtime_ns)


def forget() -> None:
    for cached in (cache_keys.library, cache_keys._software):
        cached.cache_clear()


@pytest.mark.parametrize(
    "changed", [{"version": "1.1"}, {"build": "bb"}, {"source": "SCALE = 2"}, {"requires": "1.1"}], ids=str
)
def test_another_version_or_build_is_another_key(stand_in: Callable[..., str], changed: dict[str, str]) -> None:
    first = stand_in()
    assert stand_in() == first, "installed again, it is the same"
    assert stand_in(**changed) != first


def test_a_key_names_its_software(stand_in: Callable[..., str]) -> None:
    key = stand_in("7.5")
    assert isinstance(key, cache_keys.Key)
    assert key.software.startswith("standin 7.5, sdbench ")
    assert cache_key("things", 1, code="standin_that_is_not").software.startswith("standin_that_is_not not installed")


@pytest.mark.parametrize(
    ("module", "fact"),
    [
        ("torch", "torch.version.cuda"),
        ("torch", "torch.backends.cudnn.version"),
        ("av", "av.library_versions"),
        ("cv2", "cv2.getBuildInformation"),
        ("onnxruntime", "onnxruntime.get_build_info"),
    ],
)
def test_a_build_that_only_the_library_tells_of_is_another_key(
    module: str, fact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(module)
    forget()
    before = cache_key("things", code=module)
    known = {"av": {"libavcodec": (99, 0, 0)}}.get(module, "other")
    monkeypatch.setattr(fact, known if fact.endswith(("cuda", "library_versions")) else lambda: known)
    forget()
    assert cache_key("things", code=module) != before
    monkeypatch.undo()
    forget()
    assert cache_key("things", code=module) == before


def test_kinds_and_values_are_in_the_key() -> None:
    keys = {cache_key(kind, value, code=PAINT) for kind in ("clips", "shots") for value in (1, 1.0, "1")}
    assert len(keys) == 6


def test_keys_are_formed_in_one_place() -> None:
    """Whatever puts something computed on disk names it by `cache_key`, below a folder of `Cache`."""
    made, taking, beside = set(), set(), set()
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_bytes())):
            called = getattr(getattr(node, "func", None), "id", "")
            if called == "Key":
                made.add(name)
            if called in ("kept_arrays", "kept_folder", "claim_folder"):
                taking.add(name)
            if called in ("Kept", "Task") and name not in ("engine/parts.py", "engine/slices.py"):
                assert "made_by" in {each.arg for each in getattr(node, "keywords", ())}, f"{name}: {ast.unparse(node)}"
            if isinstance(node, ast.BinOp) and re.search(r"(store|Store\(.*\))\.folder /", ast.unparse(node)):
                beside.add(ast.unparse(node.right))
    assert made == {"base/cache_keys.py"}
    assert beside == {"name", "'unpacked'"}, "what is fetched"
    for name in taking - {"base/kept.py"}:
        assert "cache_key(" in (PACKAGE / name).read_text(encoding="utf-8"), name


def test_a_program_that_runs_has_the_key_of_the_module_that_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_own_study.py").write_text("PAIRS = 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    expected = followed(["my_own_study"])
    program = ModuleType("__main__")
    program.__file__ = str(tmp_path / "my_own_study.py")
    monkeypatch.setitem(sys.modules, "__main__", program)
    assert followed(["__main__"]) == expected == ({}, {"my_own_study"})
    program.__spec__ = importlib.util.find_spec("sdbench.report.html")
    assert followed(["__main__"]) == followed(["sdbench.report.html"])
