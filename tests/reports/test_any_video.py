"""Folders and containers that are made at random: what is read of them is what was put in, or they are refused."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdbench.base.errors import InputError
from sdbench.video.decode import decode_frames, frames_at_rate
from tests.reports.made import pan, pictures, quarters, seen, write

few = settings(max_examples=20, deadline=None, derandomize=True, database=None)


@few
@given(
    prefix=st.sampled_from(["", "frame", "img_", "cam2_", "a-1-"]),
    ending=st.sampled_from(["png", "bmp", "PNG"]),
    digits=st.integers(1, 6),
    first=st.integers(0, 120),
    step=st.integers(1, 7),
    count=st.integers(3, 12),
    fault=st.sampled_from([None, "gap", "kind", "again", "text"]),
)
def test_a_folder_is_read_in_the_order_of_its_numbers_or_refused(
    prefix: str, ending: str, digits: int, first: int, step: int, count: int, fault: str | None
) -> None:
    numbers = [first + step * place for place in range(count)]
    names = [f"{prefix}{number:0{digits}}.{ending}" for number in numbers]
    with tempfile.TemporaryDirectory() as place:
        folder = pictures(Path(place), names)
        if fault == "gap":
            (folder / names[1]).unlink()
        if fault == "kind":
            pictures(folder, [f"flow_{name}" for name in names])
        if fault == "again":
            pictures(folder, [f"{prefix}{numbers[1]:0{digits + 4}}.{ending}"])
        if fault == "text":
            (folder / "readme.txt").write_text("no picture")
        # Of three numbers without the middle one, two are left: any two are in even steps.
        if fault in (None, "text") or (fault == "gap" and count == 3):
            shown = [int(frame[0, 0, 0]) for frame in decode_frames(folder)]
            assert shown == [10 * place for place in range(count) if fault != "gap" or place != 1]
        else:
            with pytest.raises(InputError):
                list(decode_frames(folder))


@few
@given(
    container=st.sampled_from([("mp4", "mpeg4"), ("mov", "mpeg4"), ("mkv", "mpeg4"), ("mkv", "ffv1")]),
    count=st.integers(1, 9),
    quarter_turns=st.integers(0, 3),
    hflip=st.booleans(),
    vflip=st.booleans(),
)
def test_a_container_is_read_as_it_says(
    container: tuple[str, str], count: int, quarter_turns: int, hflip: bool, vflip: bool
) -> None:
    expected = np.rot90(quarters(), quarter_turns)  # counter-clockwise, then the flips
    expected = expected[:: -1 if vflip else 1, :: -1 if hflip else 1]
    with tempfile.TemporaryDirectory() as place:
        path = write(
            Path(place) / f"a.{container[0]}",
            [quarters()] * count,
            container[1],
            degrees=90 * quarter_turns,
            flips={"hflip": hflip, "vflip": vflip},
        )
        frames = list(decode_frames(path))
    assert [frame.shape for frame in frames] == [expected.shape] * count
    assert {seen(frame) for frame in frames} == {seen(expected)}


@few
@given(
    container=st.sampled_from([("mp4", "mpeg4"), ("mkv", "mpeg4"), ("avi", "mpeg4"), ("flv", "flv"), ("mkv", "ffv1")]),
    cut=st.floats(0.3, 0.97),
)
def test_a_file_that_is_cut_off_is_never_a_shorter_video(container: tuple[str, str], cut: float) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = write(Path(place) / f"a.{container[0]}", pan(30), container[1])
        whole = list(decode_frames(path))
        content = path.read_bytes()
        path.write_bytes(content[: int(cut * len(content))])
        try:
            frames = list(decode_frames(path))
        except InputError:
            return
        np.testing.assert_array_equal(np.stack(frames), np.stack(whole))  # only what stands behind the frames is gone


@few
@given(times=st.lists(st.integers(1, 12), min_size=2, max_size=12), rate=st.sampled_from([1, 5, 10]))
def test_a_time_shows_the_last_frame_that_began(times: list[int], rate: int) -> None:
    begins = [0, *itertools.accumulate(20 * step for step in times)]
    with tempfile.TemporaryDirectory() as place:
        path = write(Path(place) / "a.mkv", pan(len(begins)), times=begins)
        every = list(decode_frames(path))
        found = list(frames_at_rate(path, rate))
    for number, frame in enumerate(found):
        shown = max(place for place, begin in enumerate(begins) if begin * rate <= 1000 * number)
        np.testing.assert_array_equal(frame, every[shown])
    assert begins[-1] * rate <= 1000 * len(found)
