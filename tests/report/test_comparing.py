"""Two measurements held against each other, and any number of them side by side."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import sdbench
from sdbench import Feed, InputError, Measurement, Network, studies
from sdbench.base.files import json_text
from sdbench.engine import join
from sdbench.engine.written import content_of
from sdbench.networks import VideoNetwork
from sdbench.report.atlas import atlas_picture, atlas_rows, atlas_table, controls_sentence, crossed
from sdbench.report.outcome import Outcome, PartsOutcome, outcome_of
from sdbench.statistics.jackknife import jackknifed, limits_of

FEED = Feed(4, 24)


class Moving(VideoNetwork):
    """First frames, then more and more of what changes from frame to frame, each at 6 x 6 positions."""

    layers = ("first", "mixed", "change")

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(scale))

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        small = torch.nn.functional.avg_pool3d(video, (1, 4, 4))
        first, change = small[:, :, 0].flatten(1), (small[:, :, 1:] - small[:, :, :-1]).abs().mean(dim=2).flatten(1)
        yield "first", first
        yield "mixed", first + self.scale * change
        yield "change", change


class Deep(VideoNetwork):
    """Other layers, and more of them."""

    layers = tuple(f"block{number}" for number in range(1, 6))

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        for name, activation in zip(self.layers, (*Moving(2.0).trace(video), *Moving(3.0).trace(video)), strict=False):
            yield name, activation[1]


Measured = Callable[..., Measurement]


@pytest.fixture(scope="module")
def measured() -> Measured:
    known: dict[Any, Measurement] = {}

    def measure(module: VideoNetwork | None = None, scenes: int = 12, seed: int = 0, **about: Any) -> Measurement:
        key = (type(module), float(module.scale.detach()) if isinstance(module, Moving) else None, scenes, seed)
        if key not in known:
            network = Network(module or Moving(), FEED, "moving" if not isinstance(module, Deep) else "deep")
            known[key] = sdbench.measure(network, studies.rendered(scenes), seed=seed, workers=0, compiling="off")
        return replace(known[key], **about)

    return measure


def without_each(found: Measurement, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Shares and shares without each block, by leaving blocks out of the sums."""
    blocks = found.sums[layer]
    left = [
        replace(found, sums={layer: {key: part for key, part in blocks.items() if key != block}}).layer(layer)
        for block in blocks
    ]
    return (
        np.array(list(found.layer(layer).estimate.shares.values())),
        np.array([list(each.estimate.shares.values()) for each in left]),
    )


def test_the_difference_of_two_networks_is_paired_by_scene(measured: Measured) -> None:
    one, other = measured(), measured(Moving(4.0))
    found = sdbench.compare(one, other)
    assert found.paired
    assert found.why == "95 % intervals of differences, paired by 12 scenes."
    assert [each.layer for each in found.differences] == ["first", "mixed", "change"]
    first, mixed, change = found.differences
    for same in (first, change):
        assert same.values["static"] == 0
        assert same.intervals is not None
        assert same.intervals["static"].high == pytest.approx(0, abs=1e-6)
    (a, a_left), (b, b_left) = (without_each(each, "mixed") for each in (one, other))
    apart, left = a - b, a_left - b_left
    lows, highs = limits_of(apart, left)
    centre, _ = jackknifed(apart, left)
    assert mixed.intervals is not None
    assert mixed.simultaneous is not None
    for number, name in enumerate(("dynamic", "static", "residual")):
        assert mixed.values[name] == pytest.approx(apart[number])
        assert mixed.intervals[name].low == pytest.approx(lows[number], abs=1e-5)
        assert mixed.intervals[name].high == pytest.approx(highs[number], abs=1e-5)
        at_once = mixed.simultaneous[name]
        assert (at_once.low + at_once.high) / 2 == pytest.approx(centre[number], abs=1e-5), "not of uneven limits"
        assert at_once.low <= mixed.intervals[name].low + 1e-9
        assert at_once.high >= mixed.intervals[name].high - 1e-9


def test_a_file_gives_what_the_measurement_gives(measured: Measured, tmp_path: Path) -> None:
    one, other = measured(), measured(Moving(4.0))
    for name, found in (("a", one), ("b", other)):
        (tmp_path / name).write_text(json_text(content_of(found)))
    direct = sdbench.compare(one, other)
    by_file = sdbench.compare(tmp_path / "a", str(tmp_path / "b"))
    by_content = sdbench.compare(content_of(one), content_of(other))
    for again in (by_file, by_content):
        assert (again.differences, again.why) == (direct.differences, direct.why)
    assert by_file.one == "moving (a)"


def test_blocks_are_paired_by_name_whatever_their_order(measured: Measured) -> None:
    one, other = measured(), measured(Moving(4.0))
    turned = {layer: dict(reversed(list(blocks.items()))) for layer, blocks in other.sums.items()}
    moved = replace(other, sums=turned)
    assert moved.blocks == other.blocks[::-1]
    for a, b in zip(sdbench.compare(one, other).differences, sdbench.compare(one, moved).differences, strict=True):
        assert a.intervals is not None
        assert b.intervals is not None
        for name, limits in a.intervals.items():
            assert (b.intervals[name].low, b.intervals[name].high) == pytest.approx((limits.low, limits.high), abs=1e-6)


def test_two_layers_of_one_measurement(measured: Measured, tmp_path: Path) -> None:
    path = tmp_path / "a:b@3.json"
    path.write_text(json_text(content_of(measured())))
    found = sdbench.compare(f"{path}:change", f"{path}:first")
    assert found.paired
    (difference,) = found.differences
    assert (difference.layer, difference.other_layer) == ("change", "first")
    assert difference.intervals is not None
    assert difference.intervals["static"].high < 0, "what is seen in a first frame is appearance and nothing else"
    assert difference.variance is not None
    assert difference.variance.other_parts == pytest.approx({"appearance": 100, "motion": 0, "both": 0}, abs=1e-9)
    assert difference.variance.intervals is not None
    assert difference.variance.intervals["motion"].low > 0
    assert difference.variance.simultaneous is not None
    for name, limits in difference.variance.simultaneous.items():
        assert limits.half_width >= difference.variance.intervals[name].half_width
    assert found.differences == sdbench.compare(path, path, [("change", "first")]).differences


def test_layers_of_other_architectures_are_compared_at_equal_depth(measured: Measured) -> None:
    few, many = measured(), measured(Deep())
    pairs = [("first", "block1"), ("mixed", "block3"), ("change", "block5")]
    assert [(d.layer, d.other_layer) for d in sdbench.compare(few, many).differences] == pairs
    assert [(d.other_layer, d.layer) for d in sdbench.compare(many, few).differences] == pairs
    with pytest.raises(InputError, match="unknown layer of deep 'first'"):
        sdbench.compare(few, many, ["first"])
    with pytest.raises(InputError, match="no layers to compare were named"):
        sdbench.compare(few, many, [])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"study": "other"}, "Not paired: they were not shown the same, but another rendered"),
        ({"study": "other", "dataset": "clips"}, r"but rendered\S* \(crossed, seed 0\) and clips \(crossed, seed 0\)"),
        ({"study": ""}, "it is not known whether both were shown the same, as moving does not say what it was"),
        ({"seed": 4}, "with other seeds, 0 and 4"),
    ],
)
def test_what_was_not_shown_alike_is_not_paired(measured: Measured, change: dict[str, Any], said: str) -> None:
    found = sdbench.compare(measured(), replace(measured(Moving(4.0)), **change))
    assert not found.paired

    assert re.search(said, found.why), found.why
    assert found.why.endswith("The 95 % intervals take the two for independent.")
    paired = sdbench.compare(measured(), measured(Moving(4.0)))
    for wide, narrow in zip(found.differences, paired.differences, strict=True):
        assert wide.intervals is not None
        assert narrow.intervals is not None
        assert wide.intervals["static"].half_width > narrow.intervals["static"].half_width


def test_other_blocks_are_not_paired(measured: Measured) -> None:
    one, other = measured(), measured(scenes=14)
    found = sdbench.compare(one, replace(other, study=one.study))
    assert "they do not rest on the same scenes: 12 and 14, 12 in common" in found.why


def test_too_few_blocks_give_no_interval(measured: Measured) -> None:
    found = sdbench.compare(measured(scenes=5), measured(Moving(4.0), scenes=5))
    assert found.why == "No intervals: moving rests on 5 scenes, and at least 8 are needed."
    assert all(each.intervals is None for each in found.differences)
    assert "[" not in str(found)


def test_a_file_of_an_older_version_gives_differences_alone(measured: Measured, tmp_path: Path) -> None:
    content = content_of(measured())
    layers = {name: {key: layer[key] for key in ("shares", "units")} for name, layer in content["layers"].items()}
    (tmp_path / "old.json").write_text(json.dumps({"measurement": content["measurement"], "layers": layers}))
    found = sdbench.compare(tmp_path / "old.json", measured(Moving(4.0)))
    assert found.why.startswith("No intervals: moving (old.json) was written without what each scene does")
    assert found.layer("mixed").values["static"] != 0


def test_several_trainings_are_compared_at_their_mean(measured: Measured) -> None:
    """Values are means over networks; intervals move with them."""
    one, other = measured(), measured(Moving(4.0))
    both = join([one, other])
    read = both.layer("mixed").read("shares")
    assert read.generalisation is not None
    outcome = outcome_of(both)
    layer = outcome.layers["mixed"]
    assert layer.shares == pytest.approx(read.values)
    assert layer.without is not None
    lows, highs = limits_of(np.array(list(read.values.values())), layer.without)
    found = read.generalisation["static"]
    assert (found.low, found.high) == pytest.approx((lows[1], highs[1]), abs=1e-5)
    assert sdbench.compare(both, one).paired


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no file at .*; expected a file that `sdbench measure NETWORK --json FILE` writes"),
        ("{", "is no JSON that can be read"),
        ("[1]", "holds a list"),
        ('{"cases": []}', "holds no measurement"),
        ('{"measurement": {"network": "a"}, "layers": {"b": {"shares": {}}}}', "a measurement that cannot be read"),
    ],
)
def test_what_is_no_measurement_is_refused(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=said):
        sdbench.compare(path, path)


@pytest.mark.parametrize("share", [float("nan"), 99999.0, -3.0])
def test_shares_that_cannot_be_are_refused(measured: Measured, tmp_path: Path, share: float) -> None:
    content = content_of(measured())
    next(iter(content["layers"].values()))["shares"]["static"] = share
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="expected shares from 0 to 100 % that add up to 100"):
        sdbench.compare(path, path)


def test_what_else_is_refused(measured: Measured, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a measurement, or the file"):
        sdbench.compare(3, measured())  # type: ignore[arg-type]
    path = tmp_path / "a.json"
    content = content_of(measured())
    path.write_text(json_text(content))
    with pytest.raises(InputError, match=r"unknown layer of moving \(a.json\) 'chang'; did you mean change"):
        sdbench.compare(f"{path}:chang", path)
    with pytest.raises(InputError, match="holds no step 3; its steps are none: it was written by no tracker"):
        sdbench.compare(f"{path}@3", path)
    content["layers"]["first"]["without"]["static"].pop()
    content["layers"]["first"]["without"]["dynamic"].pop()
    with pytest.raises(InputError, match="layer first has not as many shares as there are blocks"):
        sdbench.compare(content, path)


def test_the_table_ranks_those_that_were_shown_the_same(measured: Measured) -> None:
    one, other, elsewhere = measured(), measured(Moving(4.0)), measured(scenes=14)
    rows = atlas_rows([outcome_of(each) for each in (one, other, elsewhere)])
    assert {(row["rank"], row["of"]) for row in rows} == {(1, 2), (1, 1)}
    assert rows[0]["most_static"]["layer"] == "first"
    assert rows[0]["most_dynamic"] == {
        "layer": "change",
        "share": rows[0]["dynamic"],
        "depth": 1.0,
    }
    deep = replace(measured(Deep()), study=one.study)
    table = atlas_table([outcome_of(one), outcome_of(deep)])
    ranked = sorted((one, deep), key=lambda each: -each.layer(each.layers[-1]).estimate.shares["dynamic"])
    lines = table.splitlines()[3:]
    for number, (line, found) in enumerate(zip(lines, ranked, strict=True), 1):
        assert line.split()[:3] == [str(number), found.network, found.layers[-1]]


def test_of_crossed_scenes_the_part_of_motion_ranks(measured: Measured) -> None:
    """The first by its dynamic share is the second by what motion alone explains of its variance."""

    def with_parts(of: Outcome, motion: float) -> Outcome:
        parts = PartsOutcome({"appearance": 90 - motion, "motion": motion, "both": 10.0}, None, None)
        return replace(of, layers={name: replace(layer, variance=parts) for name, layer in of.layers.items()})

    plain = [outcome_of(measured()), outcome_of(measured(Moving(4.0)))]
    first, second = atlas_rows(plain)
    held = {of.source: of for of in plain}
    shown = [with_parts(held[first["source"]], 20.0), with_parts(held[second["source"]], 40.0)]
    rows = atlas_rows(shown)
    assert [row["source"] for row in rows] == [second["source"], first["source"]]
    assert [row["rank"] for row in rows] == [1, 2]
    assert (rows[0]["appearance"], rows[0]["motion"]) == (50.0, 40.0)
    assert rows[0]["dynamic"] == second["dynamic"]
    assert rows[0]["most_motion"]["part"] == 40.0
    heads = " ".join(atlas_table(shown).splitlines()[:2]).split()
    assert heads.count("alone") == heads.count("share") == 2
    bare = {name: replace(layer, variance=None) for name, layer in plain[0].layers.items()}
    assert crossed(plain)
    assert not crossed([*shown, replace(plain[0], layers=bare)])


def grey(path: Path) -> int:
    """How many pixels of a picture lie side by side in the colour of a control: of its lines, not of letters."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    close = np.abs(pixels.astype(int) - 0x8A).max(axis=2) <= 6
    return int((close[:, 1:] & close[:, :-1]).sum())


def test_the_picture_draws_an_untrained_network_behind_the_trained_one(measured: Measured, tmp_path: Path) -> None:
    one = measured()
    fresh = measured(Moving(4.0), notes=("untrained: the architecture with fresh weights of seed 0",))
    deep = measured(Deep())
    pictures = {
        "alone": [one, deep],
        "beside": [one, fresh, deep],
        "untrained": [fresh, deep],
    }
    widths = {}
    for name, shown in pictures.items():
        atlas_picture([outcome_of(each) for each in shown], tmp_path / name)
        with Image.open(tmp_path / name) as picture:
            widths[name] = picture.width
    assert grey(tmp_path / "beside") > 3 * max(grey(tmp_path / "alone"), grey(tmp_path / "untrained"))
    assert widths["beside"] == widths["alone"], "it has no panel of its own"
    atlas_picture([outcome_of(content_of(one, [fresh])), outcome_of(deep)], tmp_path / "within")
    assert (tmp_path / "within").read_bytes() == (tmp_path / "beside").read_bytes()


def test_the_answer_in_one_line_is_made_of_the_numbers(measured: Measured) -> None:
    one, fresh = measured(), measured(Moving(4.0))
    said = controls_sentence(outcome_of(one).only("mixed"), outcome_of(fresh), 3)
    difference = sdbench.compare(one, fresh).layer("mixed")
    assert said.startswith(
        f"At its last layer moving holds {difference.shares['static']:.0f} % static and "
        f"{difference.shares['dynamic']:.0f} % dynamic; untrained it held {difference.other_shares['static']:.0f} % "
        f"and {difference.other_shares['dynamic']:.0f} % (3 seeds): training moved static by "
        f"{difference.values['static']:+.1f} ["
    )
