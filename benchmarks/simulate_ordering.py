"""How far "100 %" and the bootstrap over trainings can be trusted, with tests that are simulated.

    python -m benchmarks.simulate_ordering [--studies 1000]

Prints the figures of docs/test_of_tests.md that are of no network: bounds for one, two and three architectures of five
trainings a side, and how often the bootstrap over trainings covers the true rate.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from scipy import stats

from benchmarks.ordering import Scored, ordering
from benchmarks.ordering_bounds import least_rate, least_rate_of_disjoint

TRAININGS = 5


def covered(rate: float, architectures: int, studies: int, generator: np.random.Generator) -> tuple[float, float]:
    """How often the bootstrap over trainings covers a true rate, and how often its interval is one point, in percent.

    Args:
        rate: the true one, from 0 to 1.
        architectures: that are put together.
        studies: how many are simulated.
        generator: source of all draws.
    """
    shift = float(np.sqrt(2) * stats.norm.ppf(rate))

    def side(moved: float) -> Sequence[Scored]:
        return [Scored(float(v), float(v), float(v)) for v in generator.standard_normal(TRAININGS) + moved]

    held = points = 0
    for _ in range(studies):
        found = ordering([(side(shift), side(0.0)) for _ in range(architectures)], generator, 1000)
        held += found.interval.low <= 100 * rate <= found.interval.high
        points += found.interval.low == found.interval.high
    return 100 * held / studies, 100 * points / studies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    given = parser.parse_args()
    generator = np.random.default_rng(0)
    print("| architectures | all ordered fits a true rate of at least | the same, if one side never varies |")
    print("| --- | --- | --- |")
    for count in (1, 2, 3):
        bound = least_rate(((TRAININGS, TRAININGS),) * count)
        print(f"| {count} | {bound:.1f} | {least_rate_of_disjoint(TRAININGS * count):.1f} |")
    print("\n| true rate | architectures | bootstrap covers | is one point |")
    print("| --- | --- | --- | --- |")
    for rate in (0.7, 0.8, 0.9, 0.95, 0.98):
        for count in (1, 2, 3):
            held, points = covered(rate, count, given.studies, generator)
            print(f"| {100 * rate:.0f} | {count} | {held:.0f} | {points:.0f} |")


if __name__ == "__main__":
    main()
