"""Made-up reports: one good night, and how it may differ from the next."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

VALUE = "action/layerwise/net/data/stage5"
RECORDED = "packaged/net/fc1/shares/seed0"
CLAIM = "claim/toy"
UNPUBLISHED = "action/layerwise/net/data/stage4"
LOOP = "test_reading_all_layers[net]"

REPORT: dict[str, Any] = {
    "environment": {
        "date": "2026-01-01T03:00:00+00:00",
        "command": "pytest benchmarks --benchmark-quiet -rfE --device cuda --data 'my data'",
        "revision": "a" * 40,
        "source": "5" * 64,
        "python": "3.12.1",
        "python_build": "CPython main Jan 1 2026 GCC 14",
        "platform": "Linux",
        "libc": "glibc 2.41",
        "packages": {"torch": "2.12.0", "numpy": "2.0"},
        "packages_sha256": "6" * 64,
        "cuda": {"runtime": "13.0", "cudnn": "91002", "nccl": "2.28"},
        "processor": "some processor",
        "instructions": "0123456789ab",
        "cores": 8,
        "gpus": ["Big GPU, 580.1"],
        "machine": "0123456789ab",
        "variables": {"OMP_NUM_THREADS": "8"},
        "container": {"image_digest": "sha256:" + "1" * 64, "base": "some:1", "base_digest": "sha256:" + "7" * 64},
        "interrupted": False,
        "seed": 0,
        "pairs": 200,
        "device": "cuda",
        "protocol": "published",
        "precision": "float32",
        "compile": "auto",
        "measured by": "this process",
        "assets": {"weights": "3" * 64},
        "weights": {"net (data) on data": "8" * 64},
        "shown": {"net (data) on data": "9" * 64},
        "taken from a cache": "nothing",
    },
    "cases": [
        {
            "id": VALUE,
            "kind": "published value",
            "verdict": "reproduced",
            "measured": {"dynamic": 20.0, "static": 40.0},
            "expected": {"dynamic": 21.0, "static": 40.0},
            "tolerance": {"dynamic": 2.0, "static": 2.0},
            "interval": {"dynamic": [19.0, 21.0], "static": [39.5, 40.5]},
            "reason": "every interval lies inside its band",
            "seconds": 12.0,
        },
        {
            "id": RECORDED,
            "kind": "recorded value",
            "verdict": "unchanged",
            "measured": {"dynamic": 12.0},
            "expected": {"dynamic": 12.0},
            "tolerance": {"dynamic": 0.05},
            "interval": None,
            "reason": "furthest",
            "seconds": 1.0,
        },
        {
            "id": CLAIM,
            "kind": "recorded claim",
            "verdict": "holds",
            "measured": {"a > b": 3.0},
            "expected": {"a > b": "> 0"},
            "tolerance": None,
            "interval": None,
            "reason": "narrowest",
            "seconds": 0.0,
        },
        {
            "id": UNPUBLISHED,
            "kind": "unpublished value",
            "verdict": "measured",
            "measured": {"dynamic": 30.0},
            "expected": {},
            "tolerance": None,
            "interval": {"dynamic": [28.0, 32.0]},
            "reason": "no value was published",
            "seconds": 12.0,
        },
    ],
    "measurements": [],
    "layers": {},
    "timings": {
        LOOP: {
            "min": 0.9,
            "max": 1.2,
            "mean": 1.0,
            "stddev": 0.1,
            "median": 1.0,
            "q1": 0.95,
            "q3": 1.1,
            "rounds": 5,
            "iterations": 1,
        }
    },
}


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., Path]:
    """Write a report: report(day, lambda content: ...) changes the good one first; days make reports differ."""

    def make(day: int, change: Callable[[dict[str, Any]], object] = lambda content: None) -> Path:
        content = copy.deepcopy(REPORT)
        content["environment"]["date"] = f"2026-01-{day:02d}T03:00:00+00:00"
        change(content)
        folder = tmp_path / f"report-{day}"
        folder.mkdir(exist_ok=True)
        (folder / "report.json").write_text(json.dumps(content))
        return folder

    return make


def case(content: dict[str, Any], name: str) -> dict[str, Any]:
    return next(case for case in content["cases"] if case["id"] == name)
