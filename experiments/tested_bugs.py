"""Deliberate bugs outside of what recorded cases measure: does a test notice each of them?

    python -m experiments.tested_bugs [--only WORDS]

Frames are decoded and painted before recorded cases read them, and intervals and verdicts made after. Each bug of
`BUGS` is put into a fresh process, as those of `experiments.mutations` are, and the tests of a few files are run there
until one fails. Prints a table; exit status: 0 where each bug failed a test, 1 where one survived.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from math import sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from PIL import Image

from experiments.mutations import Mutation

NAMED = "SDBENCH_BUG"
"""The environment variable that names the bug of a process."""

Function = Callable[..., Any]


def _answer(change: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """What a function answers, changed."""
    return lambda function: lambda *given, **options: change(function(*given, **options))


def _each(change: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """What a function yields, one after the other, changed."""
    return _answer(lambda found: map(change, found))


def _constant(value: Any) -> Callable[[Any], Any]:
    return lambda _: value


def _scaled(factor: float) -> Callable[[Function], Function]:
    return _answer(lambda found: tuple(factor * each for each in found))


def _reversed_colours(pixels: Any) -> Any:
    return pixels[..., ::-1]


def _other_direction(picture: Function) -> Function:
    """The flow forward in the place of that backward, and the other way round."""
    return lambda pictures, position, backward, size: picture(
        pictures, position, pictures.feed.flow == "both" and not backward, size
    )


def _forward(picture: Function) -> Function:
    return lambda pictures, position, _backward, size: picture(pictures, position, False, size)


def _resized(filter_: Image.Resampling, gap: float | None = None) -> Callable[[Function], Function]:
    def resize(_: Function) -> Function:
        def resized(frame: Any, size: tuple[int, int]) -> Any:
            return np.asarray(Image.fromarray(frame).resize((size[1], size[0]), filter_, reducing_gap=gap))

        return resized

    return resize


def _without_averaging(_: Function) -> Function:
    """Bilinear between the four nearest pixels, however much a frame shrinks."""

    def resized(frame: Any, size: tuple[int, int]) -> Any:
        (height, width), image = size, Image.fromarray(frame)
        by = (image.width / width, 0, 0, 0, image.height / height, 0)
        return np.asarray(image.transform((width, height), Image.Transform.AFFINE, by, Image.Resampling.BILINEAR))

    return resized


def _rough_colours(reformatter: type) -> Callable[[], Any]:
    class Rough:
        def reformat(self, frame: Any, **options: Any) -> Any:
            return reformatter().reformat(frame, **{**options, "interpolation": "POINT"})

    return Rough


def _cut_off(_: Function) -> Function:
    """Painted values cut to whole numbers, not rounded."""

    def painted(brush: Any, frame: Any, style: int) -> Any:
        weights = np.zeros(26, dtype=np.float32)
        weights[style] = 1
        image = frame.astype(np.float32).transpose(2, 0, 1)[None] / 255
        (answer,) = brush._session.run(None, {"image": image, "style_weights": weights})
        return np.asarray(np.asarray(answer)[0].transpose(1, 2, 0).clip(0, 1) * 255, dtype=np.uint8)

    return painted


def _rounded(_: Function) -> Function:
    def pictures(painted: Any) -> Any:
        values = ((painted.clamp(-1, 1) + 1) * 127.5).round().byte()
        return values.permute(0, 2, 3, 1).contiguous().numpy()

    return pictures


def _first_frames(take: Function) -> Function:
    """The first frames of the video, wherever a clip begins."""
    return lambda cursor, _start, count: take(cursor, cursor._next, count)


def _ordered(step: int) -> Callable[[Function], Function]:
    """Frames forward (1) or backward (-1) in place of shuffled ones; what cannot be shuffled is refused still."""
    return lambda shuffled: lambda frames, generator: shuffled(frames, generator) and frames[::step]


def _in_second_look(paired: Function) -> Function:
    """Static pairs of the clip in one look and, shuffled, in the other."""

    def changed(crops: int, looks: Iterator[tuple[str, str]], *given: Any) -> Any:
        found = paired(crops, looks, *given)
        for views in found:
            for first, second, factor in list(views.pairs):
                if factor == 1:
                    other = next(views.shown[b] for a, b, of in views.pairs if a == first and of == 0)
                    views.pairs[views.pairs.index((first, second, factor))] = (
                        first,
                        views.number(replace(views.shown[second], look=other.look)),
                        factor,
                    )
        return found

    return changed


def _normal(_: Function) -> Function:
    """The normal distribution's quantile in place of Student's."""
    return lambda _freedom, p: np.float64(NormalDist().inv_cdf(p))


def _error_otherwise(factor: Callable[[int], float]) -> Callable[[Function], Function]:
    def changed(jackknifed: Function) -> Function:
        def found(everything: Any, without: Any) -> Any:
            centre, error = jackknifed(everything, without)
            return centre, error * factor(len(without))

        return found

    return changed


def _uncorrected(jackknifed: Function) -> Function:
    """The estimate itself in place of the one with its bias taken away."""
    return lambda everything, without: (everything, jackknifed(everything, without)[1])


def _other_tail(reaches: Function) -> Function:
    return lambda *given: reaches(*given)[::-1]


def _one_by_one(_: Function) -> Function:
    def reach(_centres: Any, withouts: Sequence[Any], level: float = 0.95) -> Any:
        from sdbench.statistics import jackknife  # noqa: PLC0415 - the bug's process has it already

        ends = [jackknife.limits_of(each.mean(axis=0), each, level) for each in withouts]
        return np.concatenate([(high - low) / 2 for low, high in ends])

    return reach


def _unpaired(margin: Function) -> Function:
    return lambda greater, lesser, _paired, *rest: margin(greater, lesser, False, *rest)


def _turned(margin: Function) -> Function:
    return lambda greater, lesser, *rest: margin(lesser, greater, *rest)


def _points_compared(verdict: Function) -> Function:
    return lambda compared, published: verdict(replace(compared, margin=None), published and compared.margin is None)


def _turned_verdict(verdict: Function) -> Function:
    def turned(compared: Any, published: bool) -> Any:
        margin = compared.margin
        return verdict(
            replace(compared, margin=margin and replace(margin, low=-margin.high, high=-margin.low)), published
        )

    return turned


def _as_recorded(_: Function) -> Function:
    """Published values judged by their points alone, as recorded ones are."""
    from sdbench.cases import verdicts  # noqa: PLC0415 - the bug's process has it already

    def judged(expected: Any, reading: Any, _evidence: Any) -> Any:
        verdict, reason = verdicts._judge_recorded(expected, reading)
        unchanged = verdict is verdicts.Verdict.UNCHANGED
        return (verdicts.Verdict.REPRODUCED if unchanged else verdicts.Verdict.DEVIATES), reason

    return judged


def _by_generalisation(judge: Function) -> Function:
    return lambda expected, reading, evidence: judge(
        expected, replace(reading, reproduction=reading.generalisation), evidence
    )


DECODED = ("tests/video/test_decode.py", "tests/reports/test_shown_videos.py")
OWN = ("tests/data/test_videos.py", "tests/studies/test_clips.py")
PAINTED, FEWSHOT = ("tests/video/test_paint.py",), ("tests/video/test_fewshot.py",)
PAIRS = ("tests/studies/test_clips_pairs.py", "tests/studies/test_clips.py")
FRAMES = ("tests/video/test_feed.py", "tests/video/test_frames.py")
DAVIS = ("tests/studies/test_davis_pairs.py", "tests/studies/test_davis.py")
JACKKNIFE = ("tests/statistics/test_jackknife.py", "tests/statistics/test_uncertainty.py")
COUNTED = ("tests/statistics/test_uncertainty.py", "tests/calibration/test_known_layers.py")
MARGINS, RUNS = ("tests/statistics/test_margins.py",), ("tests/statistics/test_reproduction.py",)
VARIANCE, VERDICTS = ("tests/statistics/test_variance.py",), ("tests/cases/test_verdicts.py",)

BUGS: tuple[tuple[Mutation, tuple[str, ...]], ...] = tuple(
    (Mutation(name, where, change, ()), tests)
    for name, where, change, tests in (
        # Two frames and both flows
        ("second frame is the first", "sdbench.studies.sequences:SequencePlan.partner",
         lambda _: lambda _plan, row, _offset: row, DAVIS),
        ("second frame comes first", "sdbench.studies.davis_study:_shown",
         _answer(lambda shown: (shown[0], shown[1][::-1])), DAVIS),
        ("flow backward and forward exchanged", "sdbench.studies.davis_study:_Pictures._picture",
         _other_direction, DAVIS),
        ("flow forward twice", "sdbench.studies.davis_study:_Pictures._picture", _forward, DAVIS),
        # Crops
        ("crops from the other end", "sdbench.video.feed:crop_positions", _answer(lambda at: at[::-1]), FRAMES),
        ("all crops in the middle", "sdbench.video.feed:crop_positions",
         _answer(lambda at: (at[len(at) // 2],) * len(at)), FRAMES),
        # Decoding
        ("video in blue, green, red", "sdbench.video.decode:_video_frames",
         _each(lambda timed: (*timed[:2], _reversed_colours(timed[2]))), DECODED),
        ("picture in blue, green, red", "sdbench.video.decode:read_picture", _answer(_reversed_colours), DECODED),
        ("colours of a video not interpolated", "sdbench.video.decode:VideoReformatter", _rough_colours, DECODED),
        ("sixteen bits over 256", "sdbench.video.decode:_SIXTEEN_BITS", _constant(256), DECODED),
        ("video not turned upright", "sdbench.video.decode:Orientation.show",
         lambda _: lambda _orientation, pixels, _frame: pixels, DECODED),
        ("picture not turned upright", "sdbench.video.decode:upright", lambda _: lambda picture: picture, DECODED),
        # Clips of one's own
        ("frames shrunk to the nearest pixel", "sdbench.data.videos:resize_frame",
         _resized(Image.Resampling.NEAREST), OWN),
        ("frames shrunk without averaging", "sdbench.data.videos:resize_frame", _without_averaging, OWN),
        ("clips from the beginning", "sdbench.data.videos:_Cursor.take", _first_frames, OWN),
        ("frames as filmed, not shuffled", "sdbench.studies.own_clips:_shuffled",
         _ordered(1), PAIRS),
        ("frames reversed, not shuffled", "sdbench.studies.own_clips:_shuffled",
         _ordered(-1), PAIRS),
        ("static pair in two looks", "sdbench.studies.own_clips:_paired", _in_second_look, PAIRS),
        # Painting
        ("painted values cut, not rounded", "sdbench.video.paint:FrameByFrame._paint_frame", _cut_off, PAINTED),
        ("painted blue, green, red", "sdbench.video.paint:FrameByFrame._paint_frame",
         _answer(_reversed_colours), PAINTED),
        ("painted in the next style", "sdbench.video.paint:FrameByFrame._paint_frame",
         lambda paint: lambda brush, frame, style: paint(brush, frame, (style + 1) % 26), PAINTED),
        ("painted as published, but rounded", "sdbench.video.fewshot:pictures", _rounded, FEWSHOT),
        # Intervals
        ("one standard error, not 1.96", "sdbench.statistics.jackknife:stdtrit",
         lambda quantile: lambda freedom, _p: quantile(freedom, 0.8413), JACKKNIFE),
        ("normal, not Student's t", "sdbench.statistics.jackknife:stdtrit", _normal, JACKKNIFE),
        ("jackknife without (G - 1)", "sdbench.statistics.jackknife:jackknifed",
         _error_otherwise(lambda count: 1 / sqrt(count - 1)), JACKKNIFE),
        ("jackknife over G, not G - 1", "sdbench.statistics.jackknife:jackknifed",
         _error_otherwise(lambda count: sqrt((count - 1) / count)), JACKKNIFE),
        ("bias not taken away", "sdbench.statistics.jackknife:jackknifed", _uncorrected, JACKKNIFE),
        ("long tail at the other side", "sdbench.statistics.jackknife:reaches", _other_tail, JACKKNIFE),
        ("as many degrees of freedom as videos", "sdbench.statistics.jackknife:freedom_of",
         lambda _: lambda influences: np.full(influences.shape[1], len(influences) - 1.0), JACKKNIFE),
        ("counts with noise added", "sdbench.statistics.counting:_extrapolation", _constant(lambda: [0.0, 1.0, 0.0]),
         COUNTED),
        ("moved counts not widened", "sdbench.statistics.counting:_WIDER", _constant(0.5), COUNTED),
        ("few videos taken for many", "sdbench.statistics.counting:_effective",
         lambda _: lambda deviations: (float(len(deviations)), len(deviations) - 1.0), COUNTED),
        ("intervals at once as one by one", "sdbench.statistics.variance:simultaneous",
         _one_by_one, VARIANCE),
        # Margins and reproductions
        ("margin not paired", "sdbench.statistics.margins:margin", _unpaired, MARGINS),
        ("margin of the other sign", "sdbench.statistics.margins:margin", _turned, MARGINS),
        ("runs' spread not over their number", "sdbench.statistics.reproduction:sqrt", _constant(lambda _: 1.0), RUNS),
        ("runs' spread over n, not n - 1", "sdbench.statistics.reproduction:stdev",
         lambda stdev: lambda values: stdev(values) * sqrt((len(values) - 1) / len(values)), RUNS),
        ("videos counted as draws", "sdbench.statistics.reproduction:_within",
         lambda within: lambda values, videos, _members: within(
             values, np.zeros_like(videos), np.array([len(videos)])), RUNS),
        # Verdicts
        ("edge of the band outside", "sdbench.cases.verdicts:_ROUNDING", _constant(-1e-6), VERDICTS),
        ("edge of a tolerance outside", "sdbench.cases.verdicts:_WRITTEN", _constant(-1e-6), VERDICTS),
        ("reading error left out of the band", "sdbench.cases.verdicts:_band",
         lambda _: lambda expected: dict(expected.tolerance), VERDICTS),
        ("published values judged by points", "sdbench.cases.verdicts:_judge_published", _as_recorded, VERDICTS),
        ("judged by the interval over videos", "sdbench.cases.verdicts:_judge_published", _by_generalisation, VERDICTS),
        ("claims judged by points", "sdbench.cases.verdicts:Compared.verdict", _points_compared, VERDICTS),
        ("claims of the other direction", "sdbench.cases.verdicts:Compared.verdict", _turned_verdict, VERDICTS),
    )
)  # fmt: skip
"""Each with the files whose tests could notice it."""


_PUT = ExitStack()
"""The bug of this process, for as long as it lives."""


def pytest_configure() -> None:
    """Have the bug that the environment names: pytest calls this where it is told `-p experiments.tested_bugs`."""
    if name := os.environ.get(NAMED):
        _PUT.enter_context(next(bug for bug, _ in BUGS if bug.name == name).put())


def failing(bug: Mutation, tests: Sequence[str]) -> str:
    """The first test that fails with a bug; "" where none does."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:xdist", "-p", "experiments.tested_bugs", *tests]
    found = subprocess.run(
        command,
        cwd=Path(__file__).parents[1],
        env={**os.environ, NAMED: bug.name},
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode == 0:
        return ""
    if found.returncode == 1 and (said := re.search(r"^FAILED tests/\S*::(\w+)", found.stdout, re.MULTILINE)):
        return said[1]
    raise SystemExit(f"{bug.name}: pytest ended with {found.returncode}\n{found.stdout[-2000:]}{found.stderr[-2000:]}")


def main() -> int:
    """The command; see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only bugs whose name or place has these words in it")
    given = parser.parse_args()
    chosen = [each for each in BUGS if given.only in f"{each[0].name} {each[0].where}"]
    lived = 0
    print("| bug | fails |\n| --- | --- |")
    for bug, tests in chosen:
        test = failing(bug, tests)
        lived += not test
        print(f"| {bug.name} | {f'`{test}`' if test else 'nothing'} |", flush=True)
    print(f"\n{len(chosen) - lived} of {len(chosen)} noticed")
    return 1 if lived else 0


if __name__ == "__main__":
    sys.exit(main())
