"""One way to show frames of a video to a network, and how the views of a sample become its input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from sdbench.statistics import FACTORS
from sdbench.video.feed import Feed
from sdbench.video.frames import Frames

DYNAMIC, STATIC = FACTORS.index("dynamic"), FACTORS.index("static")

CROSSED_VIEWS = ((0, 0), (1, 0), (0, 1), (1, 1))
"""(appearance, motion) of the four views of two appearances crossed with two motions."""

CROSSED_PAIRS = ((0, 1, DYNAMIC), (2, 3, DYNAMIC), (0, 2, STATIC), (1, 3, STATIC))
"""The pairs that four such views form."""


@dataclass(frozen=True)
class View:
    """One way to show a clip or video to a network.

    Attributes:
        style: name of the style that it is painted in.
        frames: (name of the network's input, positions of its frames in the order they are shown).
    """

    style: str
    frames: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def positions(self) -> tuple[int, ...]:
        """Positions of all frames that any input takes, ascending, each once."""
        return tuple(sorted({position for _, positions in self.frames for position in positions}))


def drawn_views(
    views: Sequence[View], feed: Feed, read: Callable[[str, tuple[int, ...]], Frames], crop: int = 0
) -> dict[str, Tensor]:
    """The views of a sample as a network's inputs; a frame of a style is read and prepared once for all that show it.

    Args:
        views: in their order.
        feed: what the network is fed.
        read: of a style and positions, the frames (positions, H, W, 3) uint8.
        crop: which of the feed's crops.
    """
    shown: dict[int, dict[str, Tensor]] = {}
    for style in dict.fromkeys(view.style for view in views):
        of_style = [number for number, view in enumerate(views) if view.style == style]
        positions = tuple(sorted({position for number in of_style for position in views[number].positions}))
        row = {position: i for i, position in enumerate(positions)}
        pixels = feed.pixels(read(style, positions), crop)
        for number in of_style:
            shown[number] = {name: pixels[:, [row[p] for p in order]] for name, order in views[number].frames}
    return {name: feed.ordered([shown[number][name] for number in range(len(views))]) for name in feed.inputs}
