"""Clips of a user's own videos: the same clip painted in two styles, or with its frames shuffled."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import permutations

import numpy as np
from torch import Tensor

from sdbench.assets.store import AssetStore
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError
from sdbench.data.clip import Dataset
from sdbench.engine.placing import device_named
from sdbench.engine.study import Plan
from sdbench.studies.own_clips import Lock, Opened, PlannedClip, plan_clips
from sdbench.studies.views import drawn_views
from sdbench.video.feed import Feed
from sdbench.video.paint import Painter

PROTOCOL = "balanced"
"""One pair of each factor a sample, styles balanced, first members shared: see `ClipStudy`."""


class ClipStudy:
    """Pairs of clips in which every style is the first and the second as often as any other.

    Each crop of each clip gives one pair of each factor in a round, and both share their first member: a dynamic pair
    is the clip in two styles, a static pair the clip in the first of them, as filmed and with its frames in a random
    order. One round costs three forward passes a crop.

    Args:
        videos: of the number of frames of a clip and the length of their shorter side in pixels, the clips.
        store: where the style network and painted clips lie.
        styles: the styles to draw from, at least two of `sdbench.video.paint.STYLES`.
        pairs: number of pairs of each factor. Fewer than there are crops takes a random part of them; more goes through
            them again with other styles and orders. By default one pair of each factor a crop.
        device: where clips are painted; see `on`.
    """

    def __init__(
        self,
        videos: Callable[[int, int], Dataset] | Opened,
        store: AssetStore,
        styles: Sequence[str],
        pairs: int | None = None,
        device: str = "cpu",
    ) -> None:
        self.videos = videos if isinstance(videos, Opened) else Opened(videos)
        self.store, self.styles, self.pairs, self.device = store, tuple(styles), pairs, device
        self._painters: dict[int, Painter] = {}
        self._preparing = Lock()

    def __getstate__(self) -> dict[str, object]:
        """What travels to another process: without the style network, which is made anew there."""
        return {**self.__dict__, "_painters": {}}

    def on(self, device: str) -> ClipStudy:
        """The same study, which paints on this device; both find the shots of a video once.

        Whether the device is there is asked when the first clip is drawn: that may be on another machine.
        """
        return ClipStudy(self.videos, self.store, self.styles, self.pairs, device)

    def plan(self, feed: Feed, seed: int) -> Plan[PlannedClip]:
        """Which clips there are, which crops of them are used and how they are paired.

        Raises:
            InputError: a video cannot be used, a network that sees flow is asked about, or there are too few pairs or
                styles.
            AssetError: the style network or the shot network cannot be had.
        """
        if feed.flow is None:  # else the sentence about it comes first
            self.store.path("styles26")
        dataset = self.videos.of(feed)
        if len(self.styles) < 2:
            raise InputError(f"a dynamic pair needs two styles; got {len(self.styles)}")
        generator = generator_for(seed, "pairs")
        return plan_clips(
            dataset,
            feed,
            _dealt(self.styles, generator),
            generator,
            self.pairs,
            protocol=PROTOCOL,
            seed=seed,
            styles=self.styles,
            assets=("styles26",),
        )

    def draw(self, planned: PlannedClip, feed: Feed) -> Mapping[str, Tensor]:
        """The clip's views, painted, cropped and in their order; see `sdbench.engine.study.Study.draw`."""
        frames = self.videos.of(feed).read(planned.clip)
        painter = self._painter()

        def read(style: str, positions: tuple[int, ...]) -> np.ndarray:
            return painter.paint(np.ascontiguousarray(frames[list(positions)]), style, str(planned.clip))

        return drawn_views(planned.shown, feed, read, planned.crop)

    def _painter(self) -> Painter:
        process = os.getpid()  # the style network does not live on in a process that was forked
        if process not in self._painters:
            with self._preparing:
                if process not in self._painters:
                    device_named(self.device)
                    model, folder = self.store.path("styles26"), self.store.cache.painted
                    self._painters = {process: Painter(model, folder, device=self.device)}
        return self._painters[process]


def _dealt(styles: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Ordered pairs of styles without end, each as often as any other in every deck."""
    ordered = list(permutations(styles, 2))
    while True:
        deck = [ordered[i] for i in generator.permutation(len(ordered))]
        while deck:
            yield deck.pop()
