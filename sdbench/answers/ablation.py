"""What a network loses when the dynamic, the static or random units of a layer are set to zero.

As in the study of fusions and cross connections that belongs to Kowal et al., CVPR 2022: the top k % of a layer's units
by their score of a factor are zeroed while the network runs, and mean IoU is taken again. Random units are drawn from
the (k + 5) % of units that are least biased to the layer's stronger factor, so that a large k does not sweep up the
very units that matter.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from sdbench.answers.scoring import Target, frame_scores
from sdbench.answers.segmenting import Condition, Zeroed
from sdbench.assets.store import AssetStore
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError, unknown_name
from sdbench.engine import Finished
from sdbench.networks.network import Network
from sdbench.networks.reading import VideoNetwork
from sdbench.networks.without import check_part_of_answer
from sdbench.statistics import FACTORS, Estimate, Interval
from sdbench.statistics.resampling import FloatArray, bootstrap_means, percentiles

SELECTIONS = (*FACTORS, "random")
"""How the units that are set to zero are chosen."""

PERCENTS = (5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0)
"""Percentages of a layer's units; the study printed 30 or 40 to 70, of MATNet's fusion layers on MoCA."""

_SPARE = 5.0  # percent of the units that random ones are drawn from beyond those that are drawn

Indices = npt.NDArray[np.int64]


def ranked(scores: npt.ArrayLike, highest_first: bool = True) -> Indices:
    """The units of a layer by their score; of equals the first comes first, dead units (NaN) come last either way.

    Args:
        scores: (C,) from `Estimate.unit_scores`.
        highest_first: rather than the lowest.
    """
    values = np.asarray(scores, dtype=np.float64)
    return np.argsort(-values if highest_first else values, kind="stable")


def count_of(percent: float, units: int) -> int:
    """How many units a percentage of them is: rounded, at least one.

    Raises:
        InputError: the percentage is not above 0 and at most 100.
    """
    if not 0 < percent <= 100:
        raise InputError(f"a percentage of units must be above 0 and at most 100; got {percent:g}")
    return max(1, round(percent * units / 100))


def top_units(estimate: Estimate, factor: str, percent: float) -> Indices:
    """The units with the highest score of a factor, ascending.

    Args:
        estimate: of the layer.
        factor: "dynamic" or "static".
        percent: how many percent of the layer's units.

    Raises:
        InputError: the factor is unknown, or the percentage is not above 0 and at most 100.
    """
    if factor not in FACTORS:
        raise unknown_name("factor", factor, FACTORS)
    order = ranked(estimate.unit_scores[factor])
    return np.sort(order[: count_of(percent, len(order))])


def random_units(estimate: Estimate, stronger: str, percent: float, generator: np.random.Generator) -> Indices:
    """Units drawn from those least biased to the layer's stronger factor, ascending.

    Args:
        estimate: of the layer.
        stronger: "dynamic" or "static".
        percent: how many percent of the layer's units; they are drawn from 5 percent more.
        generator: draws them.

    Raises:
        InputError: the factor is unknown, or the percentage is not above 0 and at most 100.
    """
    if stronger not in FACTORS:
        raise unknown_name("factor", stronger, FACTORS)
    order = ranked(estimate.unit_scores[stronger], highest_first=False)
    pool = order[: count_of(min(percent + _SPARE, 100.0), len(order))]
    return np.sort(generator.choice(pool, size=count_of(percent, len(order)), replace=False))


def stronger_factor(estimate: Estimate) -> str:
    """The factor with the larger share of the layer; "dynamic" where they are equal."""
    return max(FACTORS, key=lambda factor: estimate.shares[factor])


@dataclass(frozen=True)
class Ablated:
    """A layer without some of its units.

    Attributes:
        selection: how they were chosen, one of `SELECTIONS`.
        percent: how many percent of the layer's units.
        units: their numbers, ascending.
        miou: mean IoU without them, in percent.
        interval: its 95 % interval by resampling sequences; None below 8 sequences.
        change: relative change of mean IoU in percent of the whole network's; None where that is 0.
        change_interval: its 95 % interval, from the same resampled sequences; None below 8 sequences or where a
            resampled mean of the whole network is 0.
    """

    selection: str
    percent: float
    units: tuple[int, ...]
    miou: float
    interval: Interval | None
    change: float | None
    change_interval: Interval | None


@dataclass(frozen=True)
class Ablation:
    """What a layer's units are worth.

    Attributes:
        layer: the layer.
        stronger: the factor that random units are least biased to.
        miou: mean IoU of the whole network, in percent.
        interval: its 95 % interval by resampling sequences; None below 8 sequences.
        points: one for each selection and percentage.
        sequences, frames: how many there were.
        seconds: how long it took.
    """

    layer: str
    stronger: str
    miou: float
    interval: Interval | None
    points: tuple[Ablated, ...]
    sequences: int
    frames: int
    seconds: float

    def record(self) -> dict[str, Any]:
        """All of it as plain values, for JSON; no value is NaN."""
        return asdict(self)


def ablate(
    network: Network,
    target: Target,
    layer: str,
    estimate: Estimate,
    *,
    percents: Sequence[float] = PERCENTS,
    selections: Sequence[str] = SELECTIONS,
    stronger: str | None = None,
    flip: bool = False,
    frames: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    store: AssetStore | None = None,
    workers: int | None = None,
    finished: Finished | None = None,
) -> Ablation:
    """Mean IoU against the percentage of units of a layer that are set to zero. Interrupted, it goes on.

    Every frame is read once; it goes through the network once whole and once for each set of units. Calls that share
    `finished` do not repeat the passes of one another: those of the whole network serve all layers.

    Args:
        network: it takes {"image", "flow"}; for what it answers see `sdbench.answers.segmenting.Segmenter`, for what it
            was fed when its masks were published, `sdbench.answers.segmenting.published_input`.
        target: `Masks` of a data set or `Boxes` of MoCA.
        layer: whose units are set to zero; for a module that is not of the suite the name of a submodule.
        estimate: of that layer.
        percents: how many percent of its units, each above 0 and at most 100.
        selections: which units, of `SELECTIONS`.
        stronger: the factor that random units are least biased to; by default the one with the larger share.
        flip: average with the answer to the mirror image.
        frames: at most so many of each sequence, evenly spread; all that count by default.
        seed: of random units, of the second frames of RTNet's samples and of the resampling.
        device: "cpu", "cuda" or any other device of torch.
        store: parts of unfinished runs lie in its folder.
        workers: processes that read frames while the network is busy; by default one a core.
        finished: takes the parts of this run, which then stay on disk until the caller discards them.

    Raises:
        InputError: the layer is unknown, a dead end, the network's answer, or has another number of units than the
            estimate; a percentage or selection is not one of those that can be; or see `frame_scores`.
        DiskError: what is finished cannot be written.
    """
    started = time.perf_counter()
    _check(network.module, layer, percents, selections, stronger)
    stronger = stronger or stronger_factor(estimate)
    chosen = [
        (selection, percent, _choose(estimate, selection, percent, stronger, seed))
        for selection in selections
        for percent in percents
    ]
    count = len(estimate.unit_scores[stronger])
    conditions = [Condition(flip=flip)]
    conditions += [Condition((Zeroed(layer, tuple(units.tolist()), count),), flip) for _, _, units in chosen]
    scores = frame_scores(
        network,
        target,
        conditions,
        frames=frames,
        seed=seed,
        device=device,
        store=store,
        workers=workers,
        finished=finished,
    )
    means = 100 * np.stack([part.mean(axis=0) for part in scores.values()])
    drawn = bootstrap_means(means, generator_for(seed, "resampling"))
    columns = means.mean(axis=0)
    points = [
        Ablated(
            selection,
            float(percent),
            tuple(units.tolist()),
            float(columns[i]),
            None if drawn is None else percentiles(drawn[:, i]),
            _relative(float(columns[i]), float(columns[0])),
            None if drawn is None else _relative_interval(drawn[:, i], drawn[:, 0]),
        )
        for i, (selection, percent, units) in enumerate(chosen, start=1)
    ]
    return Ablation(
        layer=layer,
        stronger=stronger,
        miou=float(columns[0]),
        interval=None if drawn is None else percentiles(drawn[:, 0]),
        points=tuple(points),
        sequences=len(scores),
        frames=sum(len(part) for part in scores.values()),
        seconds=time.perf_counter() - started,
    )


def _check(
    module: nn.Module, layer: str, percents: Sequence[float], selections: Sequence[str], stronger: str | None
) -> None:
    if isinstance(module, VideoNetwork):
        check_part_of_answer(module, layer)
        if layer == module.layers[-1]:
            raise InputError(f"{layer} is the network's answer: it has no units to take away; choose another layer")
    if not percents or not selections:
        raise InputError("nothing to take away: give at least one percentage and one selection")
    for percent in percents:
        count_of(percent, 1)
    for selection in selections:
        if selection not in SELECTIONS:
            raise unknown_name("selection of units", selection, SELECTIONS)
    if stronger is not None and stronger not in FACTORS:
        raise unknown_name("factor", stronger, FACTORS)


def _choose(estimate: Estimate, selection: str, percent: float, stronger: str, seed: int) -> Indices:
    if selection != "random":
        return top_units(estimate, selection, percent)
    # A generator for each percentage: a draw does not depend on what else is asked for.
    return random_units(estimate, stronger, percent, generator_for(seed, f"{percent:g} % random units"))


def _relative(value: float, whole: float) -> float | None:
    return 100 * (value - whole) / whole if whole else None


def _relative_interval(values: FloatArray, wholes: FloatArray) -> Interval | None:
    if not wholes.all():
        return None
    return percentiles(100 * (values - wholes) / wholes)
