"""Disturbing optical flow that is drawn as a picture: its hue is a direction, its saturation a speed.

What Kowal et al. (CVPR 2022) do to make a static pair of two-stream networks: the image stays, the flow's colours move.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

from sdbench.video.frames import Frames

_HUE = (0.1, 0.5)
_SATURATION = (0.1, 1.0)


@dataclass(frozen=True)
class Jitter:
    """One disturbance of a flow picture.

    Attributes:
        hue: how far hues move, in turns of the colour wheel, -0.5 to 0.5.
        saturation: what saturation is multiplied by, 0 to 2.
        hue_first: whether hues move before saturation does; on 8-bit colours the order matters.
    """

    hue: float
    saturation: float
    hue_first: bool

    def __call__(self, picture: Frames) -> Frames:
        """The picture (H, W, 3) uint8 with its colours moved, as Pillow does it on 8 bits."""
        image = Image.fromarray(picture)
        steps = (self._turn, self._saturate) if self.hue_first else (self._saturate, self._turn)
        for step in steps:
            image = step(image)
        return np.asarray(image)

    def _saturate(self, image: Image.Image) -> Image.Image:
        return ImageEnhance.Color(image).enhance(self.saturation)

    def _turn(self, image: Image.Image) -> Image.Image:
        hue, saturation, value = image.convert("HSV").split()
        shift = np.array(int(self.hue * 255) % 256, dtype=np.uint8)  # 8 bits are a full turn and wrap
        return Image.merge("HSV", (Image.fromarray(np.asarray(hue) + shift), saturation, value)).convert("RGB")


def draw_jitters(count: int, generator: np.random.Generator) -> tuple[Jitter, ...]:
    """Disturbances of the `count` flow pictures of one frame, drawn from one range.

    The range comes first: h uniform in 0.1 to 0.5 and s uniform in 0.1 to 1. Each picture's hue then moves by a uniform
    value in -h to h and its saturation is scaled by a uniform factor in max(0, 1 - s) to 1 + s, in random order.
    """
    h, s = generator.uniform(*_HUE), generator.uniform(*_SATURATION)
    return tuple(
        Jitter(
            saturation=float(generator.uniform(max(0.0, 1 - s), 1 + s)),
            hue=float(generator.uniform(-h, h)),
            hue_first=bool(generator.integers(2)),
        )
        for _ in range(count)
    )
