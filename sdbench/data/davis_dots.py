"""Cinematograms and stereograms of DAVIS: ten pictures made of each source frame, which count as a sequence of its own.

    ImageSets/480p/val.txt                              the source frames, as DAVIS 2016 lists them
    JPEGImages/480p/SEQUENCE/FRAME/00000.jpg            the first of the ten pictures made of a source frame
    OpticalFlow_Real/SEQUENCE/FRAME/00000.png           optical flow to the next picture, drawn as a picture
    JPEGImages/STYLE/SEQUENCE/FRAME/00000.jpg           painted copies, beside them or in a folder of their own

These are the layouts that the loaders of Kowal et al. (CVPR 2022) read. Of cinematograms they leave out source frames
without a folder and pictures without flow, and never use the last style; of stereograms they use all styles and leave
nothing out. What made the pictures was never published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdbench.base.errors import InputError, some, unknown_name
from sdbench.data.davis2016 import DavisDataset, read_list
from sdbench.data.davis_check import AS_FILMED, FRAMES, PICTURES, PUBLISHED_STYLES, find_root, names_in
from sdbench.data.segmentation import VideoSequence
from sdbench.video.decode import natural_key, picture_size
from sdbench.video.flow import flow_description, flow_sentence

FLOW = "OpticalFlow_Real"

LENGTH = 10
"""Pictures made of a source frame."""

_LISTED = 5


@dataclass(frozen=True)
class DotsLayout:
    """What the published loader does with one of the two data sets.

    Attributes:
        name: as the command line takes it.
        title: for sentences.
        leaves_out: whether source frames without a folder and pictures without flow are left out; else they are
            missing.
        drops_style: whether the last style is not used.
    """

    name: str
    title: str
    leaves_out: bool
    drops_style: bool


DOTS = {
    layout.name: layout
    for layout in (
        DotsLayout("davis_cinematograms", "cinematograms", leaves_out=True, drops_style=True),
        DotsLayout("davis_stereograms", "stereograms", leaves_out=False, drops_style=False),
    )
}
"""Name -> layout."""


class DotsDataset(DavisDataset):
    """Sequences that were made of a source frame each; made by `davis_dots`, which checks them.

    A sequence is called SEQUENCE/FRAME. Those of one sequence of DAVIS are not independent, and are resampled together.
    """

    def _flow_folder(self, backward: bool) -> Path:  # noqa: ARG002 - there is none backward, which is said when opened
        return self.flows


@dataclass
class _Found:
    """What is there of the sequences, and what is not.

    Attributes:
        usable: those that can be used.
        sizes: see `DavisDataset`.
        without_folder: source frames that have none.
        without_flow: pictures that have none.
        short: source frames with fewer than two pictures left.
        faults: one sentence each for what is missing.
    """

    usable: list[VideoSequence] = field(default_factory=list)
    sizes: dict[tuple[str, str | None], tuple[int, int]] = field(default_factory=dict)
    without_folder: list[str] = field(default_factory=list)
    without_flow: list[str] = field(default_factory=list)
    short: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def left_out(self) -> tuple[str, ...]:
        """What the published rules leave out; one sentence a rule."""
        rules = (
            ("source frames without a folder", self.without_folder),
            ("pictures without flow", self.without_flow),
            ("source frames with fewer than two pictures that have flow", self.short),
        )
        return tuple(f"left out as published: {len(names)} {what}: {some(names)}" for what, names in rules if names)


def davis_dots(
    layout: str,
    folder: Path,
    stylised: Path | None = None,
    *,
    split: str = "val",
    backward_flow: bool = False,
    skip_unusable: bool = False,
) -> DotsDataset:
    """The sequences made of the source frames that a list names.

    Args:
        layout: "davis_cinematograms" or "davis_stereograms".
        folder: holds `JPEGImages`, `ImageSets` and `OpticalFlow_Real`, or is the folder that it was unpacked into.
        stylised: holds the folder of each style in its `JPEGImages`; by default `folder` does.
        split: which list of `ImageSets/480p`: val or train.
        backward_flow: whether the network sees flow both ways.
        skip_unusable: leave out sequences that lack something and list them in `skipped`, instead of stopping. What the
            published rules leave out is always listed there.

    Raises:
        InputError: the layout is unknown; backward flow is asked for; list, flow or styles are missing; no sequence can
            be used; or (without `skip_unusable`) pictures are missing.
    """
    if layout not in DOTS:
        raise unknown_name("layout", layout, DOTS)
    known = DOTS[layout]
    root = find_root(folder, FRAMES)
    if backward_flow:
        raise InputError(f"{known.title} have no backward flow; this network sees both ways: measure another, or DAVIS")
    flows = root / FLOW
    if not flows.is_dir():
        raise InputError(f"no folder at {flows}; {known.title} have their flow in {FLOW}/SEQUENCE/FRAME/00000.png")
    painted = find_root(stylised or root, PICTURES) / PICTURES
    styles, missing_styles = _styles(painted, known)
    listed = [(sequence.name, frame) for sequence in read_list(root, split) for frame in sequence.frames]
    found = _Found()
    for source, frame in listed:
        _look(f"{source}/{frame}", known, root, flows, painted, styles, found)
    faults = [*(f"style {style} is missing" for style in missing_styles), *found.faults]
    if faults and not skip_unusable:
        more = f"; and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
        raise InputError(
            f"{root} cannot be used as it is: {'; '.join(faults[:_LISTED])}{more}; bring the {known.title} whole, or "
            "leave these out by asking to skip what cannot be used"
        )
    dropped = [f"the last of the styles is not used, as published: used are {', '.join(styles)}"]
    skipped = (*found.left_out, *(dropped if known.drops_style else ()), *faults)
    if not found.usable:
        raise InputError(f"no source frame of {root} can be used: {'; '.join(skipped[:_LISTED])}")
    dataset = DotsDataset(root, flows, painted, found.usable, found.sizes, styles, (False,))
    dataset.name = layout
    dataset.skipped = skipped
    description = flow_description(flows)
    dataset.notes = (
        f"{known.title}: the pictures made of one source frame are a sequence; those of one sequence of DAVIS are "
        "resampled together",
        flow_sentence(description),
        f"styles: {', '.join(styles)}, as they came with the data",
    )
    dataset.sources = {sequence.name: sequence.name.partition("/")[0] for sequence in found.usable}
    decides = (layout, split, found.usable, sorted(found.sizes.items(), key=str), styles, description)
    dataset.identity = hashlib.sha256(repr(decides).encode()).hexdigest()
    return dataset


def _styles(painted: Path, layout: DotsLayout) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The styles that are used, and those that should be and are not there.

    Raises:
        InputError: fewer than two are left.
    """
    there = {name for name in names_in(painted) - AS_FILMED if (painted / name).is_dir()}
    expected = sorted(PUBLISHED_STYLES if there & set(PUBLISHED_STYLES) else there, key=natural_key)
    if layout.drops_style:
        expected = expected[:-1]
    used = tuple(style for style in expected if style in there)
    if len(used) < 2:
        needed = "three, of which the last is not used" if layout.drops_style else "two"
        raise InputError(
            f"{painted} holds {len(there)} styles ({', '.join(sorted(there)) or 'none'}); {layout.title} need {needed}"
            f", in {PICTURES}/STYLE/SEQUENCE/FRAME/00000.jpg"
        )
    return used, tuple(style for style in expected if style not in there)


def _look(
    name: str, layout: DotsLayout, root: Path, flows: Path, painted: Path, styles: Sequence[str], found: _Found
) -> None:
    """Add what there is of the pictures made of one source frame."""
    pictures = [f"{number:05d}" for number in range(LENGTH)]
    with_flow = names_in(flows / name)
    if layout.leaves_out:
        if not (root / FRAMES / name).is_dir():
            found.without_folder.append(name)
            return
        found.without_flow += [f"{name}/{picture}" for picture in pictures if f"{picture}.png" not in with_flow]
        pictures = [picture for picture in pictures if f"{picture}.png" in with_flow]
        if len(pictures) < 2:
            found.short.append(name)
            return
    missing = [flows / name / f"{picture}.png" for picture in pictures[:-1] if f"{picture}.png" not in with_flow]
    for style in styles:
        there = names_in(painted / style / name)
        missing += [painted / style / name / f"{p}.jpg" for p in pictures if f"{p}.jpg" not in there]
    if missing:
        found.faults.append(f"{name} lacks {len(missing)} pictures (first {missing[0]})")
        return
    try:
        sizes: dict[tuple[str, str | None], tuple[int, int]] = {
            (name, style): picture_size(painted / style / name / f"{pictures[0]}.jpg") for style in styles
        }
        sizes[name, None] = picture_size(flows / name / f"{pictures[0]}.png")
    except InputError as error:
        found.faults.append(str(error))
        return
    found.sizes |= sizes
    found.usable.append(VideoSequence(name, tuple(pictures)))
