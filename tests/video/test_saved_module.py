"""Modules that were saved whole: nothing of the file runs, whatever it asks for."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sdbench.base.errors import AssetError
from sdbench.video.saved_module import LEGACY, read_saved_module
from tests.made.fewshot import FORMS, UpsamplingLayer, save_whole


class Runs:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


def small():
    module = UpsamplingLayer()
    module.conv = nn.Conv2d(2, 3, 1, bias=False)
    module.inner = nn.ModuleList([nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Tanh())])
    return module


def zipped(path: Path, content: bytes, **records: bytes) -> Path:
    """A file of torch whose pickle is `content`."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        for name, values in records.items():
            archive.writestr(f"archive/{name.replace('__', '/')}", values)
    return path


def opcodes(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


@pytest.mark.parametrize("form", FORMS)
def test_the_entries_are_those_of_the_module(form: str, tmp_path: Path) -> None:
    module = small()
    found = read_saved_module(save_whole(module, tmp_path / "a.pth", form))
    expected = module.state_dict()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value)
        assert found[name].dtype == value.dtype


@pytest.mark.parametrize("form", FORMS)
def test_views_of_shared_values_are_read(form: str, tmp_path: Path) -> None:
    shared = torch.arange(24.0)
    state = {"a": shared[4:10].view(2, 3), "b": shared.view(4, 6).T, "c": shared[:0], "d": torch.tensor(7)}
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=form == "zip")
    found = read_saved_module(tmp_path / "a.pth")
    assert all(torch.equal(found[name], value) for name, value in state.items())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", ["attribute", "entry", "top"])
def test_a_file_that_would_run_code_is_refused_and_does_not(form: str, place: str, tmp_path: Path) -> None:
    mark, module = tmp_path / "ran", small()
    vars(module)["trap"] = Runs(mark)
    content: Any = {"attribute": module, "entry": OrderedDict(a=torch.ones(2), b=Runs(mark)), "top": Runs(mark)}[place]
    path = save_whole(content, tmp_path / "evil.pth", form)
    with pytest.raises(AssetError, match=r"it asks for (__builtin__|builtins)\.exec, which no painter consists of"):
        read_saved_module(path)
    assert not mark.exists()
    torch.load(path, weights_only=False) if place != "attribute" else None
    assert mark.exists() is (place != "attribute"), "the trap is one"


@pytest.mark.parametrize("which", range(1, 4))
def test_every_pickle_of_the_older_form_is_read_so(which: int, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    contents: tuple[Any, ...] = (1001, {"little_endian": True}, {}, [])
    parts = [LEGACY, *(pickle.dumps(content, 2) for content in contents)]
    parts[which + 1] = pickle.dumps(Runs(mark), 2)
    (tmp_path / "evil.pth").write_bytes(b"".join(parts))
    with pytest.raises(AssetError, match=r"it asks for .*\.exec"):
        read_saved_module(tmp_path / "evil.pth")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch.serialization", "_get_layout"),
        ("torch._utils", "_rebuild_tensor"),
        ("torch.nn.modules.linear", "Linear"),
        ("torch.nn.modules.conv", "Conv2d.__init__"),
        ("models", "GeneratorJ.__base__"),
        ("models", "os"),
        ("builtins", "getattr"),
        ("builtins", "list"),
        ("numpy", "ndarray"),
        ("sdbench.video.saved_module", "_StandIn"),
    ],
)
def test_no_other_name_is_admitted(module: str, name: str, tmp_path: Path) -> None:
    names = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    for number, content in enumerate((opcodes(f"c{module}\n{name}\n".encode()), b"\x80\x04" + names + b"\x93.")):
        path = zipped(tmp_path / f"{number}.pth", content)
        with pytest.raises(AssetError, match=f"it asks for {module}.{name}"):
            read_saved_module(path)


def test_stand_ins_take_no_arguments_and_remember_nothing(tmp_path: Path) -> None:
    called = opcodes(b"cmodels\nGeneratorJ\n", b"X\x02\x00\x00\x00hi\x85R")
    with pytest.raises(AssetError, match="is not a whole file of torch"):
        read_saved_module(zipped(tmp_path / "called.pth", called))
    # The state of the class itself, as a pickle can give it: a pair of dicts, of which the second is set as attributes.
    hung = opcodes(b"cmodels\nUpsamplingLayer\n", pickle.dumps((None, {"_parameters": {"a": 1}}), 2)[2:-1], b"b")
    with pytest.raises(AssetError, match="expected a module"):
        read_saved_module(zipped(tmp_path / "hung.pth", hung))
    bare = opcodes(b"cmodels\nUpsamplingLayer\n", b")\x81")
    assert read_saved_module(zipped(tmp_path / "bare.pth", bare)) == {}
    for text in (b"ctorch._utils\n_rebuild_parameter\n", b"ccollections\nOrderedDict\n", b"c__builtin__\nset\n"):
        hung = opcodes(text, pickle.dumps((None, {"__call__": 1, "__defaults__": (1,)}), 2)[2:-1], b"b")
        with pytest.raises(AssetError):
            read_saved_module(zipped(tmp_path / "hung.pth", hung))


def test_a_part_that_holds_itself_ends(tmp_path: Path) -> None:
    module = small()
    module.inner.add_module("again", module)
    with pytest.raises(AssetError, match="it consists of more parts than any painter"):
        read_saved_module(save_whole(module, tmp_path / "a.pth"))


def test_tensors_stay_within_their_values(tmp_path: Path) -> None:
    class Tensor:
        def __init__(self, *about: Any) -> None:
            self.about = about

        def __reduce__(self) -> tuple[Any, ...]:
            return torch._utils._rebuild_tensor_v2, self.about

    class Storage:
        def __init__(self, count: int, key: str = "0") -> None:
            self.count, self.key = count, key

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            kind = torch.FloatStorage
            return ("storage", kind, value.key, "cpu", value.count) if isinstance(value, Storage) else None

    def refused(said: str, *tensors: Tensor) -> None:
        buffer = io.BytesIO()
        Pickler(buffer, 2).dump({str(number): tensor for number, tensor in enumerate(tensors)})
        path = zipped(tmp_path / "a.pth", buffer.getvalue(), data__0=bytes(16))
        with pytest.raises(AssetError, match=said):
            read_saved_module(path)

    end: tuple[Any, ...] = (False, OrderedDict())
    refused("a tensor reaches beyond its values", Tensor(Storage(4), 1, (4,), (1,), *end))
    refused("a tensor reaches beyond its values", Tensor(Storage(4), 0, (1000000,), (0,), *end))
    refused("as torch never does", Tensor(Storage(4), -1, (4,), (1,), *end))
    refused("as torch never does", Tensor(Storage(4), 0, (4,), (1, 1), *end))
    refused("as torch never does", Tensor(4, 0, (4,), (1,), *end))
    refused("it promises more values than it is large", Tensor(Storage(10**12), 0, (4,), (1,), *end))
    refused("in two ways", Tensor(Storage(4), 0, (4,), (1,), *end), Tensor(Storage(3), 0, (3,), (1,), *end))
    refused("its values are not whole", Tensor(Storage(3), 0, (3,), (1,), *end))
    refused("not a whole file of torch", Tensor(Storage(4, "../../1"), 0, (4,), (1,), *end))


def test_damaged_files_and_others_are_named(tmp_path: Path) -> None:
    for form in FORMS:
        path = save_whole(small(), tmp_path / "a.pth", form)
        content = path.read_bytes()
        for kept in (20, len(content) // 3, len(content) - 8):
            path.write_bytes(content[:kept])
            with pytest.raises(AssetError, match=r"a\.pth (is not a whole file of torch|cannot be read as a painter)"):
                read_saved_module(path)
    path.write_bytes(b"something else")
    with pytest.raises(AssetError, match="it is not a file as torch writes it"):
        read_saved_module(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model_00020.pth", b"")
    with pytest.raises(AssetError, match="if that is inside, unpack it first"):
        read_saved_module(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x00" * 10**6)
    with pytest.raises(AssetError, match="it is compressed, as torch never does"):
        read_saved_module(path)
    with pytest.raises(AssetError, match="written on a machine of another byte order"):
        read_saved_module(zipped(path, pickle.dumps({}), byteorder=b"big"))
    torch.save([torch.ones(1)], path)
    with pytest.raises(AssetError, match="it holds list; expected a module, or a dict of tensors by name"):
        read_saved_module(path)
    torch.save({"epoch": 20, "a": torch.ones(1)}, path)
    with pytest.raises(AssetError, match="it holds epoch beside or instead of tensors"):
        read_saved_module(path)


def test_it_is_read_where_nothing_of_it_can_be_imported(tmp_path: Path) -> None:
    """In a fresh process, which has no `models`, and where torch itself is never asked to read it."""
    path = save_whole(small(), tmp_path / "a.pth")
    program = (
        "import sys, torch; from pathlib import Path; from sdbench.video.saved_module import read_saved_module; "
        "torch.load = None; print(*read_saved_module(Path(sys.argv[1]))); assert 'models' not in sys.modules"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert "conv.weight" in ended.stdout.split()
