"""Unit vectors drawn from a model in which every share, score and class is known.

The value of a unit for one clip is a sum of independent parts. Four of them differ in who shares them:

    part      variance   a dynamic pair   a static pair
    dynamic   d          shares it        redraws it
    static    s          redraws it       shares it
    joint     j          shares it        shares it
    residual  r          redraws it       redraws it

A fraction `between` of the first three is common to all clips of a video; the residual is each clip's own. Styles may
add a fixed value to each unit: a static pair shares the style, a dynamic pair never does. The second members of static
pairs (the shuffled clips) may have a larger dynamic part and another mean, as shuffled frames have in real networks.

A study draws videos from the model and clips in each video. What the estimator of `sdbench.statistics` answers for
infinitely many videos has a closed form, `truth`: that is what its shares, scores and classes are held against.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sdbench.base.errors import InputError
from sdbench.statistics.estimating import CLASS_NAMES, SHARE_NAMES, summarise
from sdbench.statistics.sums import FACTORS, FloatArray, Moments

PARTS = ("dynamic", "static", "joint", "residual")


@dataclass(frozen=True)
class Population:
    """A layer of C units.

    Attributes:
        variances: (4, C) variance of each of `PARTS`.
        between: fraction in [0, 1] of the first three parts' variance that clips of one video have in common.
        mixing: (4, C, Q) rows of unit length: how each unit mixes Q independent sources of each part, so that units
            are correlated as those of a real layer are; None where every unit has sources of its own.
        skewed: sources are centred exponentials instead of normals: long tails, as activations have after a ReLU.
        styles: (K, C) what each style adds to a unit; K = 0 or at least 2.
        shuffled_gain: the dynamic part of a static pair's second member has this many times the standard deviation.
        shuffled_shift: (C,) what is added to the second members of static pairs.
    """

    variances: FloatArray
    between: float = 0.5
    mixing: FloatArray | None = None
    skewed: bool = False
    styles: FloatArray | None = None
    shuffled_gain: float = 1.0
    shuffled_shift: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.variances.ndim != 2 or len(self.variances) != len(PARTS) or (self.variances < 0).any():
            raise InputError(
                f"variances must have shape (4, units) and not be negative; got {self.variances.shape}, "
                f"least {self.variances.min():g}"
            )
        if not 0 <= self.between <= 1:
            raise InputError(f"between must be a fraction from 0 to 1; got {self.between}")
        if self.styles is not None and (self.styles.shape[1:] != (self.units,) or len(self.styles) < 2):
            raise InputError(
                f"styles must have shape (at least 2, {self.units}); got {self.styles.shape}: a dynamic pair needs two"
            )

    @property
    def units(self) -> int:
        """Number of units C."""
        return int(self.variances.shape[1])


@dataclass(frozen=True)
class Truth:
    """What the estimator answers for infinitely many videos.

    Attributes:
        shares: percent by `SHARE_NAMES`.
        own_variance_shares: the same if each factor were divided by the variance of its own pairs instead of one
            variance of both.
        scores: (2, C) unit scores by `FACTORS`.
        classes: percent of units by `CLASS_NAMES`.
    """

    shares: dict[str, float]
    own_variance_shares: dict[str, float]
    scores: FloatArray
    classes: dict[str, float]


def truth(population: Population, threshold: float = 0.5) -> Truth:
    """The estimator's limit in closed form: its formulae applied to the population's covariances.

    Styles are taken to be balanced: all ordered pairs of two styles are equally frequent.
    """
    dynamic, static, joint, residual = population.variances
    style = _style_variance(population)
    count = 2 if population.styles is None else len(population.styles)
    shift = 0.0 if population.shuffled_shift is None else population.shuffled_shift
    plain = dynamic + static + joint + residual + style
    shuffled = plain + (population.shuffled_gain**2 - 1) * dynamic
    # Two different styles of K with zero mean covary by minus their variance over K - 1. A shift of the second members
    # moves their common middle by half of it, which the product of deviations sees with both signs.
    covariance = np.stack([dynamic + joint - style / (count - 1), static + joint + style - shift**2 / 4])
    middle = np.stack([np.zeros_like(plain), np.zeros_like(plain) + shift / 2])
    variance = np.stack([plain, (plain + shuffled) / 2 + shift**2 / 4])
    pairs = np.array([1.0, 1.0])
    whole = summarise(
        pairs,
        np.zeros_like(variance),
        2 * middle,
        2 * (variance + middle**2),
        covariance + middle**2,
        threshold,
    )
    own = covariance.sum(axis=1) / variance.sum(axis=1)
    powers = np.exp([*own, 1.0])
    return Truth(
        dict(zip(SHARE_NAMES, whole.shares.tolist(), strict=True)),
        dict(zip(SHARE_NAMES, (100 * powers / powers.sum()).tolist(), strict=True)),
        whole.scores,
        dict(zip(CLASS_NAMES, whole.classes.tolist(), strict=True)),
    )


def simulated_study(
    population: Population,
    generator: np.random.Generator,
    videos: int,
    clips: int,
    style_weights: npt.ArrayLike | None = None,
) -> list[Moments]:
    """The sums of each video of one study; each clip gives one pair of each factor, which share their first member.

    Args:
        population: the layer.
        generator: source of every draw.
        videos: number of videos G.
        clips: number of clips of each.
        style_weights: (K,) how often each style is drawn first, and second among the others; by default all alike.
    """
    first = _parts(population, generator, videos, clips)
    again = _parts(population, generator, videos, clips)
    dynamic, static, joint, residual = range(len(PARTS))
    one, two = _styles(population, generator, (videos, clips), style_weights)
    shown = first.sum(axis=0) + one
    other_style = first[dynamic] + again[static] + first[joint] + again[residual] + two
    own_residual = np.sqrt(population.variances[residual]) * _sources(
        population, generator, (videos, clips), None if population.mixing is None else population.mixing[residual]
    )
    shuffled = population.shuffled_gain * again[dynamic] + first[static] + first[joint] + own_residual + one
    if population.shuffled_shift is not None:
        shuffled = shuffled + population.shuffled_shift
    total = np.stack([(shown + other).sum(axis=1) for other in (other_style, shuffled)], axis=1)
    square = np.stack([(shown**2 + other**2).sum(axis=1) for other in (other_style, shuffled)], axis=1)
    product = np.stack([(shown * other).sum(axis=1) for other in (other_style, shuffled)], axis=1)
    origin = np.zeros((len(FACTORS), population.units))
    pairs = np.full(len(FACTORS), clips, dtype=np.int64)
    return [Moments(pairs, origin, total[g], square[g], product[g]) for g in range(videos)]


def _style_variance(population: Population) -> FloatArray:
    if population.styles is None:
        return np.zeros(population.units)
    return np.asarray(population.styles.var(axis=0))


def _parts(population: Population, generator: np.random.Generator, videos: int, clips: int) -> FloatArray:
    """(4, videos, clips, C): one draw of every part."""
    drawn = np.empty((len(PARTS), videos, clips, population.units))
    for part, variance in enumerate(population.variances):
        mixing = None if population.mixing is None else population.mixing[part]
        own = _sources(population, generator, (videos, clips), mixing)
        if PARTS[part] != "residual":
            common = _sources(population, generator, (videos, 1), mixing)
            own = np.sqrt(population.between) * common + np.sqrt(1 - population.between) * own
        drawn[part] = np.sqrt(variance) * own
    return drawn


def _sources(
    population: Population, generator: np.random.Generator, shape: tuple[int, ...], mixing: FloatArray | None
) -> FloatArray:
    """(*shape, C) values of mean 0 and variance 1."""
    size = (*shape, population.units if mixing is None else mixing.shape[1])
    values = generator.standard_exponential(size) - 1 if population.skewed else generator.standard_normal(size)
    return values if mixing is None else values @ mixing.T


def _styles(
    population: Population,
    generator: np.random.Generator,
    shape: tuple[int, int],
    weights: npt.ArrayLike | None,
) -> tuple[FloatArray | float, FloatArray | float]:
    """What the styles of the first and of the second member of a dynamic pair add: (videos, clips, C) each."""
    if population.styles is None:
        return 0.0, 0.0
    count = len(population.styles)
    chance = np.full(count, 1 / count) if weights is None else np.asarray(weights, dtype=np.float64)
    # The largest of independent exponential races wins with the chance of its weight; the runner-up likewise among
    # the others: two different styles, drawn without replacement, for all clips at once.
    race = generator.standard_exponential((*shape, count)) / chance
    order = np.argsort(race, axis=-1)
    centred = population.styles - population.styles.mean(axis=0)
    return centred[order[..., 0]], centred[order[..., 1]]
