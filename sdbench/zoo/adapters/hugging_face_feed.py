"""What a checkpoint of the transformers library is fed, as its own file of preprocessing says.

The library's processors fill in what such a file leaves out from the defaults of their class, which differ from one
version to the next; here a number that is not in the file is asked for. Frames are resized by Pillow's filters on 8
bits, which the files' `resample` names; newer processors do the same with another library, to within rounding.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdbench.base.errors import AssetError, InputError
from sdbench.video.feed import Feed
from sdbench.zoo.adapters.hidden_states import Family
from sdbench.zoo.asked import Asked

FILES = ("video_preprocessor_config.json", "preprocessor_config.json", "processor_config.json")
"""Where preprocessing is described; the first that is there, with what belongs to pictures in it, is read."""

_NESTED = ("video_processor", "image_processor")

_STEPS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")
"""The steps of preprocessing that are followed."""

_WITHOUT_EFFECT = ("do_convert_rgb", "do_sample_frames", "do_reduce_labels", "do_pad")
"""Steps that change nothing of what is fed here: frames are RGB, sampled and of one size before, and have no labels."""

_RESAMPLE = {2: "area", 3: "bicubic"}
"""Pillow's number of a filter -> what a feed calls it."""

_OPTIONS = {
    "size": "--size",
    "mean": "--mean",
    "std": "--std",
    "resample": "--resample",
}


def feed_of(folder: Path, family: Family, config: Any, asked: Asked) -> Feed:
    """What the checkpoint in a folder is fed, with what the user asks for in place of it.

    Args:
        folder: of the checkpoint.
        family: which it belongs to.
        config: of the part whose hidden states are read.
        asked: by the user.

    Raises:
        InputError: a number is neither in the files nor asked for, a step of theirs is not known, or what is asked for
            does not fit the network.
        AssetError: a file is no JSON.
    """
    for name in ("order", "argument", "alpha", "flow"):
        if name in asked.feed:
            raise InputError(f"{name} says nothing of a checkpoint of transformers: its family tells it")
    found, source = _described(folder)
    unknown = [name for name, value in (found or {}).items() if name.startswith("do_") and value]
    if unknown := [name for name in unknown if name not in (*_STEPS, *_WITHOUT_EFFECT)]:
        raise InputError(
            f"{source} has a step of preprocessing that is not known here, {unknown[0]}: feed the network yourself, "
            "by a function of your own that returns sdbench.Network(module, feed)"
        )
    words, missing = _words(found, source, family)
    for field, why in missing.items():
        if field not in asked.feed:
            raise InputError(f"{why}; give {_OPTIONS[field]}")
    if "size" in asked.feed:
        words = _at_size(words, asked.feed["size"])
    feed = asked.fed(Feed(frames=family.default_frames(config), order="BTCHW", argument=family.argument, **words))
    family.check(config, feed.frames, feed.height_and_width)
    return feed


def _at_size(words: Mapping[str, Any], size: int | Sequence[int]) -> dict[str, Any]:
    """The same for frames of another size: the shorter side that they are cropped from goes along."""
    changed = {**words, "size": size if isinstance(size, int) else tuple(size)}
    if "short_side" in words:
        own, longest = (max(side) if not isinstance(side, int) else side for side in (words["size"], changed["size"]))
        changed["short_side"] = max(round(words["short_side"] * longest / own), longest)
    return changed


def _described(folder: Path) -> tuple[Mapping[str, Any] | None, str]:
    """What the first file that describes preprocessing says, and its name; None where there is no such file."""
    for name in FILES:
        path = folder / name
        if not path.is_file():
            continue
        content = json_of(path)
        if name == "processor_config.json":
            nested = next((content[part] for part in _NESTED if isinstance(content.get(part), dict)), None)
            if nested is None:
                continue
            content = nested
        return content, name
    return None, ", ".join(FILES[:-1]) + f" or {FILES[-1]}"


def json_of(path: Path) -> dict[str, Any]:
    """The object in a file of JSON.

    Raises:
        AssetError: it holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AssetError(f"{path} is no JSON that can be read ({error}); fetch it again") from None
    if not isinstance(content, dict):
        raise AssetError(f"{path} must hold an object of JSON; got {type(content).__name__}")
    return content


def _words(found: Mapping[str, Any] | None, source: str, family: Family) -> tuple[dict[str, Any], dict[str, str]]:
    """Fields of a feed that the file tells, and those that it does not, with the reason."""
    if found is None:
        reason = f"the checkpoint has no {source}, which says what it is fed"
        return {}, dict.fromkeys(_OPTIONS, reason)
    words: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for read in (_geometry, _resampling):
        told, untold = read(found, source)
        words |= told
        missing |= untold
    told, untold = _colours(found, source, family)
    return words | told, missing | untold


def _geometry(found: Mapping[str, Any], source: str) -> tuple[dict[str, Any], dict[str, str]]:
    """`size`, `short_side` and `fit`."""
    if found.get("do_resize", True) is False:
        return {}, {"size": f"{source} does not resize frames (do_resize is false)"}
    if found.get("crop_pct") is not None:
        return {}, {"size": f"{source} has a crop_pct, by which its processor resizes frames before it crops them"}
    side, exact = _size(found.get("size"))
    crop = _exact(found.get("crop_size"))
    if side is None and exact is None:
        return {}, {"size": f"{source} says no size that is known here (got {found.get('size')!r})"}
    cropped = found.get("do_center_crop")
    if cropped is None:
        cropped = crop is not None and exact is None
    if not cropped:
        if exact is None and isinstance(found.get("size"), int):
            exact = _exact(found["size"])  # old files: one number is a square where nothing is cropped
        if exact is None:
            return {}, {"size": f"{source} keeps the shape of frames (size is {found['size']!r}, nothing is cropped)"}
        return {"size": _short(exact), "fit": "stretch"}, {}
    if crop is None:
        return {}, {"size": f"{source} crops the middle, but has no crop_size"}
    if exact is not None:
        if exact != crop:
            return {}, {"size": f"{source} squeezes frames to {exact} and then crops {crop}, which no feed does"}
        return {"size": _short(exact), "fit": "stretch"}, {}
    assert side is not None
    if side < max(crop):
        return {}, {"size": f"{source} crops {crop} from a shorter side of {side}, which pads with black"}
    return {"size": _short(crop), "short_side": side, "fit": "crop"}, {}


def _size(size: Any) -> tuple[int | None, tuple[int, int] | None]:
    """Length of the shorter side, or exact height and width."""
    if isinstance(size, int) and not isinstance(size, bool):
        return size, None
    if isinstance(size, Mapping) and isinstance(size.get("shortest_edge"), int):
        return (size["shortest_edge"], None) if size.get("longest_edge") is None else (None, None)
    return None, _exact(size) if isinstance(size, Mapping) else None


def _exact(size: Any) -> tuple[int, int] | None:
    if isinstance(size, int) and not isinstance(size, bool):
        return size, size
    if isinstance(size, Mapping) and all(isinstance(size.get(axis), int) for axis in ("height", "width")):
        return size["height"], size["width"]
    return None


def _short(size: tuple[int, int]) -> int | tuple[int, int]:
    return size[0] if size[0] == size[1] else size


def _resampling(found: Mapping[str, Any], source: str) -> tuple[dict[str, Any], dict[str, str]]:
    if found.get("resample") in _RESAMPLE:
        return {"resample": _RESAMPLE[found["resample"]]}, {}
    got = f"has resample {found['resample']!r}" if found.get("resample") is not None else "has no resample"
    return {}, {"resample": f"{source} {got}; known are 2 (bilinear) and 3 (bicubic)"}


def _colours(found: Mapping[str, Any], source: str, family: Family) -> tuple[dict[str, Any], dict[str, str]]:
    """`mean` and `std`: a file maps bytes x to (x * factor - offset - mean) / std, a feed to (x / 255 - mean) / std."""
    factor, offset, unknown = _rescaling(found, source, family)
    if unknown:
        return {}, dict.fromkeys(("mean", "std"), unknown)
    mean, std = found.get("image_mean"), found.get("image_std")
    normalised = found.get("do_normalize")
    if normalised is None:
        normalised = mean is not None or std is not None
        if not normalised:
            return {}, dict.fromkeys(("mean", "std"), f"{source} has neither do_normalize nor image_mean and image_std")
    if not normalised:
        mean, std = 0.0, 1.0
    entries = {"mean": ("image_mean", _three(mean)), "std": ("image_std", _three(std))}
    missing = {
        name: f"{source} has no {entry} of one number or three" for name, (entry, value) in entries.items() if not value
    }
    if missing:
        return {}, missing
    scale = round(255 * factor, 6) if math.isclose(255 * factor, round(255 * factor, 6), rel_tol=1e-6) else 255 * factor
    return {
        "mean": tuple((offset + value) / scale for value in entries["mean"][1]),
        "std": tuple(value / scale for value in entries["std"][1]),
    }, {}


def _rescaling(found: Mapping[str, Any], source: str, family: Family) -> tuple[float, float, str]:
    """What bytes are multiplied by, what is then subtracted, and why that is not known, where it is not.

    Files without the entries are of a time when all processors divided by 255; ViViT's never did.
    """
    if found.get("do_rescale", True) is False:
        return 1.0, 0.0, ""
    factor = found.get("rescale_factor")
    if family.tower != "VivitModel":
        return (1 / 255 if factor is None else float(factor)), 0.0, ""
    if factor is None:
        return 1.0, 0.0, f"{source} has no rescale_factor, which decides what this {family.title} is fed"
    offset = found.get("offset")
    if offset is None and not math.isclose(float(factor), 1 / 127.5, rel_tol=1e-4):
        return 1.0, 0.0, f"{source} has no offset, which decides what this {family.title} is fed"
    # Newer files of ViViT leave the offset out: with this factor it is always subtracted.
    return float(factor), (1.0 if offset is None or offset else 0.0), ""


def _three(value: Any) -> tuple[float, ...]:
    """Three numbers of one or three; nothing where it is neither."""
    if isinstance(value, int | float):
        return (float(value),) * 3
    if isinstance(value, list | tuple) and len(value) == 3 and all(isinstance(part, int | float) for part in value):
        return tuple(map(float, value))
    return ()
