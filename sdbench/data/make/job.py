"""What decides how stylised copies are made, and that copies which are there already were made alike."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdbench.base.errors import InputError
from sdbench.base.files import write_text
from sdbench.data.davis_check import AS_FILMED, names_in
from sdbench.data.layouts import DESCRIPTION, FINISHED_MARKS, STYLE_FOLDERS, Layout
from sdbench.data.make.painters import FramePainter, check_models, described_painter, painter_of
from sdbench.video.frames import scaled_size
from sdbench.video.paint import LEAST_SIDE, check_styles

QUALITY = 95
"""Of the JPEG files."""


@dataclass(frozen=True)
class Job:
    """All that decides what the copies hold.

    Attributes:
        target: the folder that holds the style folders.
        layout: names of folders and frames.
        styles: the style that each of the style folders is painted in: four, or two and more where the layout calls
            the folders after them. The few-shot painter has as many as it has models.
        short_side: frames with a longer shorter side are made smaller to this, in pixels.
        model: the ONNX file of the style network; or the models of the few-shot painter, one a style.
        device: where it paints: "cpu", or a device of torch that is there.
    """

    target: Path
    layout: Layout
    styles: tuple[str, ...]
    short_side: int
    model: Path | tuple[Path, ...]
    device: str = "cpu"

    def __post_init__(self) -> None:
        if isinstance(self.model, tuple):
            check_models(self.styles, self.model, self.layout)
        elif len(check_styles(self.styles)) != len(STYLE_FOLDERS) and not self.layout.mirrors:
            raise InputError(f"the layout has {len(STYLE_FOLDERS)} style folders; got {len(self.styles)} styles")
        if self.short_side < LEAST_SIDE:
            raise InputError(f"the short side must be at least {LEAST_SIDE} pixels; got {self.short_side}")

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folder of each style."""
        return tuple(self.target / folder for folder in self.folders_by_name)

    @property
    def folders_by_name(self) -> tuple[str, ...]:
        """The folder of each style, below the target."""
        return self.layout.style_folders(self.styles)[: len(self.styles)]

    def described(self) -> dict[str, Any]:
        """Plain values, to be written beside the copies."""
        elsewhere = {} if self.device == "cpu" else {"device": self.device.partition(":")[0]}
        return {
            "layout": self.layout.name,
            "styles": dict(zip(self.folders_by_name, self.styles, strict=True)),
            "short_side": self.short_side,
            "jpeg_quality": QUALITY,
            **described_painter(self.styles, self.model),
            **elsewhere,
        }

    def painter(self) -> FramePainter:
        """What paints the copies.

        Raises:
            AssetError: a file of it is not there, damaged, or holds something else.
        """
        return painter_of(self.styles, self.model, self.device)

    def frame_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a copy: never larger than the source, but for the multiple of 4 that painters need."""
        multiple = 1 if self.layout.mirrors else 4
        return scaled_size(height, width, min(self.short_side, height, width), multiple)

    def mark(self, name: str) -> Path:
        """The file that says that a video is finished."""
        return self.target / FINISHED_MARKS / name


def check_apart(source: Path, target: Path, layout: Layout) -> None:
    """See that copies are not made among what they are made of, nor that among them: who reads one would read both.

    Args:
        source: a video, or a folder of them.
        target: the folder that will hold the copies.
        layout: of the copies. DAVIS, which they mirror, is read by its lists and the names of its folders: there they
            may lie around what is filmed.

    Raises:
        InputError: they are one folder, one is inside the other, or the target is a file.
    """
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; expected a folder for the copies, or a name that is not taken")
    one, other = Path(os.path.realpath(source)), Path(os.path.realpath(target))
    if one == other or one in other.parents or (other in one.parents and not layout.mirrors):
        raise InputError(f"{target} and {source} are one folder, or one is inside the other: make the copies elsewhere")


def claim(job: Job) -> None:
    """Write what the copies are made with, or check that those which are there were made alike.

    Raises:
        InputError: they were not, or it is not known how they were made.
    """
    (job.target / FINISHED_MARKS).mkdir(parents=True, exist_ok=True)
    path = job.target / DESCRIPTION
    wanted = job.described()
    if not path.exists():
        others = names_in(job.target / job.layout.folder) - AS_FILMED if job.layout.mirrors else ()
        if others or any(folder.exists() for folder in job.folders):
            raise InputError(f"{job.target} holds style folders that were not made here; choose an empty folder")
        write_text(path, json.dumps(wanted, indent=1) + "\n")
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"{path} is damaged; choose another folder, or delete it with the copies beside it") from None
    if found != wanted:
        keys = list(dict.fromkeys([*wanted, *found])) if isinstance(found, dict) else []
        differing = [key for key in keys if found.get(key) != wanted.get(key)]
        raise InputError(
            f"{job.target} holds copies made with another {', '.join(differing) or 'description'}: see {path}; "
            "choose another folder, or the same options"
        )
