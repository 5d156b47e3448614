"""How the tests of motion order the small networks, and which of them they call seeing: as tables and a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from tabulate import tabulate

from benchmarks.ordering import Ordering, Pairing, Scored, agreement, ordering
from benchmarks.picture_of_tests import Panel
from benchmarks.usual_tests import ANSWER, CONFLICT, LAYERED, OF_ANSWERS, OF_SCENES, UNTRAINED, Found, layers_named
from sdbench.base.draws import generator_for
from sdbench.calibration.trained import KINDS, SEEDS, kind_named

Job = tuple[str, str, int]
"""Network, task, number of the training."""

All = Mapping[Job, Found]

Pair = tuple[str, str]

WITHIN: Pair = ("within both", CONFLICT)
"""In the place of two trainings: networks trained on both, ordered as `CONFLICT` orders them."""

PAIRS: dict[bool, tuple[Pair, ...]] = {
    False: (("motion", "texture"), ("motion", "both"), ("both", "texture"), ("motion", UNTRAINED), WITHIN),
    True: (("camouflaged", "still"), ("camouflaged", UNTRAINED)),
}
"""Trainings of which the first is to score more, of action and of segmentation networks; the last ones are controls."""

TESTS = {False: (*OF_ANSWERS, CONFLICT, *LAYERED), True: (*OF_ANSWERS, *OF_SCENES, *LAYERED)}
"""Of action and of segmentation networks."""

EVERY = "mean of all layers"
"""In the place of a layer."""

SEEING = {
    "shuffled: points lost": 0.0,
    "frozen: points lost": 0.0,
    "noise: right": 25.0,
    CONFLICT: 0.0,
    "probe: motion": 25.0,
    "probe: motion less appearance": 0.0,
    "shares: dynamic less static": 0.0,
    "units: dynamic": 0.0,
    "units: dynamic less static": 0.0,
}
"""Above what a test is read as "it sees motion": nothing, chance, or as much as of appearance."""

_OF_CLASSES = ("noise: right", CONFLICT)  # a mask has no chance level

_ENOUGH = 90.0  # percent of pairs, for a layer to count as ordering right


@dataclass(frozen=True)
class Row:
    """How a test orders the networks of some kinds.

    Attributes:
        test: its name.
        kinds: the networks that are put together.
        layers: the layer of each, `ANSWER` or `EVERY`.
        pair: the trainings, one of `PAIRS`.
        found: how.
    """

    test: str
    kinds: tuple[str, ...]
    layers: tuple[str, ...]
    pair: Pair
    found: Ordering


def jobs(names: Sequence[str]) -> list[Job]:
    """All networks that are tested."""
    return [(name, task, n) for name in names for task in (*kind_named(name).tasks, UNTRAINED) for n in range(SEEDS)]


def rows(found: All, seed: int, replicates: int = 2000) -> Iterator[Row]:
    """How each test orders each pair of trainings: all networks at one layer each, then each network at each layer.

    Args:
        found: what the tests say.
        seed: of the bootstrap samples.
        replicates: how many of these.
    """
    for segments, names in groups_of(found):
        for test in TESTS[segments]:
            for of, layers in _places(names, test):
                for pair in PAIRS[segments]:
                    generator = generator_for(seed, f"ordering {test} {of} {layers} {pair}")
                    if pair == WITHIN:
                        if test != CONFLICT:
                            groups = [
                                list(zip(*_sides(found, name, "both", "both", test, layer, CONFLICT), strict=True))
                                for name, layer in zip(of, layers, strict=True)
                            ]
                            yield Row(test, of, layers, pair, agreement(groups, generator, replicates))
                        continue
                    pairings = [_sides(found, name, *pair, test, layer) for name, layer in zip(of, layers, strict=True)]
                    if all(side for sides in pairings for side in sides):
                        yield Row(test, of, layers, pair, ordering(pairings, generator, replicates))


def groups_of(found: All) -> Iterator[tuple[bool, tuple[str, ...]]]:
    """Whether they find sprites, and the names of the networks."""
    known = dict.fromkeys(name for name, *_ in found)
    for segments in (False, True):
        names = tuple(name for name in known if KINDS[name].segments == segments)
        if names:
            yield segments, names


def _places(names: tuple[str, ...], test: str) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Networks and the layer of each: all at the layer that claims speak of, then every layer of every network."""
    if test not in LAYERED:
        yield names, (ANSWER,) * len(names)
        return
    yield names, tuple(KINDS[name].layer for name in names)
    yield names, (EVERY,) * len(names)
    for name in names:
        yield from (((name,), (layer,)) for layer in layers_named(name))


def _sides(found: All, name: str, more: str, less: str, test: str, layer: str, other: str | None = None) -> Pairing:
    """What a test says of the trainings on two tasks; of the second another test, of answers, where one is named."""
    return (
        scores(found, name, more, test, layer),
        scores(found, name, less, other or test, layer if other is None else ANSWER),
    )


def scores(found: All, name: str, task: str, test: str, layer: str) -> list[Scored]:
    """What a test says of all trainings on a task; nothing where it is not defined of them.

    Of all layers the mean is taken, with the mean ends of their intervals: as if all were off together.
    """
    said = [found[name, task, number].get(test, {}) for number in range(SEEDS)]
    if layer == EVERY:
        return [
            Scored(*(fmean(getattr(each, end) for each in of.values()) for end in ("value", "low", "high")))
            for of in said
            if of
        ]
    return [of[layer] for of in said if layer in of]


def panels(every: Sequence[Row]) -> Iterator[Panel]:
    """Of the picture: all action networks at one layer each, and all segmentation networks."""
    for segments, which in ((False, "action networks"), (True, "segmentation networks")):
        of = [row for row in every if KINDS[row.kinds[0]].segments == segments and _at_one(row)]
        of = [row for row in of if row.kinds == of[0].kinds]  # all networks together
        if of:
            compared = [
                (title(pair), {row.test: row.found for row in of if row.pair == pair}) for pair in PAIRS[segments]
            ]
            yield which, TESTS[segments], compared


def _at_one(row: Row) -> bool:
    """Whether it is of the answers or of the layers that claims speak of."""
    return row.layers == tuple(ANSWER if row.test not in LAYERED else KINDS[name].layer for name in row.kinds)


def tables(found: All, every: Sequence[Row]) -> str:
    """The tables of docs/test_of_tests.md, as Markdown."""
    written = []
    for segments, names in groups_of(found):
        here = [row for row in every if row.kinds == names]
        one, mean = ([row for row in here if which(row)] for which in (_at_one, lambda row: EVERY in row.layers))
        which = "segmentation networks" if segments else "action networks"
        written += [
            f"## {which}: pairs ordered right\n\n{_orderings(one, segments, in_percent)}",
            f"## {which}: pairs told apart, right / wrong\n\n{_orderings(one, segments, _apart)}",
            f"## {which}: pairs ordered right, mean of all layers\n\n{_orderings(mean, segments, in_percent)}",
            f"## {which}: called seeing\n\n{_called(found, names)}",
        ]
        titled = f"## {which}: layers that order at least {_ENOUGH:.0f} % of the pairs right"
        written.append(f"{titled}\n\n{_enough(every, names, PAIRS[segments])}")
        for name in names:
            written += [f"## {name}, {KINDS[name].layer}\n\n{_values(found, name)}"]
            for pair in PAIRS[segments]:
                of_pair = [row for row in every if row.kinds == (name,) and row.pair == pair and _is_layer(row)]
                written += [f"## {name}, {title(pair)}, by layer\n\n{_layers(name, of_pair)}"]
    return "\n\n".join(written) + "\n"


def _is_layer(row: Row) -> bool:
    return row.test in LAYERED and EVERY not in row.layers


def title(pair: Pair) -> str:
    return "within both, by conflict" if pair == WITHIN else " over ".join(pair)


def in_percent(found: Ordering) -> str:
    """Right, with the interval; where all are right, with the least rate that this fits."""
    if found.least is not None:
        return f"{found.right:.0f} (at least {found.least:.0f})"
    if found.interval.low == found.interval.high:
        return f"{found.right:.0f}"
    return f"{found.right:.0f} ({found.interval.low:.0f} to {found.interval.high:.0f})"


def _apart(found: Ordering) -> str:
    return f"{found.told:.0f} / {found.mistaken:.0f}"


def _orderings(here: Sequence[Row], segments: bool, said: Callable[[Ordering], str]) -> str:
    cells = {(row.test, row.pair): said(row.found) for row in here}
    tests = list(dict.fromkeys(row.test for row in here))
    lines = [[test, *(cells.get((test, pair), "-") for pair in PAIRS[segments])] for test in tests]
    return markdown(lines, ["test", *(title(pair) for pair in PAIRS[segments])])


def _called(found: All, names: Sequence[str]) -> str:
    """How many networks of each training a test calls seeing motion, with its interval."""
    tasks = (*KINDS[names[0]].tasks, UNTRAINED)
    lines = []
    for test, above in SEEING.items():
        if KINDS[names[0]].segments and test in _OF_CLASSES:
            continue
        cells = []
        for task in tasks:
            of = [
                each.low > above
                for name in names
                for each in scores(found, name, task, test, KINDS[name].layer if test in LAYERED else ANSWER)
            ]
            cells.append(f"{sum(of)} of {len(of)}" if of else "-")
        lines.append([test, f"{above:g}", *cells])
    return markdown(lines, ["test", "above", *tasks])


def _values(found: All, name: str) -> str:
    """What each test says: the mean over trainings, and the least and the largest."""
    kind = KINDS[name]
    tasks = (*kind.tasks, UNTRAINED)
    lines = []
    for test in TESTS[kind.segments]:
        layer = kind.layer if test in LAYERED else ANSWER
        cells = []
        for task in tasks:
            of = [each.value for each in scores(found, name, task, test, layer)]
            cells.append(f"{round(fmean(of))} ({round(min(of))} to {round(max(of))})" if of else "-")
        lines.append([test, *cells])
    return markdown(lines, ["test", *tasks])


def _enough(every: Sequence[Row], names: Sequence[str], pairs: Sequence[Pair]) -> str:
    """How many layers of each network order nearly all pairs right."""
    titles, columns = [], []
    for name in names:
        for pair in pairs:
            titles.append(f"{name.removeprefix('calibration_')}, {len(layers_named(name))} layers: {title(pair)}")
            of = {
                (row.test, row.layers[0]): row.found.right
                for row in every
                if row.kinds == (name,) and row.pair == pair and _is_layer(row)
            }
            columns.append(Counter(test for (test, _), right in of.items() if right >= _ENOUGH))
    lines = [[test, *(str(column[test]) for column in columns)] for test in LAYERED]
    return markdown(lines, ["test", *titles])


def _layers(name: str, of_pair: Sequence[Row]) -> str:
    """Percent of pairs ordered right at each layer, the worst of them, and how many order nearly all right."""
    layers, lines = layers_named(name), []
    for test in dict.fromkeys(row.test for row in of_pair):
        found = {row.layers[0]: row.found.right for row in of_pair if row.test == test}
        right = {layer: found[layer] for layer in layers}
        enough = sum(value >= _ENOUGH for value in right.values())
        worst = min(right, key=right.__getitem__)
        lines.append([test, f"{enough} of {len(right)}", worst, *(f"{value:.0f}" for value in right.values())])
    return markdown(lines, ["test", f"at least {_ENOUGH:.0f}", "worst", *layers])


def markdown(lines: Sequence[Sequence[str]], titles: Sequence[str]) -> str:
    return str(tabulate(lines, titles, "github", disable_numparse=True))
