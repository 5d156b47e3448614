"""`sdbench layers`: what can be read of a network, from one pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import sdbench
from sdbench import Layer
from sdbench.cli import main
from sdbench.networks.layer_summary import Seen, look
from tests.made.fork_server import run_python

MODEL = """
import torch
from torch import nn

class Pair(nn.Module):
    def forward(self, x):
        return x.mean((3, 4)), x

class Answer(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        return self.answer(x)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.most = Answer(lambda x: x.argmax(1))
        self.yes = Answer(lambda x: x > 0)
        self.scalar = Answer(lambda x: x.mean())
        self.nothing = Answer(lambda x: None)
        self.gates = Answer(lambda x: x.mean((1, 3, 4)))
        self.rnn = nn.LSTM(6, 5)
        self.stem = nn.Conv3d(3, 8, 1, stride=(2, 1, 1))
        self.wide = nn.Conv3d(8, 6, 1)
        self.pair = Pair()
        self.shared = nn.ReLU()
        self.score = nn.Linear(6, 1)
        self.never = nn.Linear(2, 2)

    def forward(self, pixel_values):
        x = self.shared(self.wide(self.shared(self.stem(pixel_values.transpose(1, 2)))))
        for other in (self.most, self.yes, self.scalar, self.nothing, self.gates):
            other(x)
        self.rnn(x.mean((3, 4)).permute(2, 0, 1))
        return self.score(self.pair(x)[0].mean(2))

def build():
    return Net()
"""
WORDS = ("--frames", "8", "--size", "16", "--order", "BTCHW", "--argument", "pixel_values")


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "my_model.py").write_text(MODEL)
    return f"{tmp_path / 'my_model.py'}:build"


def table(printed: str) -> dict[str, str]:
    return {line.split()[0]: line for line in printed.splitlines()[2:] if line and not line.startswith(" ")}


def test_of_a_module_every_submodule_that_ran_and_those_that_did_not(model: str, capsys: Any) -> None:
    assert main(["layers", model, *WORDS]) == 0
    printed = capsys.readouterr().out
    rows = table(printed)
    others = ["most", "yes", "scalar", "nothing", "gates", "rnn"]
    assert list(rows) == [*others, "stem", "wide", "pair", "shared", "score", "never"]
    assert rows["wide"].split("  ")[0] == "wide"
    assert "(1, 6, 4, 16, 16) B[C]THW" in " ".join(rows["wide"].split())
    assert "tuple of 2" in rows["pair"]
    assert "item=0" in printed
    assert "(1, 8, 4, 16, 16) B[C]THW" in " ".join(rows["stem"].split()), "8 channels to 8 frames"
    assert "runs 2 times in a pass, and answers" in rows["shared"], "of 8 and of 6 channels"
    assert rows["rnn"].split() == ["rnn", "tuple", "of", "2:", "(4,", "1,", "5)", "NB[C]", "5"]
    for name, reason in {
        "most": "answers int64 numbers",
        "yes": "answers bool numbers",
        "scalar": "answers one number",
        "nothing": "answers NoneType, not a tensor",
        "gates": "axis 0 moves with the number of clips",
    }.items():
        assert reason in " ".join(rows[name].split()), "no layer ends the command"
    assert "one unit" in rows["score"]
    assert rows["never"].split() == ["never", "does", "not", "run"]


def test_by_glob(model: str, capsys: Any) -> None:
    assert main(["layers", model, *WORDS, "--layers", "w*"]) == 0
    assert list(table(capsys.readouterr().out)) == ["wide"]


def test_axes_are_said_by_an_option_or_in_the_file_of_the_feed(model: str, tmp_path: Path, capsys: Any) -> None:
    words = (*WORDS, "--layers", "gates,rnn")
    assert main(["layers", model, *words, "--axes", "ga*=BC"]) == 0
    assert table(capsys.readouterr().out)["gates"].split() == ["gates", "(1,", "4)", "B[C]", "4"]
    feed = tmp_path / "feed.json"
    feed.write_text('{"axes": {"gates": "BC", "rnn": "BTC"}}')
    assert main(["layers", model, *words, "--feed", str(feed), "--axes", "rnn=TBC"]) == 0
    assert "TB[C]" in table(capsys.readouterr().out)["rnn"], "the option goes before the file"
    assert main(["layers", model, *words, "--feed", str(feed)]) == 0
    assert "and axes BTC put them on axis 0" in " ".join(capsys.readouterr().out.split())
    for wrong, said in {"gats=BC": "unknown layer 'gats'", "gates=BD": "must name each axis once"}.items():
        assert main(["layers", model, *words, "--axes", wrong]) == 1
        assert said in capsys.readouterr().err
    assert main(["layers", "x3d_xs", "--axes", "stage1=BCTHW"]) == 1
    assert "axes says nothing of a network of the suite" in capsys.readouterr().err
    feed.write_text('{"axes": ["BC"]}')
    assert main(["layers", model, *words, "--feed", str(feed)]) == 1
    assert '"axes" must be names of layers with their axes' in capsys.readouterr().err
    feed.write_text('{"frames": 4, "frames": 8}')
    assert main(["layers", model, *words, "--feed", str(feed)]) == 1
    assert "feed.json is no JSON that can be read ('frames' stands in it twice)" in capsys.readouterr().err


def test_what_the_network_does_not_take_is_a_sentence(model: str, capsys: Any) -> None:
    assert main(["layers", model, *WORDS, "--order", "BCTHW"]) == 1
    assert "does not take what it is fed, pixel_values of shape (1, 3, 8, 16, 16)" in capsys.readouterr().err


def test_of_a_network_of_the_suite_without_its_weights(tmp_path: Path) -> None:
    words = ("layers", "x3d_xs", "--size", "32", "--short-side", "32")
    environment = {"SDBENCH_CACHE": str(tmp_path), "SDBENCH_OFFLINE": "1", "PATH": "", "HOME": str(tmp_path)}
    done = run_python("-m", "sdbench", *words, environment=environment)
    assert done.returncode == 0, done.stderr
    rows = table(done.stdout)
    assert list(rows) == list(sdbench.build("x3d_xs").layers)
    assert rows["stage1"].split() == ["stage1", "(1,", "24,", "4,", "16,", "16)", "B[C]THW", "24"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fusionseg", "rtnet"])
def test_of_networks_of_frames_and_flow(name: str, capsys: Any) -> None:
    assert main(["layers", name, "--size", "64x64"]) == 0
    assert "B[C]HW" in capsys.readouterr().out


def test_a_module_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten()).double().train()
    mean = module[1].running_mean
    assert isinstance(mean, torch.Tensor)
    before = mean.clone()
    network = sdbench.Network(module, sdbench.Feed(2, 8, order="(BT)CHW"), layers=["0", Layer("2", "(BT)C")])
    assert look(network) == (
        Seen("0", "(2, 4, 8, 8)", "(BT)CHW", 4, reads=Layer("0", "(BT)CHW")),
        Seen("2", "(2, 256)", "(BT)C", 256, reads=Layer("2", "(BT)C")),
    )
    assert module.training
    assert torch.equal(mean, before)
