"""Tests of motion held against each other on the same trainings, and at layers that other trainings chose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.ordered_tests import PAIRS, TESTS, WITHIN, All, Pair, groups_of, in_percent, markdown, scores, title
from benchmarks.ordering import Floats, Ordering, drawn_means, ordered_right
from benchmarks.ordering_bounds import least_rate
from benchmarks.usual_tests import ANSWER, LAYERED, layers_named
from sdbench.base.draws import generator_for
from sdbench.calibration.trained import KINDS
from sdbench.statistics import Interval

REFERENCE = "shares: dynamic"
"""The test that the others are held against."""

_REPLICATES = 2000


def right_pairs(found: All, name: str, pair: Pair, test: str, layer: str) -> Floats | None:
    """(trainings, trainings) whether a test orders each two right; None where it is not defined of them."""
    more, less = (np.array([each.value for each in scores(found, name, task, test, layer)]) for task in pair)
    return ordered_right(more, less) if more.size and less.size else None


def right_at_chosen(by_layer: Floats) -> Floats:
    """(M, N) how each pair is ordered at the layer that orders the pairs of all *other* trainings best.

    Args:
        by_layer: (L, M, N) how each is ordered at each layer. Of layers that are equally good the mean is taken.
    """
    chosen = np.empty(by_layer.shape[1:])
    for more, less in np.ndindex(*chosen.shape):
        others = np.delete(np.delete(by_layer, more, axis=1), less, axis=2).mean(axis=(1, 2))
        chosen[more, less] = by_layer[others >= others.max() - 1e-9, more, less].mean()
    return chosen


def difference(
    one: Sequence[Floats], other: Sequence[Floats], generator: np.random.Generator
) -> tuple[float, Interval]:
    """By how many percent of the pairs one test orders more right than another, and the middle 95 % of that.

    Args:
        one: (M, N) of each kind of network whether it orders each pair right.
        other: the same of the other test. Both are given the same bootstrap samples of trainings.
        generator: source of these.
    """
    less = [a - b for a, b in zip(one, other, strict=True)]
    drawn = np.mean([drawn_means(each, generator, _REPLICATES) for each in less], axis=0)
    low, high = 100 * np.percentile(drawn, (2.5, 97.5))
    return 100 * float(np.mean([each.mean() for each in less])), Interval(float(low), float(high))


def tables(found: All, seed: int) -> str:
    """Of action and of segmentation networks: tests less `REFERENCE`, and the layer chosen on other trainings."""
    written = []
    for segments, names in groups_of(found):
        which = "segmentation networks" if segments else "action networks"
        pairs = [pair for pair in PAIRS[segments] if pair != WITHIN]
        against, chosen = [], []
        for test in TESTS[segments]:
            cells, nested = [], []
            for pair in pairs:
                generator = generator_for(seed, f"paired {test} {names} {pair}")
                rights = [_at_one(found, name, pair, test) for name in names]
                known = [each for each in rights if each is not None]
                if len(known) < len(names):
                    cells.append("-")
                    nested.append("-")
                    continue
                value, limits = difference(
                    known, [_known(_at_one(found, name, pair, REFERENCE)) for name in names], generator
                )
                cells.append(
                    f"{value:+.0f} ({limits.low:+.0f} to {limits.high:+.0f})" if limits.low < limits.high else "0"
                )
                if test in LAYERED:
                    nested.append(in_percent(_nested(found, names, pair, test, generator)))
            if test != REFERENCE:
                against.append([test, *cells])
            if test in LAYERED:
                chosen.append([test, *nested])
        titles = ["test", *map(title, pairs)]
        written += [
            f"## {which}: pairs ordered right, less those of {REFERENCE}\n\n{markdown(against, titles)}",
            f"## {which}: pairs ordered right, the layer chosen on other trainings\n\n{markdown(chosen, titles)}",
        ]
    return "\n\n".join(written) + "\n"


def _at_one(found: All, name: str, pair: Pair, test: str) -> Floats | None:
    return right_pairs(found, name, pair, test, KINDS[name].layer if test in LAYERED else ANSWER)


def _known(right: Floats | None) -> Floats:
    assert right is not None, "shares are defined of every network"
    return right


def _nested(found: All, names: Sequence[str], pair: Pair, test: str, generator: np.random.Generator) -> Ordering:
    rights = [
        right_at_chosen(np.stack([_known(right_pairs(found, name, pair, test, each)) for each in layers_named(name)]))
        for name in names
    ]
    drawn = np.mean([drawn_means(each, generator, _REPLICATES) for each in rights], axis=0)
    low, high = 100 * np.percentile(drawn, (2.5, 97.5))
    right = 100 * float(np.mean([each.mean() for each in rights]))
    least = least_rate(tuple((len(each), len(each.T)) for each in rights)) if right == 100 else None
    return Ordering(right, Interval(float(low), float(high)), 0.0, 0.0, sum(each.size for each in rights), least)
