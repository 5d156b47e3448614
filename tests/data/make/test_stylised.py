"""Making stylised copies: layouts, resuming, parallel processes, and what can go wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdbench.assets import AssetStore
from sdbench.base.errors import InputError
from sdbench.cli import main
from sdbench.data import READERS, davis
from sdbench.data.layouts import LAYOUTS, STYLE_FOLDERS
from sdbench.data.make.job import Job
from sdbench.data.make.stylised import estimate_disk, find_sources, stylize
from sdbench.video.decode import decode_frames, frames_at_rate, outline, picture_size
from sdbench.video.paint import DEFAULT_STYLES, Painter
from tests.conftest import COMMAND, moving_squares, write_video
from tests.made.davis import make_davis, make_painted
from tests.made.stylised import annotation_files, read, write

pytestmark = pytest.mark.assets

ELSEWHERE = "cpu:0"
"""Torch calls the CPU so too. This package calls it only "cpu", so that it is another device, on every machine."""


def job(store: AssetStore, target: Path, layout: str = "ssv2", short_side: int = 16) -> Job:
    return Job(target, LAYOUTS[layout], DEFAULT_STYLES, short_side, store.path("styles26"))


def pictures(folder: Path, frames: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number:04d}.png")
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A video file and a folder of frames, 24 x 32."""
    folder = tmp_path / "source"
    pictures(folder / "101", moving_squares(10, 24, 32))
    write_video(folder / "102.mp4", moving_squares(12, 24, 32, seed=1))
    write(folder, annotation_files("ssv2", {"101": 10, "102": 12}))
    return folder


def made(target: Path) -> dict[str, bytes]:
    """The finished frames; a thread that still works may hold others under hidden names, gone the next moment."""
    finished = (path for path in sorted(target.rglob("*.jpg")) if not path.name.startswith("."))
    return {path.relative_to(target).as_posix(): path.read_bytes() for path in finished}


def quietly(what: Job, sources: dict[str, Path], processes: int = 1):
    return stylize(what, sources, processes, lambda name: None)


@pytest.mark.parametrize("layout", READERS)
def test_copies_can_be_read_as_the_data_set_of_that_layout(store: AssetStore, tmp_path: Path, layout: str) -> None:
    source, names = tmp_path / "source", ["101", "102"]
    pictures(source / names[0], moving_squares(40, 24, 32))
    write_video(
        source / f"{names[1]}.mp4", moving_squares(165, 24, 32, seed=1)[: 165 if layout == "activitynet" else 33]
    )
    write(source, annotation_files(layout, dict.fromkeys(names, 33)))
    what = job(store, tmp_path / "made", layout, 8)
    outcome = quietly(what, find_sources(source, what.layout))
    assert (outcome.made, outcome.kept, outcome.failed, outcome.lacking) == (2, 0, (), ())
    found = read(what.target, layout)
    assert [video.frames for video in found.videos] == [40, 33], "ActivityNet: 165 frames at 25 a second are 33 at 5"
    shown = [found.read(found.videos[0], style, [0])[0] for style in STYLE_FOLDERS]
    assert shown[0].shape == (8, 12, 3)
    assert all(np.abs(shown[0].astype(int) - other).mean() > 8 for other in shown[1:])
    described = json.loads((what.target / "stylised.json").read_text())
    assert described["styles"] == dict(zip(STYLE_FOLDERS, DEFAULT_STYLES, strict=True))


def test_a_rate_is_kept_by_taking_what_is_seen_at_each_time(store: AssetStore, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving_squares(26, 24, 32))
    assert outline(path).frames == 26
    assert outline(path).rate == 25
    frames = list(decode_frames(path))
    for rate, expected in ((5, [0, 5, 10, 15, 20, 25]), (50, [i // 2 for i in range(52)]), (None, list(range(26)))):
        taken = list(frames_at_rate(path, rate))
        assert len(taken) == len(expected)
        for frame, position in zip(taken, expected, strict=True):
            np.testing.assert_array_equal(frame, frames[position])


@pytest.mark.slow
def test_processes_make_the_same_pictures(store: AssetStore, tmp_path: Path, source: Path) -> None:
    alone, together = job(store, tmp_path / "alone"), job(store, tmp_path / "together")
    sources = find_sources(source, alone.layout)
    quietly(alone, sources)
    advanced: list[str] = []
    stylize(together, sources, 2, advanced.append)
    assert sorted(advanced) == ["101", "102"]
    assert len(made(alone.target)) == 4 * 22
    assert made(alone.target) == made(together.target)


def test_another_device_paints_with_threads_and_its_copies_are_not_mixed_with_others(
    store: AssetStore, tmp_path: Path, source: Path
) -> None:
    here = job(store, tmp_path / "here")
    there = replace(here, target=tmp_path / "there", device=ELSEWHERE)
    alone = replace(there, target=tmp_path / "alone")
    sources = find_sources(source, here.layout)
    assert estimate_disk(there, sources).frames == 88
    for what, processes in ((here, 1), (there, 2), (alone, 1)):
        assert quietly(what, sources, processes).made == 2
    assert made(there.target) == made(alone.target)
    for path in made(here.target):
        one, other = (np.asarray(Image.open(folder / path)).astype(int) for folder in (here.target, there.target))
        assert np.abs(one - other).mean() < 1, "the same paint, but for JPEG"
    assert "device" not in json.loads((here.target / "stylised.json").read_text())
    assert json.loads((there.target / "stylised.json").read_text())["device"] == "cpu"
    for what in (replace(here, device=ELSEWHERE), replace(there, device="cpu")):
        with pytest.raises(InputError, match="holds copies made with another device: see"):
            quietly(what, sources)


def test_threads_stop_after_the_frame_that_they_are_at(
    store: AssetStore, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = replace(job(store, tmp_path / "made"), device=ELSEWHERE)
    sources = find_sources(source, what.layout)

    def interrupted(*given: Any, **named: Any) -> None:
        deadline = time.monotonic() + 60
        while len(made(what.target)) < 4 and time.monotonic() < deadline:
            time.sleep(0.001)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sdbench.data.make.stylised.wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            quietly(what, sources, 2)
    assert 4 <= len(made(what.target)) < 88
    assert not list(what.target.rglob(".*.jpg")), "no half-written frame is left"
    assert quietly(what, sources, 2).made == 2
    assert len(made(what.target)) == 88


def test_what_is_finished_is_not_done_again(store: AssetStore, tmp_path: Path, source: Path, monkeypatch) -> None:
    what = job(store, tmp_path / "made")
    sources = find_sources(source, what.layout)
    painted: list[int] = []
    original = Painter.paint_frame

    def paint_all(self: Painter, *given: Any) -> Iterator[np.ndarray]:
        for frame in original(self, *given):
            painted.append(1)
            yield frame

    def paint(self: Painter, *given: Any) -> Iterator[np.ndarray]:
        for frame in original(self, *given):
            if len(painted) == 30:
                raise KeyboardInterrupt
            painted.append(1)
            yield frame

    with monkeypatch.context() as patch:
        patch.setattr(Painter, "paint_frame", paint)
        with pytest.raises(KeyboardInterrupt):
            quietly(what, sources)
    before = made(what.target)
    assert len(before) == 30
    write(what.target, annotation_files("ssv2", {"101": 10, "102": 12}))
    with pytest.raises(InputError, match="not finished by `sdbench stylize`: run it again"):
        read(what.target, "ssv2")
    assert estimate_disk(what, sources).frames == 40 + 48
    monkeypatch.setattr(Painter, "paint_frame", paint_all)
    painted.clear()
    assert quietly(what, sources).made == 2
    assert len(painted) == 4 * 22 - 30
    assert before.items() <= made(what.target).items()
    painted.clear()
    outcome = quietly(what, sources)
    assert (outcome.made, outcome.kept, painted) == (0, 2, [])
    assert estimate_disk(what, sources).bytes == 0
    assert len(read(what.target, "ssv2").videos) == 2


def test_a_video_that_cannot_be_read_leaves_nothing_and_the_others_go_on(store, tmp_path: Path, source: Path) -> None:
    whole = write_video(source / "100.mp4", moving_squares(60, 24, 32))
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (source / "103.mp4").write_bytes(b"no video")
    what = job(store, tmp_path / "made")
    outcome = quietly(what, find_sources(source, what.layout))
    assert outcome.made == 2
    assert len(outcome.failed) == 2
    assert "100.mp4" in outcome.failed[0]
    assert "103.mp4 cannot be decoded as a video" in outcome.failed[1]
    assert {path.split("/")[1] for path in made(what.target)} == {"101", "102"}


def test_other_options_or_a_foreign_folder_are_refused(store: AssetStore, tmp_path: Path, source: Path) -> None:
    what = job(store, tmp_path / "made")
    sources = find_sources(source, what.layout)
    quietly(what, sources)
    with pytest.raises(InputError, match=r"copies made with another short_side: see .*stylised\.json; choose another"):
        quietly(job(store, tmp_path / "made", short_side=20), sources)
    (tmp_path / "made" / "stylised.json").write_text("{")
    with pytest.raises(InputError, match="is damaged; choose another folder"):
        quietly(what, sources)
    (tmp_path / "made" / "stylised.json").unlink()
    with pytest.raises(InputError, match="holds style folders that were not made here"):
        quietly(what, sources)


def test_too_little_disk_is_said_before_anything_is_painted(store, tmp_path: Path, source: Path, monkeypatch) -> None:
    what = job(store, tmp_path / "made")
    sources = find_sources(source, what.layout)
    guessed = estimate_disk(what, sources)
    quietly(what, sources)
    real = sum(len(content) for content in made(what.target).values())
    assert guessed.frames == 88
    assert 0.5 < guessed.bytes / real < 2
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1})())
    with pytest.raises(InputError, match=r"not enough disk at .*: about 88 frames, .* make room"):
        estimate_disk(job(store, tmp_path / "other"), sources)


def test_sources_and_options_that_make_no_sense_are_named(store: AssetStore, tmp_path: Path, source: Path) -> None:
    with pytest.raises(InputError, match="no folder at"):
        find_sources(tmp_path / "nowhere", LAYOUTS["ssv2"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no video"):
        find_sources(tmp_path / "empty", LAYOUTS["ssv2"])
    write_video(source / "v_102.mp4", moving_squares(3, 24, 32))
    with pytest.raises(InputError, match="would both become v_102; rename one"):
        find_sources(source, LAYOUTS["activitynet"])
    with pytest.raises(InputError, match="has 4 style folders; got 2 styles"):
        Job(tmp_path, LAYOUTS["ssv2"], DEFAULT_STYLES[:2], 16, store.path("styles26"))
    with pytest.raises(InputError, match="the short side must be at least 8 pixels; got 4"):
        job(store, tmp_path, short_side=4)
    with pytest.raises(InputError, match="at least one process"):
        quietly(job(store, tmp_path / "x"), {}, 0)


class TestDavis:
    """Copies of DAVIS keep the names and, to the pixel, the places of what they show."""

    def davis_job(self, store: AssetStore, target: Path, short_side: int = 480) -> Job:
        return Job(target, LAYOUTS["davis"], DEFAULT_STYLES[:2], short_side, store.path("styles26"))

    def test_copies_are_read_with_the_data_set(self, store: AssetStore, tmp_path: Path) -> None:
        data = make_davis(tmp_path / "DAVIS", frames=3, width=38)
        (data / "JPEGImages/480p/not_listed").mkdir()
        for path in [*data.glob("JPEGImages/480p/camel/*"), *data.glob("Annotations/480p/camel/*")]:
            path.rename(path.with_name(f"1{path.name[1:]}"))
        listed = data / "ImageSets/480p/val.txt"
        listed.write_text(listed.read_text().replace("camel/0", "camel/1"))
        what = self.davis_job(store, tmp_path / "made")
        sources = find_sources(data, what.layout)
        assert list(sources) == ["bear", "camel", "cows"]
        assert quietly(what, sources).made == 3
        found = davis(data, what.target, flow=False)
        assert found.styles == ("style5", "style10")
        assert "painted by the packaged style network; they are not those of the published study" in found.notes[0]
        camel = found.sequences[1]
        assert camel.frames == ("10000", "10001", "10002")
        filmed = found.image(camel, 1)
        copy = found.image(camel, 1, "style5")
        assert copy.shape == filmed.shape == (24, 38, 3)
        assert np.abs(copy.astype(int) - filmed).mean() > 8
        described = json.loads((what.target / "stylised.json").read_text())
        assert described["styles"] == {"JPEGImages/style5": "style5", "JPEGImages/style10": "style10"}

    def test_widths_that_the_network_cannot_take_are_mirrored_and_cut_off(self, store: AssetStore, tmp_path) -> None:
        data = make_davis(tmp_path / "DAVIS", frames=2, width=38)
        whole = make_davis(tmp_path / "whole", frames=2, width=40)
        for path in (data / "JPEGImages").rglob("*.jpg"):
            frame = np.asarray(Image.open(path))
            mirrored = whole / path.relative_to(data)
            Image.fromarray(np.concatenate([frame, frame[:, -2:-4:-1]], axis=1)).save(mirrored.with_suffix(".png"))
            mirrored.unlink()
        for source in (data, whole):
            what = self.davis_job(store, tmp_path / f"{source.name}_made")
            quietly(what, {path.name: path for path in (source / "JPEGImages/480p").iterdir()})
        place = "JPEGImages/style5/camel/00000.jpg"
        cut, full = (np.asarray(Image.open(tmp_path / f"{name}_made" / place)) for name in ("DAVIS", "whole"))
        assert (cut.shape, full.shape) == ((24, 38, 3), (24, 40, 3))
        assert np.abs(cut.astype(int) - full[:, :38]).mean() < 2, "the same paint, but for JPEG"

    def test_copies_are_made_smaller_to_the_same_aspect_ratio(self, store: AssetStore, tmp_path: Path) -> None:
        data = make_davis(tmp_path / "DAVIS", sequences=("bear",), frames=2, height=40, width=70)
        what = self.davis_job(store, tmp_path / "made", short_side=20)
        quietly(what, find_sources(data, what.layout))
        assert picture_size(tmp_path / "made/JPEGImages/style5/bear/00001.jpg") == (20, 35)
        assert "bear: 35 x 20 and 70 x 40" in davis(data, what.target, flow=False).notes[-1]

    def test_published_copies_are_not_mixed_with_others(self, store: AssetStore, tmp_path: Path) -> None:
        data = make_davis(tmp_path / "DAVIS", frames=2)
        published = make_painted(tmp_path / "Stylized_DAVIS", data)
        with pytest.raises(InputError, match="holds style folders that were not made here"):
            quietly(self.davis_job(store, published), find_sources(data, LAYOUTS["davis"]))
        what = self.davis_job(store, data)
        assert quietly(what, find_sources(data, what.layout)).made == 3, "beside the frames as filmed"
        assert set(davis(data, data, flow=False).styles) == {"style5", "style10"}

    def test_copies_that_are_not_finished_are_named(self, store: AssetStore, tmp_path: Path) -> None:
        data = make_davis(tmp_path / "DAVIS", frames=2)
        what = self.davis_job(store, tmp_path / "made")
        sources = find_sources(data, what.layout)
        del sources["cows"]
        quietly(what, sources)
        with pytest.raises(InputError, match=r"missing painted sequences: 1, of cows .*`sdbench stylize"):
            davis(data, what.target, flow=False)

    def test_the_command_makes_them(self, store: AssetStore, tmp_path: Path, capsys, monkeypatch) -> None:
        monkeypatch.setenv("SDBENCH_CACHE", str(store.folder))
        make_davis(tmp_path / "DAVIS", sequences=("bear",), frames=2)
        arguments = [
            "stylize",
            str(tmp_path / "DAVIS"),
            str(tmp_path / "made"),
            "--layout",
            "davis",
            "--processes",
            "1",
        ]
        assert main(arguments) == 0
        assert "1 videos painted, 0 were there" in capsys.readouterr().out
        assert davis(tmp_path / "DAVIS", tmp_path / "made", flow=False).styles == DEFAULT_STYLES
        assert main([*arguments[:2], str(tmp_path / "x"), *arguments[3:], "--split", "test"]) == 1
        assert "no list at" in capsys.readouterr().err


class TestCommand:
    @pytest.mark.filterwarnings("default:.*no videos by their ending")
    def test_it_estimates_paints_and_says_what_is_lacking(
        self, store, tmp_path: Path, source: Path, capsys, monkeypatch
    ):
        monkeypatch.setenv("SDBENCH_CACHE", str(store.folder))
        target = tmp_path / "made"
        styles = "style1,style2,style3,style4"
        arguments = ["stylize", str(source), str(target), "--layout", "diving48", "--styles", styles]
        assert main([*arguments, "--short-side", "16", "--processes", "1"]) == 0
        shown, told = capsys.readouterr()
        assert "no videos by their ending (2: 2 .json): something-something-v2-labels.json" in told
        assert "2 videos; still to make: about 88 frames" in shown
        assert "2 videos painted, 0 were there, 0 could not be read" in shown
        assert f"put beside the style folders in {target}: Diving48_V2_test.json" in shown
        assert (target / "style_4" / "101" / "image_00000.jpg").is_file()

    def test_a_wrong_layout_is_named(self, tmp_path: Path, source: Path, capsys) -> None:
        assert main(["stylize", str(source), str(tmp_path / "x"), "--layout", "diving"]) == 1
        assert "unknown layout 'diving'; did you mean diving48" in capsys.readouterr().err

    def test_the_device_is_passed_on(self, store, tmp_path: Path, source: Path, capsys, monkeypatch) -> None:
        monkeypatch.setenv("SDBENCH_CACHE", str(store.folder))
        target = tmp_path / "made"
        arguments = ["stylize", str(source), str(target), "--layout", "ssv2", "--short-side", "16", "--device"]
        assert main([*arguments, "gpu"]) == 1
        assert "unknown device 'gpu'" in capsys.readouterr().err
        with monkeypatch.context() as patch:
            patch.setattr("torch.cuda.is_available", lambda: False)
            assert main([*arguments, "cuda"]) == 1
        assert "there is no CUDA device here" in capsys.readouterr().err
        assert not target.exists()
        assert main([*arguments, ELSEWHERE]) == 0
        assert json.loads((target / "stylised.json").read_text())["device"] == "cpu"

    @pytest.mark.slow
    def test_ctrl_c_ends_it_and_the_next_run_goes_on(
        self, store: AssetStore, tmp_path: Path, capsys, monkeypatch
    ) -> None:
        source, target = tmp_path / "source", tmp_path / "made"
        for name in ("101", "102"):
            pictures(source / name, moving_squares(16, 96, 128))
        arguments = ["stylize", str(source), str(target), "--layout", "ssv2", "--processes"]
        environment = {**os.environ, "SDBENCH_CACHE": str(store.folder), "PYTHONUNBUFFERED": "1"}
        running = subprocess.Popen(
            [*COMMAND, *arguments, "2"],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while len(made(target)) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        _, said = running.communicate(timeout=30)
        assert running.returncode == 130, said
        assert "run the same command again to go on" in said
        assert "Traceback" not in said
        assert not list(target.rglob(".*.jpg")), "no half-written frame is left"
        before = len(made(target))
        assert 4 <= before < 4 * 32
        monkeypatch.setenv("SDBENCH_CACHE", str(store.folder))
        assert main([*arguments, "1"]) == 0
        assert "2 videos painted" in capsys.readouterr().out
        assert len(made(target)) == 4 * 32
