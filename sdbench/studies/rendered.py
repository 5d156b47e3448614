"""Rendered videos: appearance and motion are drawn apart and crossed exactly, on the fly.

A *scene* has two appearances and two motions, which makes four clips. Two that share the motion share nothing of the
appearance; two that share the appearance begin with the same frame and share nothing of the motion. (Where a sprite is
and what shape it has shows in a single frame and belongs to the motion's masks as well: all four clips share it.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from sdbench.base.errors import InputError, unknown_name
from sdbench.data.segmentation import Mask, VideoSequence
from sdbench.video.frames import Frames
from sdbench.video.render import (
    MOTIONS,
    Appearance,
    Flow,
    Motion,
    RenderedClip,
    draw_appearance,
    draw_motion,
    redraw_motion,
    render,
)
from sdbench.video.textures import TEXTURES

_SMALLEST = 16
STYLES = ("appearance0", "appearance1")
"""The two appearances of a scene, where a segmentation data set speaks of styles."""


@dataclass(frozen=True)
class Scene:
    """Two appearances and two motions that can be crossed.

    Attributes:
        name: unique in its data set.
        appearances: two that have nothing in common.
        motions: two that have the first frame's layout in common, and nothing else.
    """

    name: str
    appearances: tuple[Appearance, Appearance]
    motions: tuple[Motion, Motion]


class RenderedVideos:
    """Scenes that are drawn when they are asked for.

    Args:
        scenes: how many.
        generator: source of the seed that all scenes follow from.
        size: height and width of the frames, at least 16.
        frames: number of frames of a clip, at least 2.
        textures: of `sdbench.video.textures.TEXTURES`; each texture's kind is drawn from them.
        motions: of `sdbench.video.render.MOTIONS`; each scene's kind is drawn from them.
        dot: size of a random dot in pixels.

    Raises:
        InputError: a texture or motion is unknown, or a number is too small.
    """

    def __init__(
        self,
        scenes: int,
        generator: np.random.Generator,
        size: tuple[int, int] = (112, 112),
        frames: int = 16,
        textures: Iterable[str] = tuple(TEXTURES),
        motions: Iterable[str] = MOTIONS,
        dot: int = 2,
    ) -> None:
        self.size, self.frames, self.dot = size, frames, dot
        self.textures, self.motions = tuple(textures), tuple(motions)
        for kind, chosen, known in (("texture", self.textures, TEXTURES), ("motion", self.motions, MOTIONS)):
            if not chosen:
                raise InputError(f"at least one {kind} is needed; known: {', '.join(known)}")
            for name in chosen:
                if name not in known:
                    raise unknown_name(kind, name, known)
        if scenes < 1 or frames < 2 or min(size) < _SMALLEST or dot < 1:
            raise InputError(
                f"expected at least 1 scene, 2 frames, {_SMALLEST} pixels a side and dots of 1 pixel; "
                f"got {scenes} scenes, {frames} frames, {size[0]} x {size[1]} pixels, dots of {dot}"
            )
        self._seed = int(generator.integers(2**62))
        self.count = scenes
        self.name = "rendered"
        self.skipped: tuple[str, ...] = ()
        self.assets: tuple[str, ...] = ()

    @cached_property
    def identity(self) -> str:
        """Hash of all that decides what is rendered, but the code."""
        decisive = (self._seed, self.count, self.size, self.frames, self.textures, self.motions, self.dot)
        return hashlib.sha256(repr(decisive).encode()).hexdigest()

    def scene(self, number: int) -> Scene:
        """Scene `number`, from 0: the same whenever it is asked for."""
        generator = np.random.Generator(np.random.PCG64([self._seed, number]))
        appearances = tuple(draw_appearance(self.textures, generator, self.size) for _ in range(2))
        kind = str(generator.choice(self.motions))
        motion = draw_motion(kind, generator, self.size, self.frames, self.dot)
        other = redraw_motion(motion, generator, self.size, self.frames)
        return Scene(f"scene{number:05}", (appearances[0], appearances[1]), (motion, other))

    def clip(self, scene: Scene, appearance: int = 0, motion: int = 0) -> RenderedClip:
        """One of the four clips of a scene."""
        return render(scene.appearances[appearance], scene.motions[motion], self.size, self.frames)


class RenderedSequences:
    """Rendered videos as a data set of segmented videos: `sdbench.data.segmentation.SegmentationDataset`.

    Each scene is a sequence in its first motion; its two appearances are the styles, which the flow does not see.

    Args:
        videos: the scenes; a sequence without a sprite has empty masks.
        draw_flow: makes a picture (H, W, 3) uint8 of flow (H, W, 2) in pixels.
    """

    def __init__(self, videos: RenderedVideos, draw_flow: Callable[[Flow], Frames]) -> None:
        self._draw = draw_flow
        self.name = videos.name
        self.styles = STYLES
        self.skipped: tuple[str, ...] = ()
        self.assets: tuple[str, ...] = ()
        self.notes = ("Videos are rendered; their optical flow is exact.",)
        self.identity = videos.identity
        frames = tuple(f"{i:05}" for i in range(videos.frames))
        self.sequences = tuple(VideoSequence(f"scene{i:05}", frames) for i in range(videos.count))
        self._number = {sequence.name: i for i, sequence in enumerate(self.sequences)}

        @lru_cache(maxsize=4)
        def clip(number: int, appearance: int) -> RenderedClip:
            return videos.clip(videos.scene(number), appearance)

        self._clip = clip

    def image(self, sequence: VideoSequence, position: int, style: str | None = None) -> Frames:
        """Frame `position` of a sequence in one of `STYLES` or (None) the first: (H, W, 3) uint8.

        Raises:
            InputError: the style is unknown.
        """
        if style is not None and style not in STYLES:
            raise unknown_name("style", style, STYLES)
        appearance = STYLES.index(style) if style else 0
        return np.asarray(self._clip(self._number[sequence.name], appearance).frames[position])

    def flow(self, sequence: VideoSequence, position: int, backward: bool = False) -> Frames:
        """Exact flow to the next frame (or, `backward`, to the one before), drawn: (H, W, 3) uint8."""
        clip = self._clip(self._number[sequence.name], 0)
        return self._draw(clip.flow(position, position - 1 if backward else position + 1))

    def mask(self, sequence: VideoSequence, position: int) -> Mask:
        """The sprite in a frame: (H, W) bool."""
        return np.asarray(self._clip(self._number[sequence.name], 0).masks[position])
