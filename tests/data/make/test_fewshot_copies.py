"""Copies made by the painter of the paper: layouts, names of styles, resuming, and what is not mixed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdbench.base.errors import AssetError, InputError
from sdbench.base.files import sha256_of
from sdbench.cli import main
from sdbench.data import davis
from sdbench.data.davis_check import PUBLISHED_STYLES
from sdbench.data.layouts import LAYOUTS
from sdbench.data.make.job import Job
from sdbench.data.make.painters import names_of_models
from sdbench.data.make.stylised import estimate_disk, find_sources, stylize
from sdbench.video.fewshot import FewShotPainter
from tests.conftest import moving_squares, write_video
from tests.made.davis import make_davis
from tests.made.fewshot import FORMS, published_model, save_whole
from tests.made.stylised import annotation_files, write


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Four files of one name, in folders called after the styles, as a user of the published ones has them."""
    folder = tmp_path_factory.mktemp("models")
    return tuple(
        save_whole(published_model(seed), folder / style / "model_00020.pth", FORMS[seed % 2])
        for seed, style in enumerate(PUBLISHED_STYLES)
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for seed, name in enumerate(("101", "102")):
        write_video(folder / f"{name}.mp4", moving_squares(3, 16, 32, seed=seed))
    return folder


def weights(models: tuple[Path, ...]) -> list[str]:
    return ["--painter", "fewshot", *(word for path in models for word in ("--weights", str(path)))]


def made(target: Path) -> dict[str, bytes]:
    return {path.relative_to(target).as_posix(): path.read_bytes() for path in sorted(target.rglob("*.jpg"))}


def quietly(what: Job, sources: dict[str, Path], processes: int = 1):
    return stylize(what, sources, processes, lambda name: None)


def test_the_command_paints_davis_in_the_published_styles(
    models: tuple[Path, ...], tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch
) -> None:
    """Without the packaged network, which is neither here nor fetched; run again, it makes what is missing."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("SDBENCH_CACHE", str(cache))
    monkeypatch.setenv("SDBENCH_OFFLINE", "1")
    data, target = make_davis(tmp_path / "DAVIS", sequences=("bear",), frames=2, width=38), tmp_path / "made"
    command = ["stylize", str(data), str(target), "--layout", "davis", "--processes", "1", *weights(models)]
    assert main(command) == 0
    assert "1 videos painted, 0 were there, 0 could not be read" in capsys.readouterr().out
    found = davis(data, target, flow=False)
    assert found.styles == PUBLISHED_STYLES
    assert found.notes[0].endswith(
        "Zuzka2, painted by the few-shot patch network of the published study with models of the user's own"
    )
    described = json.loads((target / "stylised.json").read_text())
    assert described["painter"] == "few-shot patch network"
    assert described["weights_sha256"] == {path.parent.name: sha256_of(path) for path in models}
    filmed = found.image(found.sequences[0], 1)
    whole = np.pad(filmed, ((0, 0), (0, 2), (0, 0)), mode="reflect")
    (direct,) = FewShotPainter({"Zuzka1": models[2]}).paint_frame(whole, ["Zuzka1"])
    copy = found.image(found.sequences[0], 1, "Zuzka1")
    assert copy.shape == filmed.shape == (24, 38, 3)
    assert np.abs(copy.astype(int) - direct[:, :38]).mean() < 3, "the same paint, but for JPEG"
    before = made(target)
    next(target.rglob("JPEGImages/Lynx/bear/00001.jpg")).unlink()
    next(target.rglob(".finished/bear")).unlink()
    assert main(command) == 0
    assert "1 videos painted" in capsys.readouterr().out
    assert made(target) == before, "the same bits"


@pytest.mark.slow
def test_copies_can_be_read_as_a_data_set_of_action_recognition(
    models: tuple[Path, ...], source: Path, tmp_path: Path
) -> None:
    write(source, annotation_files("ssv2", {"101": 3, "102": 3}))
    names = tuple(path.parent.name for path in models)
    what = Job(tmp_path / "made", LAYOUTS["ssv2"], names, 16, models)
    sources = find_sources(source, what.layout)
    assert estimate_disk(what, sources).frames == 4 * 6
    assert quietly(what, sources, 2).made == 2
    assert len(made(what.target)) == 4 * 6
    alone = Job(tmp_path / "alone", what.layout, names, 16, models)
    quietly(alone, sources)
    assert made(alone.target) == made(what.target), "processes make the same pictures"
    described = json.loads((what.target / "stylised.json").read_text())
    assert described["styles"] == {f"style_{number}": name for number, name in enumerate(names, start=1)}


def test_what_is_finished_is_not_done_again_and_other_models_are_not_mixed_in(
    models: tuple[Path, ...], source: Path, tmp_path: Path, monkeypatch
) -> None:
    layout = LAYOUTS["ssv2"]
    what = Job(tmp_path / "made", layout, ("a", "b", "c"), 16, models[:3])
    sources = find_sources(source, layout)
    painted: list[int] = []
    original = FewShotPainter.paint_frame

    def counted(self: FewShotPainter, *given: Any) -> Iterator[np.ndarray]:
        for frame in original(self, *given):
            if len(painted) == 10:
                raise KeyboardInterrupt
            painted.append(1)
            yield frame

    monkeypatch.setattr(FewShotPainter, "paint_frame", counted)
    with pytest.raises(KeyboardInterrupt):
        quietly(what, sources)
    assert len(made(what.target)) == 10
    painted.clear()
    quietly(what, sources)
    assert len(painted) == 3 * 6 - 10
    painted.clear()
    assert (quietly(what, sources).kept, painted) == (2, [])
    other = Job(what.target, layout, ("a", "b", "c"), 16, (*models[:2], models[3]))
    with pytest.raises(InputError, match="holds copies made with another weights_sha256: see"):
        quietly(other, sources)
    packaged = tmp_path / "styles.onnx"
    packaged.write_bytes(b"another painter")
    with pytest.raises(
        InputError, match="holds copies made with another styles, style_network_sha256, painter, weights"
    ):
        quietly(Job(what.target, layout, ("style1", "style2", "style3", "style4"), 16, packaged), sources)
    elsewhere = Job(what.target, layout, ("a", "b", "c"), 16, models[:3], "cpu:0")
    with pytest.raises(InputError, match="holds copies made with another device: see"):
        quietly(elsewhere, sources)


def test_styles_are_called_after_files_or_their_folders(models: tuple[Path, ...], tmp_path: Path, monkeypatch) -> None:
    assert names_of_models(models) == PUBLISHED_STYLES
    assert names_of_models(models[:1]) == ("model_00020",)
    monkeypatch.chdir(models[0].parent)
    assert names_of_models([Path("model_00020.pth"), Path("../Zuzka1/model_00020.pth")]) == ("Lynx", "Zuzka1")
    assert names_of_models([Path("a/x.pth"), Path("a/y.pth")]) == ("x", "y")
    with pytest.raises(
        InputError, match=r"neither the files of the models nor their folders .* name the styles, --styles"
    ):
        names_of_models([Path("1/a/x.pth"), Path("2/a/x.pth")])


def test_one_model_paints_one_style_and_says_that_it_gives_no_study(
    models: tuple[Path, ...], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = make_davis(tmp_path / "DAVIS", sequences=("bear",), frames=2)
    command = ["stylize", str(data), str(tmp_path / "made"), "--layout", "davis", "--processes", "1"]
    assert main([*command, *weights(models[:1]), "--styles", "Lynx", "--device", "cpu:0"]) == 0
    assert "copies in 1 style give no study: 2 are needed at least" in capsys.readouterr().out
    painted = np.asarray(Image.open(tmp_path / "made/JPEGImages/Lynx/bear/00000.jpg"))
    assert painted.shape == (24, 40, 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--painter", "fewshot"), "--painter fewshot takes a model of yours for each style"),
        (("--weights", "{model}"), "--weights goes with --painter fewshot"),
        (("--painter", "fewshot", "--weights", "nowhere.pth"), "no file at nowhere.pth; expected a model"),
        (("--painter", "fewshot", "--weights", "{model}", "--styles", "a,b"), "got 1 models and 2 names of styles"),
        (("--painter", "fewshot", "--weights", "{model}", "--styles", "../a"), "'../a' cannot be the name of a style"),
        (("--painter", "fewshot", *(5 * ("--weights", "{model}")), "--styles", "a,b,c,d,e"), "4 style folders; got 5"),
        (
            ("--painter", "fewshot", *(2 * ("--weights", "{model}"))),
            "neither the files of the models nor their folders",
        ),
        (("--painter", "fewshot", *(2 * ("--weights", "{model}")), "--styles", "a,A"), "may be named once; got a, A"),
        (("--painter", "fewshot", "--weights", "{other}"), "cannot be read as a painter: it is not a file as torch"),
    ],
)
def test_mistakes_are_told_in_one_line(
    options: tuple[str, ...], said: str, models: tuple[Path, ...], source: Path, tmp_path: Path, capsys
) -> None:
    (tmp_path / "other.pth").write_bytes(b"no model at all")
    words = [word.format(model=models[0], other=tmp_path / "other.pth") for word in options]
    assert main(["stylize", str(source), str(tmp_path / "made"), "--layout", "ssv2", *words]) == 1
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert not list(tmp_path.rglob("made/style_1/*"))


def test_a_model_that_is_damaged_is_named(models: tuple[Path, ...], source: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pth"
    cut.write_bytes(models[0].read_bytes()[:1000])
    what = Job(tmp_path / "made", LAYOUTS["davis"], ("a", "b"), 16, (models[0], cut))
    with pytest.raises(AssetError, match=r"cut\.pth is not a whole file of torch"):
        what.painter()
