"""What the published checkpoints hold: the names and shapes of their entries, from the reference tables."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

TABLES = Path(__file__).parents[2] / "tests" / "conformance"
"""`NAME.json`: under state_dict every entry of a published model with its shape; caffe2_names.json: blob -> entry."""

Shapes = dict[str, tuple[int, ...]]


def shapes_of(table: str) -> Shapes:
    """The entries of a published model's state dict, in order."""
    content = json.loads((TABLES / f"{table}.json").read_text(encoding="utf-8"))
    return {name: tuple(shape) for name, shape in content["state_dict"].items()}


def blobs_of(table: str) -> dict[str, str]:
    """The blobs of a checkpoint of Caffe2, and the entry that each holds."""
    content = json.loads((TABLES / "caffe2_names.json").read_text(encoding="utf-8"))
    return dict(content[table])


def numbers_in(shapes: Shapes) -> int:
    """How many numbers a checkpoint holds."""
    return sum(math.prod(shape) for shape in shapes.values())


_C2D_BLOCKS = {"s1": 0, "s2": 1, "s3": 3, "s4": 4, "s5": 5}
"""PyTorchVideo counts the pooling over time behind the first residual stage as block 2."""


def pytorchvideo_c2d(shapes: Shapes) -> dict[str, str]:
    """Name in PyTorchVideo's C2D -> entry of the table."""
    return dict(_c2d_names(shapes))


def _c2d_names(shapes: Shapes) -> Iterator[tuple[str, str]]:
    for entry in shapes:
        stage, _, inside = entry.partition(".")
        if stage == "head":
            yield f"blocks.6.proj.{inside.partition('.')[2]}", entry
            continue
        part, _, leaf = inside.partition(".")
        block = f"blocks.{_C2D_BLOCKS[stage]}"
        if stage == "s1":
            module, _, last = leaf.partition(".")
            yield f"{block}.{'conv' if module == 'conv' else 'norm'}.{last}", entry
            continue
        unit = f"{block}.res_blocks.{part.removeprefix('pathway0_res')}"
        module, _, last = leaf.rpartition(".")
        if module.startswith("branch1"):
            kind = "norm" if module.endswith("_bn") else "conv"
            yield f"{unit}.branch1_{kind}.{last}", entry
        else:
            step = module.removeprefix("branch2.")
            kind = "norm" if step.endswith("_bn") else "conv"
            yield f"{unit}.branch2.{kind}_{step[0]}.{last}", entry
