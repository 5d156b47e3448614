"""How the stylised data sets of the paper lie on disk: names of folders and of frames, and where numbering starts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sdbench.base.errors import unknown_name

STYLE_FOLDERS = ("style_1", "style_2", "style_3", "style_4")
"""Each holds one stylised copy of every video."""

DESCRIPTION = "stylised.json"
"""Says what the copies were made with; lies beside the style folders."""

FINISHED_MARKS = ".finished"
"""Folder beside the style folders that holds a mark for each video that `sdbench stylize` finished."""


@dataclass(frozen=True)
class Layout:
    """Names in a stylised copy: style folder / video folder / frame.

    Attributes:
        name: as the command line takes it.
        title: as a reader knows the data set.
        frame_digits, frame_prefix: a frame is called prefix, number with so many digits at least, ".jpg".
        first_frame: number of a video's first frame.
        video_prefix: what stands before a video's name in the name of its folder.
        frames_per_second: rate at which frames are kept; None keeps every frame.
        annotations: the files that lie beside the style folders.
        folder: where the style folders lie.
        mirrors: whether copies keep the names of the pictures that they are made of and, to the pixel, the aspect
            ratio, since masks and flow belong to them; their style folders are called after the styles.
        short_side: what larger frames are made smaller to by default, in pixels.
    """

    name: str
    title: str
    frame_prefix: str
    frame_digits: int
    first_frame: int
    video_prefix: str
    frames_per_second: int | None
    annotations: tuple[str, ...]
    folder: str = ""
    mirrors: bool = False
    short_side: int = 256

    def style_folders(self, styles: Sequence[str]) -> tuple[str, ...]:
        """The folder of each of the styles, below the folder of the copies."""
        return tuple(f"{self.folder}/{style}" for style in styles) if self.mirrors else STYLE_FOLDERS

    def frame_name(self, position: int) -> str:
        """File name of the frame at `position` (from 0) of its video."""
        return f"{self.frame_prefix}{position + self.first_frame:0{self.frame_digits}d}.jpg"

    def video_folder(self, video: str) -> str:
        """Name of the folder of a video, which may be given with its prefix or without."""
        return video if self.video_prefix and video.startswith(self.video_prefix) else self.video_prefix + video

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(rf"{re.escape(self.frame_prefix)}(\d{{{self.frame_digits},}})\.jpg")

    def frame_numbers(self, folder: Path) -> list[int]:
        """The numbers of the frames in `folder`, ascending; other files are passed over."""
        matches = (self._pattern.fullmatch(path.name) for path in folder.iterdir())
        return sorted(int(match[1]) for match in matches if match)


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("activitynet", "Stylized ActivityNet", "", 6, 1, "v_", 5, ("activitynet_v13.json",)),
        Layout("diving48", "Stylized Diving48", "image_", 5, 0, "", None, ("Diving48_V2_test.json",)),
        Layout(
            "ssv2",
            "Stylized SSv2",
            "",
            6,
            1,
            "",
            None,
            ("something-something-v2-validation.json", "something-something-v2-labels.json"),
        ),
        Layout("davis", "Stylized DAVIS", "", 5, 0, "", None, (), "JPEGImages", mirrors=True, short_side=480),
    )
}
"""Name -> layout. Diving48 counts frames from 0, the others from 1 (quirk 2 of the published code)."""


def layout_named(name: str) -> Layout:
    """The layout of this name.

    Raises:
        InputError: there is none.
    """
    if name not in LAYOUTS:
        raise unknown_name("layout", name, LAYOUTS)
    return LAYOUTS[name]
