"""DAVIS 2016 and its stylised copies, in the folders that are published.

    JPEGImages/480p/SEQUENCE/FRAME.jpg         frames as filmed
    Annotations/480p/SEQUENCE/FRAME.png        masks of one object, 0 and 255
    ImageSets/480p/val.txt                     which frames belong to the validation set, with their masks
    FlowImages_gap1/SEQUENCE/FRAME.png         optical flow to the next frame, drawn as a picture; not of the last frame
    FlowImages_gap-1/SEQUENCE/FRAME.png        optical flow to the frame before; not of the first frame
    JPEGImages/STYLE/SEQUENCE/FRAME.jpg        painted copies, in a folder of their own (Stylized DAVIS)

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016; stylised by
Kowal et al., CVPR 2022. Listing the folders and reading the headers of each sequence's first pictures decides what can
be used; the pictures themselves are opened when they are needed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sdbench.base.errors import InputError, unknown_name
from sdbench.data.davis_check import FRAMES, LISTS, MASKS, Check, Painted, find_root, other_size, read_mask
from sdbench.data.segmentation import Mask, VideoSequence
from sdbench.video.decode import read_picture
from sdbench.video.flow import flow_description, flow_folder, flow_sentence
from sdbench.video.frames import Frames

_LINE = re.compile(r"/?JPEGImages/480p/([^/\s]+)/([^/\s]+)\.jpg\s+/?Annotations/480p/([^/\s]+)/([^/\s]+)\.png")


class DavisDataset:
    """Sequences with masks, flow pictures and painted copies; made by `davis`, which checks them.

    Args:
        root: holds `JPEGImages` and `Annotations`.
        flows: holds the folders of flow pictures.
        painted: the folder that holds a folder for each style.
        sequences: those that can be used.
        sizes: (name of a sequence, style, or None as filmed) -> height and width of its pictures.
        styles: names of the painted copies.
        directions: which flow may be read: False for forward, True for backward.

    Attributes:
        name: "davis".
        sequences, styles: as given.
        skipped: what was left out, and why; one sentence each.
        notes: which optical flow and which styles; one sentence each.
        identity: hash of lists, names, sizes, styles and what flow and styles were made with. The pictures' content is
            not part of it, so that one that could not be read can be replaced and a measurement goes on.
        assets: empty: all of it is the user's own.
        sources: name of a sequence -> the longer shot that it was cut from, where it was; such sequences are not
            independent and are resampled together.
    """

    def __init__(
        self,
        root: Path,
        flows: Path,
        painted: Path | None,
        sequences: Sequence[VideoSequence],
        sizes: Mapping[tuple[str, str | None], tuple[int, int]],
        styles: Sequence[str],
        directions: Sequence[bool],
    ) -> None:
        self.root = root
        self.flows = flows
        self.painted = painted
        self.name = "davis"
        self.sequences = tuple(sequences)
        self.styles = tuple(styles)
        self.skipped: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.identity = ""
        self.assets: tuple[str, ...] = ()
        self.sources: dict[str, str] = {}
        self._sizes = dict(sizes)
        self._directions = tuple(directions)

    def source_of(self, sequence: VideoSequence) -> str:
        """What is resampled when intervals are made: the sequence, or the shot that it was cut from."""
        return self.sources.get(sequence.name, sequence.name)

    def image(self, sequence: VideoSequence, position: int, style: str | None = None) -> Frames:
        """Frame `position` of a sequence, from 0, in one of `styles` or (None) as filmed: (H, W, 3) uint8.

        Raises:
            InputError: there is no such style or frame, or the picture is damaged or of another size than the first.
        """
        path = self._image_file(sequence, position, style)
        picture = read_picture(path)
        self._check_size(path, picture.shape[:2], sequence, style)
        return picture

    def flow(self, sequence: VideoSequence, position: int, backward: bool = False) -> Frames:
        """Flow from a frame to the next (or, `backward`, to the one before), drawn as a picture: (H, W, 3) uint8.

        Raises:
            InputError: there is no such frame, none forward of the last or backward of the first, the flow was not
                asked for, or the picture is damaged or of another size than the frames.
        """
        path = self._flow_file(sequence, position, backward)
        picture = read_picture(path)
        self._check_size(path, picture.shape[:2], sequence)
        return picture

    def mask(self, sequence: VideoSequence, position: int) -> Mask:
        """The object in a frame: (H, W) bool; all false where it is not seen.

        Raises:
            InputError: there is no such frame, the picture is damaged or of another size than the frames, or it tells
                several objects apart.
        """
        path = self._mask_file(sequence, position)
        mask = read_mask(path)
        self._check_size(path, mask.shape, sequence)
        return mask

    def files(
        self,
        sequence: VideoSequence,
        positions: Sequence[int],
        styles: Sequence[str | None] = (),
        flow: Sequence[bool] = (),
        masks: bool = False,
    ) -> list[Path]:
        """The files that are read for some frames: see `SegmentationDataset`.

        Raises:
            InputError: there is no such style or frame, or the flow was not asked for.
        """
        found: list[Path] = []
        for position in positions:
            found += [self._image_file(sequence, position, style) for style in styles]
            directions = [backward for backward in flow if sequence.has_flow(position, backward)]
            found += [self._flow_file(sequence, position, backward) for backward in directions]
            found += [self._mask_file(sequence, position)] if masks else []
        return found

    def _image_file(self, sequence: VideoSequence, position: int, style: str | None) -> Path:
        if style is not None and style not in self.styles:
            raise unknown_name("style", style, self.styles)
        place = self.root / FRAMES
        if style is not None:
            assert self.painted is not None
            place = self.painted / style
        return place / sequence.name / f"{self._frame(sequence, position)}.jpg"

    def _flow_file(self, sequence: VideoSequence, position: int, backward: bool) -> Path:
        way = "backward" if backward else "forward"
        if backward not in self._directions:
            raise InputError(f"{way} flow was not asked for when {self.root} was opened")
        frame = self._frame(sequence, position)
        if not sequence.has_flow(position, backward):
            raise InputError(f"{sequence.name} has no {way} flow of frame {frame}: it is the {_END[backward]}")
        return self._flow_folder(backward) / sequence.name / f"{frame}.png"

    def _flow_folder(self, backward: bool) -> Path:
        return self.flows / flow_folder(backward)

    def _mask_file(self, sequence: VideoSequence, position: int) -> Path:
        return self.root / MASKS / sequence.name / f"{self._frame(sequence, position)}.png"

    def _frame(self, sequence: VideoSequence, position: int) -> str:
        if sequence not in self.sequences:
            raise unknown_name("sequence", sequence.name, (known.name for known in self.sequences))
        if not 0 <= position < len(sequence.frames):
            raise InputError(f"{sequence.name} has frames 0 to {len(sequence.frames) - 1}; asked for {position}")
        return sequence.frames[position]

    def _check_size(self, path: Path, size: Sequence[int], sequence: VideoSequence, style: str | None = None) -> None:
        expected = self._sizes[sequence.name, style]
        if tuple(size) != expected:
            raise InputError(other_size(path, size, expected, sequence.name))


_END = {False: "last", True: "first"}


def davis(
    folder: Path,
    stylised: Path | None = None,
    *,
    split: str = "val",
    flow: bool = True,
    flows: Path | None = None,
    backward_flow: bool = False,
    skip_unusable: bool = False,
) -> DavisDataset:
    """The sequences of DAVIS 2016 that a list names, with what is asked for.

    Args:
        folder: DAVIS, or the folder that it was unpacked into.
        stylised: Stylized DAVIS, or what `sdbench stylize --layout davis` made, or the folder that holds it; None where
            no styles are needed.
        split: which list of `ImageSets/480p`: val or train.
        flow: whether flow pictures are needed.
        flows: the folder that holds the folders of flow pictures; by default `folder`'s own.
        backward_flow: whether backward ones are needed too.
        skip_unusable: leave out sequences that lack something and list them in `skipped`, instead of stopping.

    Raises:
        InputError: the list is missing or malformed; fewer than two styles are there; flow pictures were made by
            different methods; no sequence can be used; or (without `skip_unusable`) styles, frames, masks or flow
            pictures are missing, which are all named, or a first picture cannot be used.
    """
    root = find_root(folder, FRAMES)
    listed = read_list(root, split)
    directions = ((False, True) if backward_flow else (False,)) if flow else ()
    flows = flows or root
    check = Check(root, flows)
    painted = Painted.found(stylised, check) if stylised else None
    styles = painted.styles if painted else ()
    origins = {backward: flow_description(flows / flow_folder(backward)) for backward in directions}
    if len({json.dumps(origin, sort_keys=True) for origin in origins.values()}) > 1:
        raise InputError(
            f"forward and backward flow pictures of {flows} were made by different methods: "
            f"{'; '.join(f'{flow_folder(backward)}: {flow_sentence(origins[backward])}' for backward in origins)}; "
            f"delete one of the two folders and run `sdbench flow {root}`, or bring both from one source"
        )
    for sequence in listed:
        check.sequence(sequence, painted, directions)
    usable = [sequence for sequence in listed if not check.faults.get(sequence.name)]
    if check.message and (check.too_few_styles or not usable or not skip_unusable):
        raise InputError(check.message)
    sizes = {key: size for key, size in check.sizes.items() if key[0] in {sequence.name for sequence in usable}}
    found = DavisDataset(root, flows, painted.folder if painted else None, usable, sizes, styles, directions)
    found.skipped = check.skipped
    found.notes = (
        *([flow_sentence(origins[False])] if flow else []),
        *([painted.sentence] if painted else []),
        *_stretched(usable, styles, sizes),
    )
    made_with = painted.description if painted else None
    decides = (split, usable, sorted(sizes.items(), key=str), styles, sorted(origins.items()))
    found.identity = hashlib.sha256(f"{decides} {json.dumps(made_with, sort_keys=True)}".encode()).hexdigest()
    return found


def read_list(root: Path, split: str = "val") -> tuple[VideoSequence, ...]:
    """The sequences that `ImageSets/480p/SPLIT.txt` names, each with its frames, in the list's order.

    Raises:
        InputError: the list is missing, empty or malformed.
    """
    path = root / LISTS / f"{split}.txt"
    if not path.is_file():
        raise InputError(f"no list at {path}; expected that of DAVIS 2016, with a frame and its mask in each line")
    frames: dict[str, list[str]] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text; expected a frame and its mask in each line, as DAVIS 2016 has") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None or match.group(1, 2) != match.group(3, 4) or {".", ".."} & {*match.groups()}:
            raise InputError(
                f"line {number} of {path} is {line.strip()[:80]!r}; expected a frame and its mask as in DAVIS 2016: "
                "/JPEGImages/480p/SEQUENCE/FRAME.jpg /Annotations/480p/SEQUENCE/FRAME.png"
            )
        sequence = frames.setdefault(match[1], [])
        if match[2] in sequence:
            raise InputError(f"line {number} of {path} names frame {match[2]} of {match[1]} again; expected it once")
        sequence.append(match[2])
    if not frames:
        raise InputError(f"{path} is empty; expected a frame and its mask in each line, as DAVIS 2016 has")
    return tuple(VideoSequence(name, tuple(numbers)) for name, numbers in frames.items())


def _stretched(
    sequences: Sequence[VideoSequence], styles: Sequence[str], sizes: Mapping[tuple[str, str | None], tuple[int, int]]
) -> list[str]:
    """One sentence for each style whose pictures have another size than the frames as filmed."""
    sentences = []
    for style in styles:
        other = [s.name for s in sequences if sizes[s.name, style] != sizes[s.name, None]]
        if other:
            (height, width), (filmed_height, filmed_width) = sizes[other[0], style], sizes[other[0], None]
            sentences.append(
                f"pictures in style {style} have another size than the frames as filmed in {len(other)} of "
                f"{len(sequences)} sequences ({other[0]}: {width} x {height} and {filmed_width} x {filmed_height})"
            )
    return sentences
