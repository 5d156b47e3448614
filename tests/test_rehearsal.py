"""The dress rehearsal: its writers, its server, what it knows, and that what comes of it is marked."""

from __future__ import annotations

import json
import os
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.rehearsal import __main__ as command
from benchmarks.rehearsal import checkpoints as write
from benchmarks.rehearsal import known
from benchmarks.rehearsal.entries import blobs_of, pytorchvideo_c2d, shapes_of
from benchmarks.rehearsal.judging import Rehearsed, table, wrong_cases
from benchmarks.rehearsal.pictures import frame
from benchmarks.rehearsal.published import PUBLISHED, published
from benchmarks.rehearsal.reduced import SIZE, SmallerDavis
from benchmarks.rehearsal.server import DROPPED, SLOW, WEB_PAGE, Offers, serving
from benchmarks.rehearsal.steps import Rehearsal
from benchmarks.rehearsal.values import POSITIVE, colours_in_fusionseg, colours_in_x3d, made_up, one_answer
from benchmarks.rehearsal.watching import disk_of, memory_of_tree
from sdbench.assets import AssetStore, packaged_manifest
from sdbench.assets.manifest import Url
from sdbench.assets.web import fetch_url
from sdbench.base.errors import InputError, MissingAssetError
from sdbench.cases.records import Asked
from sdbench.networks import build
from sdbench.suite import Here
from sdbench.suite.datasets import PaintedDavis
from sdbench.zoo import load_state, read_checkpoint
from tests.made.small_zoo import bring_weights, make_small


def test_everything_that_can_be_had_has_a_stand_in() -> None:
    manifest = packaged_manifest()
    offered = {
        asset.name
        for asset in manifest.assets
        if isinstance(asset.source, Url) and asset.source.how != "never published"
    }
    assert {each.asset for each in PUBLISHED} == offered


def test_a_pickle_of_caffe2_is_read_and_is_as_python_2_wrote_it(tmp_path: Path) -> None:
    shapes = shapes_of("i3d")
    values = made_up(shapes)
    path = tmp_path / "I3D.pkl"
    write.caffe2(blobs_of("i3d"), shapes, values, path)
    state = read_checkpoint(path, "i3d")
    load_state(build("i3d"), state, "the file")
    for name in ("s1.pathway0_stem.conv.weight", "s4.pathway0_res2.branch2.b_bn.running_var", "head.projection.bias"):
        np.testing.assert_array_equal(state[name].numpy(), values(name))
    content = path.read_bytes()
    assert b"numpy.core.multiarray" in content
    assert b"numpy._core" not in content
    assert b"_codecs" not in content, "strings are plain, not decoded by a function"


def test_names_of_pytorchvideo(tmp_path: Path) -> None:
    shapes = shapes_of("c2d")
    path = tmp_path / "C2D.pyth"
    write.pytorchvideo(write.state_of(pytorchvideo_c2d(shapes), made_up(shapes)), path)
    load_state(build("c2d"), read_checkpoint(path, "c2d"), "the file")
    assert {"blocks.0.norm.weight", "blocks.3.res_blocks.0.branch1_conv.weight"} <= pytorchvideo_c2d(shapes).keys()
    assert not [name for name in pytorchvideo_c2d(shapes) if name.startswith("blocks.2.")], "that is the pooling"


@pytest.mark.parametrize("legacy", [False, True])
def test_files_of_pyslowfast(tmp_path: Path, legacy: bool) -> None:
    shapes = shapes_of("x3d_xs")
    path = tmp_path / "x3d.pyth"
    write.pyslowfast(write.state_of(write.under("", shapes), made_up(shapes)), path, legacy)
    assert path.read_bytes().startswith(b"PK") is not legacy
    load_state(build("x3d_xs"), read_checkpoint(path, "x3d_xs"), "the file")


def test_x3d_built_by_hand_holds_the_colours_of_its_input() -> None:
    shapes = shapes_of("x3d_xs")
    network = build("x3d_xs")
    load_state(network, write.state_of(write.under("", shapes), colours_in_x3d(shapes)), "by hand")
    colours = torch.tensor([[-1.0, 0.5, 2.0], [0.25, -2.0, 1.0]])
    clip = colours[:, :, None, None, None].expand(2, 3, 4, 64, 64)
    with torch.no_grad():
        stages = dict(network.trace(clip))
    for name in ("stage1", "stage3", "stage5"):
        units = stages[name].mean(dim=(2, 3, 4))
        expected = colours[:, [channel % 3 for channel in range(units.shape[1])]] + POSITIVE
        torch.testing.assert_close(units, expected, rtol=1e-4, atol=1e-4)


def test_fusionseg_built_by_hand_hears_its_appearance_stream_alone() -> None:
    network = build("fusionseg", width=4, depths=(1, 1, 1, 1))
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    load_state(network, write.state_of(write.under("", shapes), colours_in_fusionseg(shapes)), "by hand")
    colours = torch.tensor([[-1.0, 0.5, 2.0], [0.25, -2.0, 1.0]])
    image = colours[:, :, None, None].expand(2, 3, 48, 64)
    with torch.no_grad():
        layers = dict(network.trace(image, torch.randn(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))))
    for name in ("fusion.layer2", "fusion.layer5"):
        units = layers[name].mean(dim=(2, 3))
        expected = colours[:, [channel % 3 for channel in range(units.shape[1])]] + POSITIVE
        torch.testing.assert_close(units, expected, rtol=1e-4, atol=1e-4)


def test_one_answer_to_everything() -> None:
    shapes = {"head.projection.weight": (5, 3), "head.projection.bias": (5,)}
    values = one_answer(made_up(shapes))
    logits = values("head.projection.weight").sum(axis=1) + values("head.projection.bias")
    assert logits.argmax() == 0
    assert logits[0] - logits[1:].max() > 100


def test_styles_are_all_alike() -> None:
    means = np.array([frame(3, 5, 36, 48, style).astype(float).mean(axis=(0, 1)) for style in range(4)])
    centred = means - means.mean(axis=0)
    products = centred @ centred.T
    assert np.allclose(products / products[0, 0], np.where(np.eye(4, dtype=bool), 1, -1 / 3), atol=0.01)


@pytest.mark.slow
def test_what_is_known_tends_to_its_limit_and_is_moved_by_twice_the_tolerance(tmp_path: Path) -> None:
    values, tolerance = known.expected(3000)
    assert values == pytest.approx(known.limit(), abs=0.05)
    assert all(1.5 < reach < 2 for reach in tolerance.values())
    known.write_known(tmp_path, action_pairs=48, vos_pairs=10, vos_seeds=4)
    true, moved = json.loads((tmp_path / "action.json").read_text())["values"]
    reach = true["tolerance"]
    assert moved["values"]["dynamic"] - true["values"]["dynamic"] == pytest.approx(2 * reach["dynamic"])
    assert true["values"]["static"] - moved["values"]["static"] == pytest.approx(2 * reach["static"])


def test_the_server_has_its_troubles_and_says_what_was_survived(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("benchmarks.rehearsal.server._PAUSE", 0.01)
    monkeypatch.setattr("sdbench.assets.web.PAUSES", (0.01,))
    file = tmp_path / "weights.bin"
    file.write_bytes(bytes(range(256)) * 1000)
    offers = Offers({"www.dropbox.com/s/weights.bin": file})
    offers.faults["www.dropbox.com/s/weights.bin"] = deque([WEB_PAGE, DROPPED, SLOW])
    with serving(offers) as address:
        url = f"{address}/www.dropbox.com/s/weights.bin?dl=1"
        with pytest.raises(MissingAssetError, match="web page"):
            fetch_url(url, tmp_path / "got", quiet=True)
        assert offers.survived() == {WEB_PAGE: "NOT survived"}
        fetch_url(url, tmp_path / "got", quiet=True)
        with pytest.raises(MissingAssetError, match="no file"):
            fetch_url(f"{address}/elsewhere/weights.bin", tmp_path / "other", quiet=True)
    assert (tmp_path / "got").read_bytes() == file.read_bytes()
    survived = offers.survived()
    assert survived.pop(DROPPED).startswith("went on at byte ")
    assert survived == {WEB_PAGE: "the file came at the next call", SLOW: "the file came"}


def test_what_must_not_be_is_said() -> None:
    cases = [
        Rehearsed("action/a", "one", "deviates", "outside"),
        Rehearsed("action/b", "one", "not run", "weights of fast were never published. It takes them"),
        Rehearsed("action/c", "two", "not run", "data set x is not here"),
        Rehearsed("action/d", "two", "error", "broke"),
        Rehearsed("action/shuffle/slow_r50_8x8/ssv2", "three", "inconclusive", "too few"),
        Rehearsed("known_colours/x3d_xs/true", "by hand", "reproduced", ""),
        Rehearsed("known_colours/x3d_xs/moved", "by hand", "reproduced", "inside"),
    ]
    assert wrong_cases(cases) == [
        "action/c: not run: data set x is not here",
        "action/d: error: broke",
        "action/shuffle/slow_r50_8x8/ssv2: inconclusive, expected deviates: too few",
        "known_colours/x3d_xs/moved: reproduced, expected deviates: inside",
    ]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table(cases).splitlines()]
    assert lines[2] == ["one", "2", "1", "1 deviates", "1"]
    assert lines[3] == ["two", "2", "1", "1 error, 1 not run", "0"]
    assert lines[-1] == ["all", "7", "5", "1 deviates, 1 error, 1 inconclusive, 1 not run, 2 reproduced", "1"]


def test_a_step_is_done_once_and_a_folder_is_of_one_rehearsal(tmp_path: Path) -> None:
    said: list[str] = []
    rehearsal = Rehearsal(tmp_path / "work", "x3d", say=said.append)
    assert rehearsal.once("adding", lambda: 1 + 1) == 2
    again = Rehearsal(tmp_path / "work", "x3d", say=said.append)

    def never() -> None:
        raise AssertionError("done again")

    assert again.once("adding", never) == 2
    assert said == ["rehearsal: adding"]
    with pytest.raises(InputError, match="holds an unfinished rehearsal that was asked for"):
        Rehearsal(tmp_path / "work", "i3d")
    (tmp_path / "work" / "data").mkdir()
    again.over()
    anew = Rehearsal(tmp_path / "work", "i3d", say=said.append)
    assert not anew.data.exists(), "nothing of the one before is gone on with"
    assert anew.once("adding", lambda: 3) == 3


def test_the_peak_is_that_of_all_calls_and_of_one_state_of_the_source(tmp_path: Path, monkeypatch) -> None:
    first = Rehearsal(tmp_path)
    first.peak.disk = 7
    first.once("adding", lambda: 1)
    assert Rehearsal(tmp_path).peak.disk == 7
    monkeypatch.setattr("benchmarks.rehearsal.steps.git_revision", lambda root: "another")
    with pytest.raises(InputError, match="another"):
        Rehearsal(tmp_path)


@pytest.mark.slow
def test_a_wrong_selection_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"status 4 for action: ERROR: Wrong expression"):
        Rehearsal(tmp_path, "x3d and and")._is_selected("action")


def test_what_only_a_browser_gets_is_brought_and_nothing_else_fetched(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("benchmarks.rehearsal.steps.make", lambda asset, path: write_file(path))
    rehearsal = Rehearsal(tmp_path, "mvit")
    called: list[tuple[str, ...]] = []

    def sdbench(mirror: str, *words: str, **_: object) -> int:
        called.append(words)
        return 0

    monkeypatch.setattr(rehearsal, "_sdbench", sdbench)
    monkeypatch.setattr(AssetStore, "path", lambda store, name: tmp_path / "steps.json")
    rehearsal._fetched(Offers(), "http://mirror", "action", [published("mvit_b_16x4_kinetics400")])
    ((*words, _),) = called
    assert words == ["fetch", "mvit_b_16x4_kinetics400", "--from"]


def write_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"made up")
    return path


def test_disk_and_memory_are_seen(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_bytes(b"1" * 100_000)
    assert 100_000 <= disk_of(tmp_path) < 200_000

    memory = memory_of_tree(os.getpid())
    assert memory is None or memory > 50e6


@pytest.mark.parametrize("verdict", ["deviates", "error"])
def test_what_it_came_to_is_written_and_is_the_exit_status(tmp_path: Path, monkeypatch, capsys, verdict: str) -> None:
    seen = {"files": 2, "megabytes": 3, "faults": {DROPPED: "went on at byte 7"}}

    class Done(Rehearsal):
        def run(self) -> list[Rehearsed]:
            self.once("fetching action", lambda: seen)
            (self.work / "cache").mkdir()
            return [Rehearsed("action/a", "stylized_ssv2, published units", verdict, "so it is")]

        def faults(self) -> list[str]:
            return []

    monkeypatch.setattr(command, "Rehearsal", Done)
    work = tmp_path / "work"
    assert command.main(["-k", "a", "--work", str(work)]) == int(verdict == "error")
    told = json.loads((work / "rehearsal.json").read_text())
    assert told["rehearsal"] is True
    assert told["wrong"] == (["action/a: error: so it is"] if verdict == "error" else [])
    assert told["cases"]["action/a"]["verdict"] == verdict
    text = (work / "rehearsal.md").read_text()
    assert text.startswith("# REHEARSAL\n")
    assert "action: 2 files, 3 MB fetched. dropped connection: went on at byte 7." in text
    assert ("Everything is as it must be." in text) is (verdict == "deviates")
    assert (work / "cache").exists() is (verdict == "error"), "kept to be looked at where something is wrong"
    assert text.strip() in capsys.readouterr().out


def test_a_folder_of_another_rehearsal_is_one_sentence(tmp_path: Path, capsys) -> None:
    Rehearsal(tmp_path, "x3d")
    assert command.main(["-k", "i3d", "--work", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("rehearsal: ")


def test_pictures_are_smaller_but_where_the_published_size_is_asked_for(tmp_path: Path, monkeypatch) -> None:
    make_small(monkeypatch.setattr)
    store = AssetStore(tmp_path / "cache", quiet=True)
    bring_weights(store, tmp_path)
    asked = Asked("fusionseg", "davis", "stylized_davis")
    assert SmallerDavis().network(asked, Here(store)).feed.size == SIZE
    published = SmallerDavis(["fusionseg:davis"]).network(asked, Here(store)).feed.size
    assert published == PaintedDavis().network(asked, Here(store)).feed.size != SIZE
