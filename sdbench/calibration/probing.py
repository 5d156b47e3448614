"""Linear probes of the small networks: can the kind of motion, or of texture, be read from a layer's units?

A probe is ridge regression onto the classes, one column each; the class with the largest value is its answer. How much
it is held back is chosen by generalised cross-validation where it is fitted; it is tested on other textures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt

from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError
from sdbench.calibration.altered import Inputs, balanced
from sdbench.calibration.drawing import HEADINGS, KINDS, Textures, draw_appearances, draw_motions
from sdbench.calibration.scenes import draw_looks, draw_moves
from sdbench.calibration.tasks import scene_inputs, unseen_textures, video_inputs
from sdbench.calibration.trained import SEEDS, Kind, kind_named, load_trained
from sdbench.calibration.training import one_thread
from sdbench.networks import VideoNetwork, units

PROBED = ("motion", "appearance")
"""What is read: the heading, of a video or of a scene's background (in four quadrants), and the kind of texture."""

_BATCH = 64
_PENALTIES = np.logspace(-6, 2, 17)  # of the mean square of the units, which is 1

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Probe:
    """A fitted probe.

    Attributes:
        mean, scale: (C,) of the units where it was fitted.
        weights: (C, K) of the units in their scale.
        base: (K,) what is answered to the mean.
    """

    mean: Floats
    scale: Floats
    weights: Floats
    base: Floats

    def answer(self, values: Floats) -> Ints:
        """(N,) the class of each of the unit vectors (N, C)."""
        return np.asarray((((values - self.mean) / self.scale) @ self.weights + self.base).argmax(axis=1))


def fit_probe(values: npt.ArrayLike, labels: npt.ArrayLike, classes: int) -> Probe:
    """Fit a probe in closed form.

    Args:
        values: (N, C) unit vectors.
        labels: (N,) their classes, from 0.
        classes: number of classes K.

    Raises:
        InputError: shapes that do not fit, a value that is not finite, fewer than 3 vectors, labels not in 0 to K - 1.
    """
    given, wanted = np.asarray(values, dtype=np.float64), np.asarray(labels)
    if given.ndim != 2 or wanted.shape != given.shape[:1] or len(given) < 3:
        raise InputError(
            f"expected unit vectors (N, C) and N labels, N at least 3; got {given.shape} and {wanted.shape}"
        )
    if not np.isfinite(given).all():
        raise InputError("a unit is NaN or infinite; check the network's inputs")
    if wanted.min() < 0 or wanted.max() >= classes:
        raise InputError(f"labels must be 0 to {classes - 1}; got {wanted.min()} to {wanted.max()}")
    mean, spread = given.mean(axis=0), given.std(axis=0)
    scale = np.where(spread > 1e-9 * np.abs(mean) + 1e-12, spread, np.inf)  # a unit that never changes says nothing
    left, singular, right = np.linalg.svd((given - mean) / scale, full_matrices=False)
    target = np.eye(classes)[wanted]
    base = target.mean(axis=0)
    along = left.T @ (target - base)
    outside = float(((target - base) ** 2).sum() - (along**2).sum())
    count, best = len(given), (np.inf, 0.0)
    for penalty in _PENALTIES * count:
        passed = singular**2 / (singular**2 + penalty)
        missed = outside + float((((1 - passed)[:, None] * along) ** 2).sum())
        free = count - 1 - float(passed.sum())
        if free > 0:
            best = min(best, (missed / free**2, penalty))
    weights = right.T @ ((singular / (singular**2 + best[1]))[:, None] * along)
    return Probe(mean, scale, weights, base)


def draw_labelled(
    kind: Kind, textures: Textures, count: int, generator: np.random.Generator
) -> tuple[Inputs, dict[str, Ints]]:
    """Videos or scenes whose motion and appearance are drawn independently, and the class of each by `PROBED`.

    Videos of every class are equally many.
    """
    if kind.segments:
        looks, moves = draw_looks(textures, count, generator), draw_moves(count, generator)
        heading = np.arctan2(moves.ground[:, 0], moves.ground[:, 1])
        quadrant = np.floor(heading / (np.pi / 2) + 0.5).astype(np.int64) % len(HEADINGS)
        labels = {"motion": quadrant, "appearance": textures.kinds[looks.textures[:, 0]]}
        return scene_inputs(kind, textures, looks, moves), labels
    headings, kinds = balanced(len(HEADINGS), count, generator), balanced(len(KINDS), count, generator)
    shown, moved = draw_appearances(textures, kinds, generator), draw_motions(headings, generator)
    return video_inputs(kind, textures, shown, moved), {"motion": headings, "appearance": kinds}


def halves(textures: Textures) -> tuple[Textures, Textures]:
    """Two pools with every other texture of each kind."""
    number = np.arange(len(textures.kinds)) % (len(textures.kinds) // len(KINDS))
    first, second = (
        Textures(textures.pictures[which], textures.kinds[which]) for which in (number % 2 == 0, number % 2 == 1)
    )
    return first, second


def probed_right(
    kind: Kind,
    module: VideoNetwork,
    layers: Sequence[str],
    fitted: int,
    tested: int,
    generator: np.random.Generator,
) -> dict[str, dict[str, Floats]]:
    """Whether probes of a network's layers are right, for each video or scene that they are tested on.

    Args:
        kind: the network's kind.
        module: the network, in eval mode.
        layers: which layers are read.
        fitted: how many videos or scenes the probes are fitted on.
        tested: how many they are tested on, in other textures.
        generator: source of every draw.

    Returns:
        layer -> one of `PROBED` -> (tested,) in 0 to 1.
    """
    pools = halves(unseen_textures())
    known, asked = (
        _read(kind, module, layers, pool, count, generator) for pool, count in zip(pools, (fitted, tested), strict=True)
    )
    return {
        layer: {
            factor: _right(known[0][layer], known[1][factor], asked[0][layer], asked[1][factor]) for factor in PROBED
        }
        for layer in layers
    }


def mean_probed(name: str, task: str, layer: str, fitted: int, tested: int, seed: int) -> dict[str, float]:
    """How often probes of a layer are right, in percent by `PROBED`: means over all trainings of a network on a task.

    Args:
        name: one of `sdbench.calibration.trained.KINDS`.
        task: one of its tasks.
        layer: the layer.
        fitted: how many videos or scenes the probes are fitted on.
        tested: how many they are tested on.
        seed: of all that is drawn.

    Raises:
        InputError: the network, the task or the layer is unknown.
        AssetError: its weights are missing or damaged.
    """
    kind = kind_named(name)
    of = [
        probed_right(kind, load_trained(name, task, number), [layer], fitted, tested, generator_for(seed, "probes"))
        for number in range(SEEDS)
    ]
    return {factor: 100 * fmean(float(right[layer][factor].mean()) for right in of) for factor in PROBED}


def _right(values: Floats, labels: Ints, asked: Floats, wanted: Ints) -> Floats:
    """(tested,) how much of what a layer says of each video or scene, (tested, R, C), a probe takes for its class.

    R is 1, or 2 where a network answers for each of two frames.
    """
    rows = values.shape[1]
    probe = fit_probe(values.reshape(-1, values.shape[2]), labels.repeat(rows), len(KINDS))
    answered = probe.answer(asked.reshape(-1, asked.shape[2])).reshape(-1, rows)
    return np.asarray((answered == wanted[:, None]).mean(axis=1))


def _read(
    kind: Kind,
    module: VideoNetwork,
    layers: Sequence[str],
    textures: Textures,
    count: int,
    generator: np.random.Generator,
) -> tuple[dict[str, Floats], dict[str, Ints]]:
    """Layer -> (count, R, C) unit vectors, and one of `PROBED` -> (count,) classes."""
    values: dict[str, list[Floats]] = {layer: [] for layer in layers}
    labels: dict[str, list[Ints]] = {factor: [] for factor in PROBED}
    with one_thread():
        for start in range(0, count, _BATCH):
            several = min(_BATCH, count - start)
            inputs, of_batch = draw_labelled(kind, textures, several, generator)
            for layer, read in units(module, inputs, layers).items():
                values[layer].append(read.double().numpy().reshape(several, -1, read.shape[1]))
            for factor, classes in of_batch.items():
                labels[factor].append(classes)
    return (
        {layer: np.concatenate(parts) for layer, parts in values.items()},
        {factor: np.concatenate(parts) for factor, parts in labels.items()},
    )
