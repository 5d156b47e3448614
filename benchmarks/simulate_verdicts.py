"""Simulate exact reproductions of every published value: how often each is called reproduced, and how often not.

    python -m benchmarks.simulate_verdicts [--pairs 200] [--processes 2] [--json FILE]

Two laboratories measure the same network on the same videos, with other random draws. What the first finds is
published as the paper did it, rounded or read off a picture; what the second finds is judged as the suite judges it.
The same once more with what the second finds shifted by twice the band: that must be called a deviation. Printed is the
table of docs/calibration.md.

A layer of 256 units is drawn whose units have the published classes: each is a sum of a part that is dynamic, one that
is static, one that is both, and a residual, of 48 sources each. All of these are the video's, the appearance in each of
four styles included; what jitter and shuffling put in the place of the dynamic part, and which style and which factor
is drawn, is a run's own.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.known_layers import PARTS
from sdbench.answers.accuracy import reach_of_orders
from sdbench.base.draws import generator_for
from sdbench.base.outputs import add_output, named_outputs, numbers, write_outputs
from sdbench.cases.records import ExpectedValue, read_all
from sdbench.cases.verdicts import Evidence, Verdict, judge_value
from sdbench.statistics import Interval, Moments, estimate_from_moments, merge, stack
from sdbench.statistics.counting import MOVES
from sdbench.statistics.quantities import Reading, read_quantity
from sdbench.statistics.reproduction import draw_error
from sdbench.statistics.sums import FloatArray
from sdbench.suite.datasets import ACTION_SEEDS

EXPECTED = Path(__file__).parents[1] / "expected"

UNITS, SOURCES, STYLES = 256, 48, 4
"""As few units as the smallest of the paper's layers has (256 to 2,048): with fewer, classes spread more.
With fewer sources units move more together, and classes spread more."""

SEQUENCES, FRAMES, DRAWS, SEEDS = 20, 40, 5, 4
"""Of Stylized DAVIS: its sequences have 68 frames on average, which fewer stand for, and four seeds of five draws."""

ALIKE, COMMON = 0.1, 0.3
"""Fraction of a part's variance that the frames of a sequence have in common, and of the appearance that is the style's
in all sequences: chosen so that the classes of one seed spread as they were measured to, see docs/calibration.md."""

VIDEOS = {"stylized_activitynet": 3000, "stylized_diving48": 1970, "stylized_ssv2": 3000}
"""So many give a pair each."""

BLOCKS = 64
"""So many sums are kept of them."""

TOP1 = {"kinetics400": (19796, 0.70), "ssv2": (24777, 0.60), "diving48": (1970, 0.75)}
"""Videos of the validation set, and the part of them that is recognised as filmed: a guess, of the usual size."""

SURE = 1.0
"""Concentration of the beta distribution of the chances that a video is recognised in a random order: many are near 0
or 1."""

ORDERS = {"kinetics400": 1, "ssv2": 1, "diving48": 4}

BAND = 2.0
"""A shift of so many bands must deviate."""

_SCORES = {True: (0.5, 0.95), False: (0.1, 0.5)}
"""Range of a unit's true score where it encodes a factor, and where not."""


@dataclass(frozen=True)
class Rates:
    """What a published value came to.

    Attributes:
        id: of the value.
        pairs: how many pairs of laboratories.
        reproduced, deviates: percent of the exact reproductions.
        noticed: percent of those shifted by twice the band that deviate.
        spread: standard deviation of the number that moves most between the seeds of a run, in points; None where
            nothing is drawn.
    """

    id: str
    pairs: int
    reproduced: float
    deviates: float
    noticed: float
    spread: float | None


Run = Callable[[np.random.Generator], Reading]
"""What one laboratory finds."""


def weights_of(
    classes: Mapping[str, float], generator: np.random.Generator, sources: int, units: int
) -> list[FloatArray]:
    """(sources, units) for each of `PARTS`: units whose true classes are as published."""
    names = ("dynamic", "static", "joint", "residual")
    part = np.array([classes[name] for name in names])
    counts = np.floor(part / part.sum() * units).astype(int)
    counts[np.argmax(part)] += units - counts.sum()
    of = np.repeat(names, counts)

    def scores(encoding: tuple[str, str]) -> FloatArray:
        low, high = np.array([_SCORES[bool(name in encoding)] for name in of]).T
        return np.asarray(generator.uniform(low, high))

    dynamic, static = scores(("dynamic", "joint")), scores(("static", "joint"))
    least, most = np.maximum(dynamic + static - 1, 0), np.minimum(dynamic, static)
    both = least + 0.3 * (most - least)
    variances = [dynamic - both, static - both, both, 1 - dynamic - static + both]
    mixing = generator.standard_normal((len(PARTS), sources, units))
    mixing /= np.linalg.norm(mixing, axis=1, keepdims=True)
    return [mixing[number] * np.sqrt(variance) for number, variance in enumerate(variances)]


def sequences(weights: list[FloatArray], generator: np.random.Generator) -> Callable[..., list[Moments]]:
    """Twenty painted sequences; what is returned draws one seed's pairs of them and gives the sums of each."""
    dynamic, static, joint, residual = (each.astype(np.float32) for each in weights)
    sources, units = dynamic.shape

    def latent(*styles: int) -> FloatArray:
        common = generator.standard_normal((SEQUENCES, 1, *styles, sources), dtype=np.float32)
        own = generator.standard_normal((SEQUENCES, FRAMES, *styles, sources), dtype=np.float32)
        return np.asarray(np.float32(ALIKE**0.5) * common + np.float32((1 - ALIKE) ** 0.5) * own)

    def painted() -> FloatArray:
        style = generator.standard_normal((1, 1, STYLES, sources), dtype=np.float32)
        return np.asarray(np.float32((1 - COMMON) ** 0.5) * latent(STYLES) + np.float32(COMMON**0.5) * style)

    seen = (latent() @ joint)[:, :, None] + painted() @ static
    shown = seen + (latent() @ dynamic)[:, :, None] + painted() @ residual
    sums = shown.sum(axis=1)
    products = np.einsum("gfsu,gftu->gstu", shown, shown)
    jitter = np.concatenate([dynamic, residual])

    def seed(run: np.random.Generator) -> list[Moments]:
        factors = np.empty(SEQUENCES * DRAWS, dtype=int)
        factors[run.permutation(len(factors))] = np.arange(len(factors)) % 2
        found = []
        for number in range(SEQUENCES):
            chosen = factors[number * DRAWS : (number + 1) * DRAWS]
            total, square, product = np.zeros((3, 2, units))
            for factor in chosen:
                one, two = run.permutation(STYLES)[:2]
                if factor == 0:
                    total[0] += sums[number, one] + sums[number, two]
                    square[0] += products[number, one, one] + products[number, two, two]
                    product[0] += products[number, one, two]
                else:
                    drawn = run.standard_normal((FRAMES, 2 * sources), dtype=np.float32) @ jitter
                    second = seen[number, :, one] + drawn
                    total[1] += sums[number, one] + second.sum(axis=0)
                    square[1] += products[number, one, one] + np.einsum("fu,fu->u", second, second)
                    product[1] += np.einsum("fu,fu->u", shown[number, :, one], second)
            pairs = FRAMES * np.bincount(chosen, minlength=2)
            found.append(Moments(pairs, np.zeros((2, units)), total, square, product))
        return found

    return seed


def clips(weights: list[FloatArray], generator: np.random.Generator, videos: int) -> Callable[..., list[Moments]]:
    """Painted videos of which each gives one pair; what is returned draws one seed's pairs and gives sums by block."""
    dynamic, static, joint, residual = (each.astype(np.float32) for each in weights)
    sources, units = dynamic.shape

    def latent(*styles: int) -> FloatArray:
        return np.asarray(generator.standard_normal((videos, *styles, sources), dtype=np.float32))

    seen = (latent() @ joint)[:, None] + latent(STYLES) @ static
    shown = seen + (latent() @ dynamic)[:, None] + latent(STYLES) @ residual
    shuffling = np.concatenate([dynamic, residual])
    block = np.arange(videos) * BLOCKS // videos

    def seed(run: np.random.Generator) -> list[Moments]:
        factors = run.integers(0, 2, videos)
        one, two = np.argsort(run.random((videos, STYLES)), axis=1)[:, :2].T
        pairs = np.zeros((BLOCKS, 2), dtype=np.int64)
        total, square, product = np.zeros((3, BLOCKS, 2, units))
        for factor in range(2):
            of = np.flatnonzero(factors == factor)
            first = shown[of, one[of]]
            if factor == 0:
                second = shown[of, two[of]]
            else:
                drawn = run.standard_normal((len(of), 2 * sources), dtype=np.float32) @ shuffling
                second = seen[of, one[of]] + drawn
            blocks, starts, counts = np.unique(block[of], return_index=True, return_counts=True)
            pairs[blocks, factor] = counts
            total[blocks, factor] = np.add.reduceat(first + second, starts)
            square[blocks, factor] = np.add.reduceat(first**2 + second**2, starts)
            product[blocks, factor] = np.add.reduceat(first * second, starts)
        return [Moments(pairs[b], np.zeros((2, units)), total[b], square[b], product[b]) for b in range(BLOCKS)]

    return seed


def read(quantity: str, seeds: list[list[Moments]], generator: np.random.Generator) -> Reading:
    """What a run of several seeds came to, as `Measurement.layer(...).read(...)` gives it."""
    cells = [part for seed in seeds for part in seed]
    videos = np.tile(np.arange(len(seeds[0])), len(seeds))
    stacked = stack(cells)
    error = draw_error(stacked, videos, 0.5, generator.standard_normal((MOVES, len(cells))))
    runs = [estimate_from_moments(merge(seed)) for seed in seeds] if len(seeds) > 1 else []
    return read_quantity(quantity, estimate_from_moments(stacked.merged()), None, error, runs)


def accuracy(trained_on: str, change: float, generator: np.random.Generator) -> Callable[[int], Run]:
    """Labelled videos, each with its chance to be recognised in a random order: number of orders -> a run."""
    videos, top1 = TOP1[trained_on]
    ordered = (generator.random(videos) < top1).astype(np.float64)
    mean = min(max(1 + change / 100, 1e-3), 1 - 1e-3)
    other = 0.1
    chances = np.where(
        ordered > 0,
        generator.beta(SURE * mean, SURE * (1 - mean), videos),
        generator.beta(SURE * other, SURE * (1 - other), videos),
    )

    def of(orders: int) -> Run:
        def run(draws: np.random.Generator) -> Reading:
            shuffled = (draws.random((videos, orders)) < chances[:, None]).astype(np.float64)
            value = 100 * (shuffled.mean(axis=1).sum() - ordered.sum()) / ordered.sum()
            reach = reach_of_orders(ordered, shuffled)
            return Reading({"change": value}, {"change": Interval(value - reach, value + reach)})

        return run

    return of


def laboratories(case: ExpectedValue, generator: np.random.Generator, sources: int, units: int) -> tuple[Run, Run, int]:
    """What publishes and what judges, on the same videos, and how many seeds the second takes."""
    if case.quantity in ("published_units", "published_percent"):
        known = {record.id: record for record in published()}
        # No classes were published of a layer of which shares were, where the two share a network: the same layer's.
        of = known[case.id.replace("layerwise", "unitwise")] if case.quantity == "published_percent" else case
        weights = weights_of(of.values, generator, sources, units)
        if case.dataset == "stylized_davis":
            seed, count = sequences(weights, generator), SEEDS
        else:
            seed, count = clips(weights, generator, VIDEOS[case.dataset]), ACTION_SEEDS

        def run(draws: np.random.Generator, seeds: int) -> Reading:
            return read(case.quantity, [seed(draws) for _ in range(seeds)], draws)

        # The paper's unit classes are those of its last seed.
        return partial(run, seeds=1), partial(run, seeds=count), count
    if case.quantity == "top1_change_when_shuffled":
        of_orders = accuracy(case.trained_on, case.values["change"], generator)
        return of_orders(1), of_orders(ORDERS[case.trained_on]), ORDERS[case.trained_on]
    points = {name: Interval(value, value) for name, value in case.values.items()}
    return (lambda _: Reading(dict(case.values), points)), (lambda _: Reading(dict(case.values), points)), 1


def published() -> list[ExpectedValue]:
    """Every value of `expected/` that others published."""
    return [record for record in read_all(EXPECTED) if isinstance(record, ExpectedValue) and record.is_published]


def as_published(case: ExpectedValue, found: Reading, generator: np.random.Generator) -> ExpectedValue:
    """The case with what the first laboratory found: printed to a decimal, or read off a picture."""
    values = {name: found.values[name] for name in case.values}
    if case.source.reading == "digitised":
        values = {
            name: value + generator.uniform(-case.uncertainty, case.uncertainty) for name, value in values.items()
        }
    elif case.uncertainty:
        values = {name: round(value, 1) for name, value in values.items()}
    return case.model_copy(update={"values": values})


def shifted(found: Reading, case: ExpectedValue) -> Reading:
    """What would be found if the first of the judged numbers were off by `BAND` bands."""
    name = max(case.judged, key=lambda name: case.values[name])
    by = BAND * (case.tolerance[name] + case.uncertainty) * (-1 if case.values[name] > 50 else 1)
    assert found.reproduction is not None
    limit = found.reproduction[name]
    return Reading(
        found.values | {name: found.values[name] + by},
        found.reproduction | {name: Interval(limit.low + by, limit.high + by)},
    )


def rates_of(case: ExpectedValue, pairs: int, sources: int = SOURCES, units: int = UNITS) -> Rates:
    """Judge `pairs` pairs of laboratories; each ten have videos and a layer of their own."""
    verdicts: dict[str, Counter[Verdict]] = {"exact": Counter(), "shifted": Counter()}
    spreads = []
    for number in range(pairs):
        if number % 10 == 0:
            first, second, seeds = laboratories(case, generator_for(number, f"videos {case.id}"), sources, units)
        draws = generator_for(number, f"draws {case.id}")
        given, found = as_published(case, first(draws), draws), second(draws)
        evidence = Evidence(seeds, "seeds")
        verdicts["exact"][judge_value(given, found, evidence).verdict] += 1
        verdicts["shifted"][judge_value(given, shifted(found, given), evidence).verdict] += 1
        if found.spread:  # 1.96 standard deviations, over S, of the mean of S seeds
            spreads.append(np.array(list(found.spread.values())) / 1.96 * seeds / np.sqrt(seeds - 1))
    exact = verdicts["exact"]
    return Rates(
        case.id,
        pairs,
        100 * exact[Verdict.REPRODUCED] / pairs,
        100 * exact[Verdict.DEVIATES] / pairs,
        100 * verdicts["shifted"][Verdict.DEVIATES] / pairs,
        float(np.sqrt(np.mean(np.square(spreads), axis=0)).max()) if spreads else None,
    )


def any_deviates(found: list[Rates]) -> float:
    """Percent of whole sets of exact reproductions in which at least one value is called a deviation."""
    return float(100 * (1 - np.prod([1 - each.deviates / 100 for each in found])))


def table(found: list[Rates]) -> str:
    """Markdown: a row for each value."""
    lines = ["| value | spread of a seed | reproduced, % | deviates, % | deviates, shifted, % |", "| --- " * 5 + "|"]
    for each in found:
        spread = "" if each.spread is None else f"{each.spread:.1f}"
        lines.append(f"| {each.id} | {spread} | {each.reproduced:.1f} | {each.deviates:.1f} | {each.noticed:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Simulate, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--sources", type=int, default=SOURCES, help="of each part: with fewer, units move more together"
    )
    parser.add_argument("--units", type=int, default=UNITS, help="of a layer")
    parser.add_argument("--only", default="", help="values whose id begins so")
    add_output(parser, "--json", "json", "write the rates there too")
    options = parser.parse_args()
    cases = [case for case in published() if case.id.startswith(options.only)]
    rates = partial(rates_of, pairs=options.pairs, sources=options.sources, units=options.units)
    with named_outputs(options):
        with ProcessPoolExecutor(options.processes) as pool:
            found = list(pool.map(rates, cases))
        write_outputs((options.json, numbers([vars(each) for each in found])))
        print(table(found))
        total = sum(each.pairs for each in found)
        wrong = sum(each.deviates * each.pairs / 100 for each in found)
        print(
            f"\nat least one false deviation among {len(found)}: {any_deviates(found):.1f} % ({wrong:.0f} of {total})"
        )


if __name__ == "__main__":
    main()
