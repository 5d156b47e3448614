"""Copies are not made among what they are made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdbench.base.errors import InputError
from sdbench.cli import main
from sdbench.data.layouts import LAYOUTS
from sdbench.data.make.job import check_apart
from tests.conftest import moving_squares, write_video


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("a", "a"),
        ("a", "a/painted"),
        ("a/videos", "a"),
        ("a", "a/../a"),
        ("a", "link"),
        ("link", "a/new"),
        ("a", "a/videos/one.mp4"),
    ],
)
def test_one_inside_the_other_is_refused(
    source: str, target: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SDBENCH_OFFLINE", "1")
    Path("a/videos").mkdir(parents=True)
    Path("link").symlink_to("a")
    write_video(Path("a/videos/one.mp4"), moving_squares(3))
    before = sorted(Path().rglob("*"))
    assert main(["stylize", source, target]) == 1
    said = capsys.readouterr().err
    assert "is a file; expected a folder" in said if target.endswith("mp4") else "make the copies elsewhere" in said
    assert sorted(path for path in Path().rglob("*") if "cache" not in path.parts) == before
    check_apart(Path("a"), Path("a-painted"), LAYOUTS["ssv2"])
    with pytest.raises(InputError):
        check_apart(Path(source), Path(target), LAYOUTS["ssv2"])


def test_copies_of_davis_may_lie_around_its_frames_but_not_among_them(tmp_path: Path) -> None:
    frames = tmp_path / "DAVIS" / "JPEGImages" / "480p" / "bear"
    frames.mkdir(parents=True)
    check_apart(frames, tmp_path / "DAVIS", LAYOUTS["davis"])
    for inside in (frames, frames / "painted"):
        with pytest.raises(InputError, match="make the copies elsewhere"):
            check_apart(frames, inside, LAYOUTS["davis"])
