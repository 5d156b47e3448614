"""Noise that moves as a user's own videos do: no frame of it shows anything, and the motion is theirs.

A second witness for the dynamic share, beside painting: a painted clip keeps the edges of what was filmed, and two
styles of it may share more than the motion; two noises under one flow share the motion and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count, pairwise

import numpy as np
from torch import Tensor

from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError
from sdbench.data.clip import Dataset
from sdbench.engine.study import Plan
from sdbench.studies.own_clips import Opened, PlannedClip, plan_clips
from sdbench.studies.views import drawn_views
from sdbench.video.feed import Feed
from sdbench.video.flow import dis_method
from sdbench.video.frames import Frames
from sdbench.video.noise import animate, follow

PROTOCOL = "noise"
"""A dynamic pair is two noises under one flow, a static pair the frames of one noise in two orders."""


class AppearanceFreeStudy:
    """Pairs of clips of noise that optical flow moves: see `sdbench.video.noise`.

    The flow is that of OpenCV's DIS from each frame of a clip to the next. Each crop of each clip gives one pair of
    each factor in a round, and both share their first member:

    - a *dynamic* pair is two noises under the same flow. Every grain of the one moves as that of the other does, and
      their colours have nothing in common. A network that looks at single frames cannot tell that they are a pair.
    - a *static* pair is the same noise under the same flow, as it moves and with its frames in a random order. Every
      frame of the one is a frame of the other, to the byte: the whole appearance is shared, and the motion is gone.
      The same noise under the flow of another clip would share a first frame only, and less of each further frame the
      faster either moves; and it would tie two videos together, which are resampled apart.

    Where nothing moves, shuffling changes nothing: as of all shuffled clips, such pairs share their stillness.

    Args:
        videos: of the number of frames of a clip and the length of their shorter side in pixels, the clips.
        pairs: number of pairs of each factor. Fewer than there are crops takes a random part of them; more goes through
            them again with other noises and orders. By default one pair of each factor a crop.
    """

    def __init__(self, videos: Callable[[int, int], Dataset], pairs: int | None = None) -> None:
        self.videos, self.pairs = Opened(videos), pairs

    def plan(self, feed: Feed, seed: int) -> Plan[PlannedClip]:
        """Which clips there are, which crops of them are used and how they are paired.

        Raises:
            InputError: OpenCV is not installed, a video cannot be used, a network that sees flow is asked about, or
                there are too few pairs.
            AssetError: the shot network cannot be had.
        """
        method = dis_method()
        details = ", ".join(f"{name} {value}" for name, value in method.details.items())
        return plan_clips(
            self.videos.of(feed),
            feed,
            _noises(),
            generator_for(seed, "pairs"),
            self.pairs,
            protocol=PROTOCOL,
            seed=seed,
            notes=(f"no frame shows anything: noise is moved by optical flow of {method.name} ({details})",),
            made_with=sorted(method.details.items()),
            draws=seed,
        )

    def draw(self, planned: PlannedClip, feed: Feed) -> Mapping[str, Tensor]:
        """The clip's views, noise in the place of frames; see `sdbench.engine.study.Study.draw`."""
        frames = self.videos.of(feed).read(planned.clip)
        height, width = frames.shape[1:3]
        method = dis_method()
        try:
            flows = [method(earlier, later) for earlier, later in pairwise(frames)]
        except InputError as error:
            raise InputError(f"no flow in {planned.clip}: {error}") from None
        grains = follow(flows, (height, width), _grain(feed, height, width))

        def read(noise: str, positions: tuple[int, ...]) -> Frames:
            generator = np.random.Generator(np.random.PCG64([planned.seed, int(noise)]))
            return animate(grains, generator)[list(positions)]

        return drawn_views(planned.shown, feed, read, planned.crop)


def _noises() -> Iterator[tuple[str, str]]:
    """Two noises for each crop of each round; no two of a study are the same."""
    return ((str(number), str(number + 1)) for number in count(step=2))


def _grain(feed: Feed, height: int, width: int) -> int:
    """Side of a grain in pixels: so many as the network is fed one for, or noise would be averaged to grey."""
    if feed.fit != "stretch":
        return 1
    return max(1, round(min(height / feed.height_and_width[0], width / feed.height_and_width[1])))
