"""Textures without end: periodic pictures whose finest detail is coarser than a pixel.

A texture is drawn finer than it is shown (`TEXELS` values a pixel) and holds no detail finer than about seven pixels,
so that it can be read between its values, moved by fractions of a pixel and turned without becoming another texture.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sdbench.base.errors import unknown_name

Texture = npt.NDArray[np.float32]
"""(N, N, 3) in [0, 1], periodic in both directions."""

TEXELS = 2
"""Values of a texture a pixel, in each direction."""

_FINEST = 0.14
"""Highest frequency of a texture, in cycles a pixel."""

_LEAF = (4.0, 0.25)
"""Radius of the smallest leaf, in pixels, and of the largest, as a fraction of the period."""

_LAYERS = 4
"""So many leaves cover each place on average: hardly any is left bare."""

_Field = npt.NDArray[np.float64]


def draw_texture(kind: str, generator: np.random.Generator, period: int = 128) -> Texture:
    """A texture with a palette of its own.

    Args:
        kind: one of `TEXTURES`.
        generator: source of every draw.
        period: after so many pixels it repeats.

    Raises:
        InputError: the kind is unknown.
    """
    if kind not in TEXTURES:
        raise unknown_name("texture", kind, TEXTURES)
    field = TEXTURES[kind](generator, TEXELS * period)
    if field.ndim == 3:
        return field.astype(np.float32)
    return _painted(field, draw_palette(generator)).astype(np.float32)


def draw_palette(generator: np.random.Generator, colours: int = 3) -> _Field:
    """(colours, 3) in [0, 1]: colours from one drawn base, so that a texture has a tone, and enough contrast."""
    base = generator.uniform(0.25, 0.75, 3)
    steps = np.linspace(-1, 1, colours)[:, None]
    direction = generator.standard_normal(3)
    return np.asarray(np.clip(base + 0.25 * steps * direction / np.linalg.norm(direction), 0, 1))


def _noise(generator: np.random.Generator, size: int) -> _Field:
    """Noise of a random octave: all frequencies of it alike, none above."""
    high = _FINEST * generator.uniform(0.4, 1.0)
    return _levelled(_band(generator.standard_normal((size, size)), high / 3, high))


def _blobs(generator: np.random.Generator, size: int) -> _Field:
    """Soft round spots, lighter than their ground."""
    return np.asarray(np.maximum(_noise(generator, size), 0.5) * 2 - 1)


def _stripes(generator: np.random.Generator, size: int) -> _Field:
    """Soft stripes of one direction; a whole number of them fits the period."""
    y, x = np.mgrid[:size, :size] / size
    most = int(_FINEST * size / TEXELS)
    across, down = generator.integers(-most // 2, most // 2 + 1, 2)
    if abs(across) + abs(down) < 3:
        across += 4
    return np.asarray(0.5 + 0.5 * np.sin(2 * np.pi * (across * x + down * y + generator.random())))


def _checks(generator: np.random.Generator, size: int) -> _Field:
    """Soft checks."""
    y, x = np.mgrid[:size, :size] / size
    most = int(_FINEST * size / TEXELS / 1.5)
    across, down = generator.integers(max(2, most // 3), most + 1, 2)
    phases = generator.random(2)
    waves = np.sin(2 * np.pi * (across * x + phases[0])) * np.sin(2 * np.pi * (down * y + phases[1]))
    return np.asarray(0.5 + 0.5 * waves)


def _leaves(generator: np.random.Generator, size: int) -> _Field:
    """Overlapping discs of all sizes, as leaves that fell on each other: edges and contrast as photographs have them.

    (The dead leaves model: Lee, Mumford and Huang, "Occlusion Models for Natural Images", IJCV 2001.)
    """
    least, most = _LEAF[0] * TEXELS, max(_LEAF[0] * TEXELS + 1, size * _LEAF[1])
    discs = int(_LAYERS * size**2 / (2 * np.pi * np.log(most / least) / (1 / least**2 - 1 / most**2)))
    radii = (1 / most**2 + generator.random(discs) * (1 / least**2 - 1 / most**2)) ** -0.5
    centres = generator.integers(0, size, (discs, 2))
    base = generator.uniform(0.3, 0.7, 3)
    colours = np.clip(base + 0.22 * generator.standard_normal((discs, 3)), 0, 1)
    leaves = np.broadcast_to(base, (size, size, 3)).copy()
    for radius, (top, left), colour in zip(radii, centres, colours, strict=True):
        reach = np.arange(-int(radius), int(radius) + 1)
        rows, columns = np.nonzero(np.square(reach)[:, None] + np.square(reach) <= radius**2)
        leaves[(rows + reach[0] + top) % size, (columns + reach[0] + left) % size] = colour
    smooth = np.stack([_band(leaves[..., i], 0.0, _FINEST) for i in range(3)], axis=-1)
    return np.asarray(np.clip(smooth, 0, 1))


TEXTURES: dict[str, Callable[[np.random.Generator, int], _Field]] = {
    "noise": _noise,
    "blobs": _blobs,
    "stripes": _stripes,
    "checks": _checks,
    "leaves": _leaves,
}
"""How each kind of texture is drawn: (N, N) in [0, 1], to be painted with a palette, or (N, N, 3)."""


def _band(values: _Field, low: float, high: float) -> _Field:
    """`values` (N, N) without frequencies below `low` and above `high`, in cycles a pixel; soft at the upper end."""
    across = np.fft.rfftfreq(values.shape[1]) * TEXELS
    down = np.fft.fftfreq(values.shape[0]) * TEXELS
    frequency = np.hypot(down[:, None], across)
    kept = np.clip((high - frequency) / (0.25 * high), 0, 1) * (frequency >= low)
    return np.asarray(np.fft.irfft2(np.fft.rfft2(values) * kept, s=values.shape))


def _levelled(values: _Field) -> _Field:
    """Scaled to [0, 1] with mean 0.5; what lies beyond 2.5 standard deviations is cut."""
    return np.asarray(np.clip(0.5 + (values - values.mean()) / (5 * values.std()), 0, 1))


def _painted(field: _Field, palette: _Field) -> _Field:
    """(N, N, 3): 0 is the palette's first colour, 1 its last; straight lines between."""
    places = np.linspace(0, 1, len(palette))
    return np.stack([np.interp(field, places, palette[:, i]) for i in range(3)], axis=-1)
