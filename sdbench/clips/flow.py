"""Optical flow drawn as pictures: hue says where to, saturation how fast, white is at rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sdbench.errors import InputError

DESCRIPTION = "flow.json"
"""Lies in a folder of flow pictures and says what made them; those that came with the data have none."""


def flow_folder(backward: bool = False) -> str:
    """Name of the folder of flow pictures: from each frame to the next, or (`backward`) to the one before."""
    return "FlowImages_gap-1" if backward else "FlowImages_gap1"


def flow_description(folder: Path) -> dict[str, Any] | None:
    """What the flow pictures in `folder` were made with; None where they came with the data.

    Raises:
        InputError: the description is damaged.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found["method"], str):
            return dict(found)
    except (ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{path} is damaged; delete its folder and run `sdbench flow` again")


def flow_sentence(description: dict[str, Any] | None) -> str:
    """Which optical flow it is, for the readers of a report."""
    if description is None:
        return "flow pictures as they came with the data"
    details = [f"{name} {description[name]}" for name in ("version", "preset") if name in description]
    shown = f" ({', '.join(details)})" if details else ""
    wheel = "drawn with the colour wheel of Baker et al."
    return f"optical flow by {description['method']}{shown}, {wheel}; not the published method"
