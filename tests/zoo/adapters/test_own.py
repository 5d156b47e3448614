"""A function of the user's own, by the name of its file or module."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sdbench
from sdbench.assets import AssetStore
from sdbench.cli import main
from sdbench.zoo import network_named
from sdbench.zoo.adapters import own

MODEL = '''
"""A small network that takes pixel_values (B, T, C, H, W)."""
import torch
from torch import nn

import sdbench


class Net(nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        self.blocks = nn.Sequential(nn.Conv3d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv3d(6, 7, 3, padding=1))
        self.norm = nn.BatchNorm3d(7)
        self.score = nn.Linear(7, 1)
        self.head = nn.Linear(7, classes)
        self.never = nn.Linear(2, 2)

    def forward(self, input_ids=None, pixel_values=None):
        x = self.norm(self.blocks(pixel_values.transpose(1, 2))).mean((2, 3, 4))
        self.score(x)
        return self.head(x)


class Tokens(Net):
    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.ones(7))


class Infinite(Net):
    def forward(self, pixel_values):
        return self.head(pixel_values.mean((1, 3, 4)).repeat(1, 3)[:, :7] / 0)


def build():
    torch.manual_seed(5)
    return Net()


def network():
    feed = sdbench.Feed(4, 16, order="BTCHW", argument="pixel_values")
    return sdbench.Network(Net(), feed, "mine", [sdbench.Layer("blocks.0", axes="BCTHW"), "blocks.2"])


def raises():
    raise KeyError("weights.pt")


def nothing():
    return {}


number = 5
'''

FEED = {"frames": 4, "size": 16, "order": "BTCHW", "argument": "pixel_values"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "my_model.py"
    path.write_text(MODEL)
    return path


def opened(path: Path, function: str = "build", **asked: Any) -> sdbench.Network:
    return network_named(f"{path}:{function}", store=AssetStore(quiet=True), **{"feed": FEED, **asked})


def test_a_module_is_fed_and_read_as_asked(model: Path) -> None:
    network = opened(model, layers=["blocks.*", "head"])
    assert network.name == "my_model.py:build"
    assert [layer.name for layer in network.read] == ["blocks.0", "blocks.1", "blocks.2", "head"]
    assert (network.feed.frames, network.feed.order, network.feed.argument) == (4, "BTCHW", "pixel_values")
    inputs = {"pixel_values": torch.randn(2, 4, 3, 16, 16)}
    units = sdbench.units(network.module, inputs, ["blocks.2"], feed=network.feed)["blocks.2"]
    expected = network.module.blocks(inputs["pixel_values"].transpose(1, 2)).mean((2, 3, 4))  # type: ignore[operator]
    torch.testing.assert_close(units, expected)


def test_a_network_keeps_what_it_says_and_is_changed_by_what_is_asked(model: Path) -> None:
    network = opened(model, "network", feed={})
    assert (network.name, network.feed.frames) == ("mine", 4)
    assert network.read == (sdbench.Layer("blocks.0", axes="BCTHW"), sdbench.Layer("blocks.2"))
    other = opened(model, "network", feed={"frames": 8}, layers=["blocks.*"])
    assert (other.feed.frames, other.feed.order) == (8, "BTCHW")
    assert other.read[0] == sdbench.Layer("blocks.0", axes="BCTHW")
    assert len(other.read) == 3


def test_of_a_module_that_can_be_imported(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = model.parent / "some_package_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nets.py").write_text(MODEL)
    monkeypatch.chdir(model.parent)
    network = network_named("some_package_of_mine.nets:build", layers=["head"], feed=FEED)
    assert network.name == "some_package_of_mine.nets:build"
    assert list(network.assets) == ["__init__.py", "nets.py"]


def test_two_files_of_one_name_do_not_clash(tmp_path: Path) -> None:
    networks = []
    for folder, width in (("one", 2), ("other", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "widths_of_mine.py").write_text(f"WIDTH = {width}\n")
        path = tmp_path / folder / "my_model.py"
        path.write_text(
            "from widths_of_mine import WIDTH\nfrom torch import nn\n"
            "def build(): return nn.Sequential(nn.Linear(1, WIDTH))\n"
        )
        networks.append(opened(path, layers=["0"], feed={}))
    assert [network.module.get_submodule("0").out_features for network in networks] == [2, 3]
    assert networks[0].assets.keys() == {"my_model.py", "widths_of_mine.py"}
    assert networks[0].assets["widths_of_mine.py"] != networks[1].assets["widths_of_mine.py"]


def test_untrained_makes_every_parameter_anew(model: Path) -> None:
    def weight(**asked: Any) -> torch.Tensor:
        return opened(model, layers=["head"], **asked).module.get_parameter("head.weight")

    trained, one, same, other = weight(), weight(untrained=0), weight(untrained=0), weight(untrained=1)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(one, trained)
    assert opened(model, "network", feed={}, untrained=2).notes == (
        "untrained: the architecture with fresh weights of seed 2",
    )


def test_untrained_says_what_nothing_makes_anew(model: Path) -> None:
    with pytest.raises(sdbench.InputError, match=r"nothing makes token anew; .* a method reset_parameters\(\)"):
        opened(model, "Tokens", layers=["head"], untrained=0)


@pytest.mark.parametrize(
    ("function", "asked", "sentence"),
    [
        ("build", {"layers": None}, r"does not list its layers: .* `sdbench layers my_model.py:build` lists"),
        ("biuld", {}, "unknown function of .*my_model.py 'biuld'; did you mean build"),
        ("number", {}, "unknown function of .*my_model.py 'number'"),
        ("raises", {}, r"my_model.py:raises\(\) raises KeyError: 'weights.pt' \(line 46\)"),
        ("nothing", {}, r"my_model.py:nothing\(\) returns dict; expected a torch.nn.Module or an sdbench.Network"),
        ("build", {"weights": "own.pt"}, "weights says nothing of a function of your own: it loads its weights itself"),
        ("build", {"feed": {**FEED, "argument": "pixels"}}, "takes input_ids, pixel_values; there is no 'pixels'"),
        ("build", {"feed": {"framse": 4}}, "unknown field of a feed 'framse'; did you mean frames"),
    ],
)
def test_what_cannot_be_opened(model: Path, function: str, asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(sdbench.InputError, match=sentence):
        opened(model, function, **{"layers": ["head"], **asked})


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (None, "no file at .*my_model.py; expected one of Python"),
        ("import torch\n1 / 0\n", r"does not import: it raises ZeroDivisionError: division by zero \(line 2\)"),
        ("def build(:\n", r"does not import: it raises SyntaxError: .* \(line 1\)"),
        ("import no_such_thing_here\n", r"ModuleNotFoundError: No module named 'no_such_thing_here' \(line 1\)"),
        ("import sys\nsys.exit(3)\n", r"raises SystemExit: 3 \(line 2\)"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, source: str | None, sentence: str) -> None:
    path = tmp_path / "my_model.py"
    if source is not None:
        path.write_text(source)
    with pytest.raises(sdbench.InputError, match=sentence):
        opened(path)


def test_a_module_that_cannot_be_imported() -> None:
    with pytest.raises(sdbench.InputError, match="no module no_such_package can be imported here"):
        network_named("no_such_package.nets:build")


@pytest.mark.slow
def test_code_travels_to_another_process(model: Path) -> None:
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    from sdbench.engine.ray_cluster import _with_code

    network = opened(model, layers=["blocks.2"])
    assert any(module.__file__ == str(model) for module in own.by_value())
    with _with_code(sys.modules["ray"]):
        content = cloudpickle.dumps(network)
    pickled = model.parent / "network.pickle"
    pickled.write_bytes(content)
    model.unlink()
    inputs = torch.randn(1, 4, 3, 16, 16)
    torch.save(inputs, model.parent / "inputs.pt")
    code = (
        "import pickle, sys, torch, sdbench; from pathlib import Path; folder = Path(sys.argv[1]);"
        "network = pickle.loads((folder / 'network.pickle').read_bytes());"
        "inputs = {'pixel_values': torch.load(folder / 'inputs.pt')};"
        "read = sdbench.units(network.module, inputs, network.read, feed=network.feed);"
        "(folder / 'units.pickle').write_bytes(pickle.dumps(read['blocks.2'].numpy()))"
    )
    subprocess.run([sys.executable, "-c", code, str(model.parent)], check=True)
    there = pickle.loads((model.parent / "units.pickle").read_bytes())
    here = sdbench.units(network.module, {"pixel_values": inputs}, network.read, feed=network.feed)["blocks.2"]
    np.testing.assert_allclose(there, here.numpy(), rtol=1e-6)


WORDS = ("--frames", "4", "--size", "16", "--order", "BTCHW", "--argument", "pixel_values", "--scenes", "4")


def measured(model: Path, *words: str, function: str = "build") -> int:
    return main(["measure", f"{model}:{function}", "--workers", "0", *words])


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("_own_cache")
def test_words_and_a_file_of_them_say_the_same(model: Path, tmp_path: Path) -> None:
    one, other, file = tmp_path / "one.json", tmp_path / "other.json", tmp_path / "feed.json"
    file.write_text(json.dumps({**FEED, "mean": [0.4, 0.5, 0.6], "std": 0.25, "layers": ["blocks.*", "head"]}))
    colours = ("--mean", "0.4,0.5,0.6", "--std", "0.25")
    assert measured(model, *WORDS, *colours, "--layers", "blocks.*,head", "--json", str(one)) == 0
    assert measured(model, "--feed", str(file), "--scenes", "4", "--json", str(other)) == 0
    read = [json.loads(path.read_text()) for path in (one, other)]
    assert read[0]["layers"] == read[1]["layers"]
    assert read[0]["measurement"]["feed"] == read[1]["measurement"]["feed"]
    assert read[0]["measurement"]["feed"]["mean"] == [0.4, 0.5, 0.6]
    assert list(read[0]["measurement"]["assets"]) == ["my_model.py"]


@pytest.mark.usefixtures("_own_cache")
@pytest.mark.parametrize(
    ("function", "words", "sentence"),
    [
        ("build", ("--layers", "never"), "layer 'never' exists but did not run in the forward pass"),
        ("build", ("--layers", "score"), "layer score has one unit"),
        (
            "build",
            ("--layers", "head", "--order", "BCTHW"),
            "my_model.py:build does not take what it is fed, pixel_values of shape (1, 3, 4, 16, 16) (RuntimeError: ",
        ),
        ("Infinite", ("--layers", "head"), "answers NaN or infinity for scene 0; check the network's weights"),
        (
            "Infinite",
            ("--layers", "head", "--precision", "bfloat16"),
            "computes in bfloat16, whose numbers may be too coarse for it: use --precision float32",
        ),
    ],
)
def test_what_cannot_be_measured_is_a_sentence(
    model: Path, capsys: Any, function: str, words: tuple[str, ...], sentence: str
) -> None:
    assert measured(model, *WORDS, *words, function=function) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("sdbench: ")
    assert sentence in said


def test_an_unfinished_measurement_of_other_code_is_not_gone_on_with(model: Path) -> None:
    from sdbench.engine.measuring import prepare
    from sdbench.engine.placing import Placement
    from sdbench.studies import rendered

    def folder() -> Path:
        network = opened(model, layers=["head"])
        return prepare(network, rendered(4), None, 0, 0.5, Placement(), AssetStore(quiet=True)).kept.folder

    before = folder()
    assert folder() == before
    model.write_text(MODEL.replace("self.score(x)", "x = x * 2"))
    assert folder() != before
