"""Rendered videos: appearance and motion are drawn apart and crossed exactly, on the fly.

A *scene* is two appearances A, A' and two motions M, M', all four drawn independently, each from one distribution, and
shows all four clips: (A, M), (A', M), (A, M') and (A', M'). Two clips that share the motion share nothing of the
appearance, and two that share the appearance begin with the same frame and share nothing of the motion. How a motion
moves any appearance without any single frame telling which, is said in `sdbench.video.render`.

What is drawn has a version, `RENDERED`. Numbers that were measured on one version are not those of another: whoever
changes what a seed shows, by a grey level, gives it the next name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdbench.base.cache_keys import identity_of
from sdbench.base.checks import check_fits, listed, whole
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError, unknown_name
from sdbench.engine.study import About, Plan, Planned, blocks_of
from sdbench.studies.views import CROSSED_PAIRS, CROSSED_VIEWS
from sdbench.video.feed import Feed
from sdbench.video.flow import draw_flow
from sdbench.video.frames import Frames
from sdbench.video.render import (
    LOOKS,
    MOTIONS,
    Appearance,
    Motion,
    RenderedClip,
    draw_appearance,
    draw_motion,
    render,
)
from sdbench.video.textures import TEXTURES

RENDERED = "rendered-2"
"""What these scenes show, for reports: a name for exactly these pixels."""

PROTOCOL = "crossed"
"""A dynamic pair is one motion in two appearances, a static pair one appearance in two motions: two of each a scene."""

SCENES = 1280
"""Scenes of a study, where nothing else is asked for; five of them share each resampling block.

So many give the shares of every layer of a small ResNet to 0.6 points, and the parts of variance to 2.4, as half widths
of their 95 % intervals: see docs/ruler.md, and for other networks benchmarks/measure_ruler.py.
"""

_BYTES_A_SCENE = 1000
"""Of memory, in a plan and its parts."""

_DOT = 2
_SMALLEST = 16
_ROWS = 5


@dataclass(frozen=True)
class Scene:
    """Two appearances and two motions that can be crossed.

    Attributes:
        name: unique in its data set.
        appearances: two that have nothing in common.
        motions: two that have nothing in common.
    """

    name: str
    appearances: tuple[Appearance, Appearance]
    motions: tuple[Motion, Motion]


class RenderedVideos:
    """Scenes that are drawn when they are asked for.

    Args:
        scenes: how many.
        generator: draws the number that all scenes follow from; None where `origin` is given.
        size: height and width of the frames, at least 16.
        frames: number of frames of a clip, at least 2.
        textures: of `sdbench.video.textures.TEXTURES`; each texture's kind is drawn from them.
        motions: of `sdbench.video.render.MOTIONS`; how ground and figure move is drawn from them.
        looks: of `sdbench.video.render.LOOKS`; what each appearance is made of is drawn from them.
        dot: side of a random dot in pixels.
        origin: the number that all scenes follow from, where it was drawn before.

    Attributes:
        origin: the number that all scenes follow from.

    Raises:
        InputError: a texture, motion or look is unknown, or a number is too small.
    """

    def __init__(
        self,
        scenes: int,
        generator: np.random.Generator | None,
        size: tuple[int, int] = (112, 112),
        frames: int = 16,
        textures: Iterable[str] = tuple(TEXTURES),
        motions: Iterable[str] = MOTIONS,
        looks: Iterable[str] = LOOKS,
        dot: int = _DOT,
        origin: int | None = None,
    ) -> None:
        self.size, self.frames, self.dot = size, frames, dot
        self.textures, self.motions, self.looks = tuple(textures), tuple(motions), tuple(looks)
        for kind, chosen, known in (
            ("texture", self.textures, TEXTURES),
            ("motion", self.motions, MOTIONS),
            ("look", self.looks, LOOKS),
        ):
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
        if (origin is None) == (generator is None):
            raise InputError("scenes follow from a generator or from an origin that was drawn before; give one of them")
        self.origin = int(generator.integers(2**62)) if generator is not None else int(origin or 0)
        self.count = scenes

    @cached_property
    def identity(self) -> str:
        """Hash of all that decides what is rendered."""
        return identity_of(self.scenes_identity, self.size, self.frames)

    @cached_property
    def scenes_identity(self) -> str:
        """Hash of all that decides which scenes there are, whatever their size and number of frames.

        In all of them scene 7 has the same looks, kinds of texture and motions, in parts of frame and clip.
        """
        return identity_of(RENDERED, self.origin, self.count, self.textures, self.motions, self.looks, self.dot)

    def scene(self, number: int) -> Scene:
        """Scene `number`, from 0: the same whenever it is asked for."""
        generator = np.random.Generator(np.random.PCG64([self.origin, number]))
        appearances = [draw_appearance(self.textures, generator, self.size, self.looks, self.dot) for _ in range(2)]
        motions = [draw_motion(self.motions, generator, self.size, self.frames) for _ in range(2)]
        return Scene(f"scene{number:05}", (appearances[0], appearances[1]), (motions[0], motions[1]))

    def clip(self, scene: Scene, appearance: int = 0, motion: int = 0) -> RenderedClip:
        """One of the four clips of a scene."""
        return render(scene.appearances[appearance], scene.motions[motion], self.size, self.frames)


def scenes_of(pairs: int) -> int:
    """How many scenes give so many pairs of each factor, two a scene; never fewer than a study takes."""
    return max(2, -(-pairs // 2))


@dataclass(frozen=True, kw_only=True)
class PlannedScene(Planned):
    """One scene.

    Attributes:
        number: which of the scenes.
        origin: the number that all scenes follow from.
    """

    number: int
    origin: int


class RenderedStudy:
    """Rendered clips of two appearances crossed with two motions, all drawn independently.

    Every scene gives four clips, and so two pairs of each factor for each input of a view, and what the parts of
    variance are made of (`sdbench.statistics.variance`). It is a resampling unit: scenes are independent. Nothing is
    downloaded or painted.

    Args:
        scenes: how many, at least 2.
        frames: frames of a clip; by default as many as the network is fed, or, of one that sees a frame with its flow,
            so many that a clip gives five inputs.
        textures, motions, looks, dot: what is drawn: see `RenderedVideos`.

    Raises:
        InputError: there are fewer than two scenes.
    """

    def __init__(
        self,
        scenes: int = SCENES,
        frames: int | None = None,
        textures: Iterable[str] = tuple(TEXTURES),
        motions: Iterable[str] = MOTIONS,
        looks: Iterable[str] = LOOKS,
        dot: int = _DOT,
    ) -> None:
        if whole("scenes", scenes) < 2:
            raise InputError(f"at least 2 scenes are needed for a covariance; got {scenes}")
        check_fits(f"the plan of {scenes} scenes", scenes * _BYTES_A_SCENE, "ask for fewer")
        self.scenes, self.frames = int(scenes), None if frames is None else whole("frames", frames, 1)
        self.textures, self.motions, self.looks = (
            listed(name, of) for name, of in (("textures", textures), ("motions", motions), ("looks", looks))
        )
        self.dot = whole("dot", dot, 1)

    def plan(self, feed: Feed, seed: int) -> Plan[PlannedScene]:
        """All scenes, in two appearances and two motions each.

        Raises:
            InputError: a texture, motion or look is unknown, the network is fed too few frames or pixels, or the clips
                have another number of frames than it is fed.
        """
        videos = RenderedVideos(self.scenes, generator_for(seed, "scenes"), **self._options(feed))
        rows = 1 if feed.flow is None else videos.frames - (1 if feed.flow == "forward" else 3)
        if rows < 1:
            raise InputError(f"flow both ways takes clips of at least 4 frames; got {videos.frames}")
        if feed.flow is None and videos.frames not in (feed.frames, feed.span):
            raise InputError(
                f"this network is fed {feed.frames} frames, taken from {feed.span}; got clips of {videos.frames}: "
                "leave out the number of frames"
            )
        block = blocks_of(range(self.scenes))
        samples = tuple(
            PlannedScene(
                name=f"scene {number}",
                block=block[number],
                views=len(CROSSED_VIEWS),
                pairs=CROSSED_PAIRS,
                crossed=True,
                rows=rows,
                content=videos.identity,
                number=number,
                origin=videos.origin,
            )
            for number in range(self.scenes)
        )
        about = About(
            dataset=RENDERED,
            protocol=PROTOCOL,
            unit="scene",
            units=self.scenes,
            clips=len(CROSSED_VIEWS) * self.scenes,
            notes=(
                "videos are rendered: two appearances crossed with two motions, all drawn independently; no single "
                "frame tells the motion",
                *self._chosen(),
            ),
            identity=videos.scenes_identity,
        )
        return Plan(about, samples)

    def draw(self, planned: PlannedScene, feed: Feed) -> Mapping[str, Tensor]:
        """The scene's clips; see `sdbench.engine.study.Study.draw`."""
        videos = self.videos(planned.origin, feed)
        scene = videos.scene(planned.number)
        drawn = [_inputs(videos.clip(scene, *view), feed) for view in CROSSED_VIEWS]
        return {name: torch.cat([view[name] for view in drawn]) for name in drawn[0]}

    def videos(self, origin: int, feed: Feed) -> RenderedVideos:
        """The scenes that follow from `origin`, as a network is shown them."""
        return RenderedVideos(self.scenes, None, origin=origin, **self._options(feed))

    def _chosen(self) -> tuple[str, ...]:
        """In a sentence, what is drawn, where that is not all there is."""
        if (self.textures, self.motions, self.looks, self.dot) == (tuple(TEXTURES), MOTIONS, LOOKS, _DOT):
            return ()
        return (
            f"a part of {RENDERED}: textures {', '.join(self.textures)}; motions {', '.join(self.motions)}; "
            f"looks {', '.join(self.looks)}; dots of {self.dot} pixels",
        )

    def _options(self, feed: Feed) -> dict[str, Any]:
        least = {None: feed.frames, "forward": _ROWS + 1, "both": _ROWS + 3}[feed.flow]
        return {
            "size": feed.height_and_width,
            "frames": least if self.frames is None else self.frames,
            "textures": self.textures,
            "motions": self.motions,
            "looks": self.looks,
            "dot": self.dot,
        }


def _inputs(clip: RenderedClip, feed: Feed) -> dict[str, Tensor]:
    """One view: a clip, or its frames with pictures of their exact flow, a row each.

    The flow of a frame is that to the next one; both ways, also that to the one before, so that the first and the last
    frame are left out, and each row is a frame with the next.
    """
    if feed.flow is None:
        return feed(clip.frames)
    if feed.flow == "forward":
        drawn = np.stack([draw_flow(clip.flow(t)) for t in range(len(clip.frames) - 1)])
        return {"image": _rows(feed, clip.frames[:-1]), "flow": _rows(feed, drawn)}
    inner = range(1, len(clip.frames) - 1)
    ways = [np.stack([draw_flow(clip.flow(t, t + step)) for t in inner]) for step in (1, -1)]
    image, flow = _rows(feed, clip.frames[1:-1]), torch.cat([_rows(feed, way) for way in ways], dim=1)
    return {name: torch.stack([of[:-1], of[1:]], dim=1) for name, of in (("image", image), ("flow", flow))}


def _rows(feed: Feed, pictures: Frames) -> Tensor:
    """(T, 3, H, W): each picture for itself."""
    return feed.pixels(np.ascontiguousarray(pictures)).transpose(0, 1)
