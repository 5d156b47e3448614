"""What the method must say of the networks that were built by hand, worked out without the code under test.

Their units are the colours of what they see, and the styles are the corners of a tetrahedron. Whatever the two styles
of a dynamic pair, the sum over the colours of the product of its members is -1, of a static pair, whose members are one
picture, 3; so the score of the dynamic factor is -1/3 and of the static one 1, but for the means that few pairs have by
chance. Studies of as many pairs are simulated here: their mean is what is expected, their spread the tolerance.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rehearsal.pictures import TETRAHEDRON

FACTORS = ("dynamic", "static", "residual")
TRUE, MOVED = "true", "moved"
PREFIX = "known_colours"

_STUDIES = 2000
_SPREADS = 4.0
_FLOOR = 1.5
"""Percentage points: whole dimensions, the edges of the square, and JPEG."""


def shares(pairs: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Percent of each factor that the method gives in one simulated study of so many pairs of each factor."""
    first = generator.integers(0, 4, 2 * pairs)
    other = (first + generator.integers(1, 4, 2 * pairs)) % 4
    one = TETRAHEDRON[first].astype(float)
    two = TETRAHEDRON[np.where(np.arange(2 * pairs) < pairs, other, first)].astype(float)
    total = np.concatenate([one, two]).var(axis=0).sum()
    scores = [_covariance(one[part], two[part]) / total for part in (slice(pairs), slice(pairs, None))]
    exponentials = np.exp([*scores, 1.0])
    return np.asarray(100 * exponentials / exponentials.sum())


def _covariance(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    mean = (one.mean(axis=0) + two.mean(axis=0)) / 2
    return float(((one - mean) * (two - mean)).mean(axis=0).sum())


def expected(pairs: int, seeds: int = 1) -> tuple[dict[str, float], dict[str, float]]:
    """Share of each factor and tolerance, in percent, of a study that takes the mean over so many seeds."""
    generator = np.random.default_rng(0)
    found = np.array([[shares(pairs, generator) for _ in range(seeds)] for _ in range(_STUDIES)]).mean(axis=1)
    reach = _SPREADS * found.std(axis=0) + _FLOOR
    limits = (
        dict(zip(FACTORS, (round(float(v), 2) for v in each), strict=True)) for each in (found.mean(axis=0), reach)
    )
    values, tolerance = limits
    return values, tolerance


def limit() -> dict[str, float]:
    """The shares of infinitely many pairs: the softmax of -1/3, 1 and 1."""
    weights = [math.exp(-1 / 3), math.e, math.e]
    return {name: 100 * weight / sum(weights) for name, weight in zip(FACTORS, weights, strict=True)}


def write_known(folder: Path, action_pairs: int, vos_pairs: int, vos_seeds: int) -> None:
    """Write two expected values for each network: what it must say, and the same moved by twice the tolerance."""
    folder.mkdir(parents=True, exist_ok=True)
    action = {"network": "x3d_xs", "trained_on": "kinetics400", "dataset": "stylized_activitynet", "layer": "stage5"}
    vos = {"network": "fusionseg", "trained_on": "davis", "dataset": "stylized_davis", "layer": "fusion.layer5"}
    _write(folder / "action.json", "action recognition", action, action_pairs, 1)
    _write(folder / "vos.json", "video object segmentation", vos, vos_pairs, vos_seeds)


def _write(path: Path, task: str, of: dict[str, str], pairs: int, seeds: int) -> None:
    values, tolerance = expected(pairs, seeds)
    moved = dict(values)
    moved["dynamic"] += 2 * tolerance["dynamic"]
    moved["static"] -= 2 * tolerance["static"]
    record: dict[str, Any] = {
        "task": task,
        "quantity": "published_percent",
        **of,
        "source": {"reading": "printed", "where": f"worked out: the mean of {_STUDIES} simulated studies of colours"},
        "uncertainty": 0.0,
        "tolerance": tolerance,
        "tolerance_reason": (
            f"{_SPREADS:.0f} standard deviations of simulated studies of {pairs} pairs of each factor and {seeds} "
            f"seeds, and {_FLOOR} points for whole dimensions, the edges of the square, and JPEG"
        ),
    }
    listed = [
        {"id": f"{PREFIX}/{of['network']}/{name}", **record, "values": v}
        for name, v in ((TRUE, values), (MOVED, moved))
    ]
    content = {
        "schema": 1,
        "about": "Networks built by hand for the rehearsal, whose answer is known",
        "values": listed,
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
