"""Units of which it is known what they see, on 2,000 rendered scenes: single frames, the motion alone, or both.

Whatever is seen in single frames says nothing of the motion: its part of variance is 0, whatever is counted, measured
or looked for. What knows the motion alone has no part of appearance. Their product has the interaction of theory.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from sdbench.statistics.sums import crossed
from sdbench.statistics.variance import Variance, variance_of
from sdbench.studies.rendered_study import RenderedVideos, Scene
from sdbench.studies.views import CROSSED_VIEWS
from sdbench.video.render import LOOKS, MOTIONS

pytestmark = pytest.mark.slow

SCENES, SIZE, FRAMES = 2000, 24, 4
BLOCKS = 200

Frames = np.ndarray
"""(N, T, H, W, 3) of clips, from 0 to 255."""


def grey(clips: Frames) -> Frames:
    return clips.mean(axis=-1)


def slope_of_the_spectrum(clips: Frames) -> np.ndarray:
    """How steeply the power of each frame falls with frequency, on logarithmic axes; a mean over frames."""
    power = np.abs(np.fft.rfft2(grey(clips) - grey(clips).mean(axis=(2, 3), keepdims=True))) ** 2
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE))
    taken = (frequency > 0) & (frequency < 0.5)
    x = np.log(frequency[taken])
    y = np.log(power[..., taken] + 1)
    return ((y * (x - x.mean())).mean(axis=-1) / x.var()).mean(axis=1)


def number_of_colours(clips: Frames) -> np.ndarray:
    """Of the first frame: the very unit that told dots from textures."""
    codes = clips[:, 0].astype(np.int64) @ np.array([65536, 256, 1])
    return np.array([len(np.unique(frame)) for frame in codes.reshape(len(clips), -1)], dtype=float)


def brightest_row(clips: Frames) -> np.ndarray:
    return grey(clips).reshape(len(clips), FRAMES, -1).argmax(axis=-1).mean(axis=1) // SIZE


def largest_gradient(clips: Frames) -> np.ndarray:
    return np.abs(np.diff(grey(clips), axis=3)).max(axis=(2, 3)).mean(axis=1)


def lit_middle(clips: Frames) -> np.ndarray:
    return (grey(clips)[:, :, 8:16, 8:16].mean(axis=(2, 3)) > grey(clips).mean(axis=(2, 3))).mean(axis=1)


SEEN_IN_FRAMES: dict[str, Callable[[Frames], np.ndarray]] = {
    "mean red": lambda clips: clips[..., 0].mean(axis=(1, 2, 3)),
    "mean blue": lambda clips: clips[..., 2].mean(axis=(1, 2, 3)),
    "contrast": lambda clips: grey(clips).std(axis=(2, 3)).mean(axis=1),
    "contrast of the last frame": lambda clips: grey(clips)[:, -1].std(axis=(1, 2)),
    "at most two colours in the first frame": lambda clips: (number_of_colours(clips) <= 2).astype(float),
    "number of colours in the first frame": number_of_colours,
    "slope of the spectrum": slope_of_the_spectrum,
    "largest gradient": largest_gradient,
    "row of the brightest point": brightest_row,
    "a bright middle": lit_middle,
    "first frame, a pixel": lambda clips: grey(clips)[:, 0, 5, 17],
    "last frame, a pixel": lambda clips: grey(clips)[:, -1, 12, 12],
    "across less down": lambda clips: (
        np.abs(np.diff(grey(clips), axis=3)).mean(axis=(1, 2, 3))
        - np.abs(np.diff(grey(clips), axis=2)).mean(axis=(1, 2, 3))
    ),
    "best frame": lambda clips: grey(clips).mean(axis=(2, 3)).max(axis=1),
}
"""All but the last are functions of single frames, averaged over the clip. The last is one of several frames."""

_NETWORK = 6


def random_network(clips: Frames) -> np.ndarray:
    """(N, 6): a small convolutional network of random weights, frame by frame, averaged over the clip."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, _NETWORK, 3), nn.ReLU())
    with torch.no_grad():
        frames = torch.from_numpy(clips).float().div(255).sub(0.5).flatten(0, 1).permute(0, 3, 1, 2)
        return layers(frames).mean(dim=(2, 3)).view(len(clips), FRAMES, -1).mean(dim=1).double().numpy()


def of_the_motion(scene: Scene, view: tuple[int, int]) -> list[float]:
    motion = scene.motions[view[1]]
    ground, figure = motion.ground, motion.figure
    kinds = [float(motion.kind == kind) for kind in MOTIONS]
    return [*kinds, *ground.velocity, ground.turn, ground.growth, *figure.velocity, figure.turn]


def of_both(scene: Scene, view: tuple[int, int]) -> list[float]:
    """A look of the appearance, and the same times a kind of motion: 1 for each with a chance of a third."""
    look = float(scene.appearances[view[0]].look == LOOKS[0])
    kind = float(scene.motions[view[1]].kind == MOTIONS[0])
    return [look * kind, (look - 1 / 3) * (kind - 1 / 3), look + kind]


@pytest.fixture(scope="module")
def measured() -> dict[str, Variance]:
    """Every unit on the same scenes, which are drawn once."""
    videos = RenderedVideos(SCENES, None, (SIZE, SIZE), FRAMES, origin=2026)
    seen: list[np.ndarray] = []
    known: list[list[list[float]]] = []
    for start in range(0, SCENES, 100):
        scenes = [videos.scene(number) for number in range(start, start + 100)]
        clips = np.stack([videos.clip(scene, *view).frames for view in CROSSED_VIEWS for scene in scenes]).astype(float)
        units = [see(clips) for see in SEEN_IN_FRAMES.values()]
        seen.append(np.column_stack([*units, random_network(clips)]).reshape(4, 100, -1))
        known += [[[*of_the_motion(s, view), *of_both(s, view)] for s in scenes] for view in CROSSED_VIEWS]
    told = np.array(known).reshape(-1, 4, 100, len(known[0][0])).transpose(1, 0, 2, 3).reshape(4, SCENES, -1)
    values = np.concatenate([np.concatenate(seen, axis=1), told], axis=2)
    names = [
        *SEEN_IN_FRAMES,
        *(f"random network {number}" for number in range(_NETWORK)),
        *(f"kind {kind}" for kind in MOTIONS),
        *("right", "down", "turn", "growth", "figure right", "figure down", "figure turn"),
        *("product", "product without means", "sum"),
    ]
    parts = np.array_split(np.arange(SCENES), BLOCKS)
    return {
        name: variance_of([[crossed(values[:, part, unit][..., None]) for part in parts]])
        for unit, name in enumerate(names)
    }


def errors(found: Variance, part: str) -> float:
    """How many standard errors a part is off 0; an interval reaches 1.98 of them to either side, with 200 blocks."""
    assert found.intervals is not None
    error = found.intervals[part].half_width / 1.98
    if error == 0:
        return 0.0 if found.parts[part] == 0 else np.inf
    return abs(found.parts[part]) / error


FRAME_WISE = [name for name in SEEN_IN_FRAMES if name != "best frame"]


def test_what_is_seen_in_single_frames_has_no_part_of_motion(measured: dict[str, Variance]) -> None:
    names = [*FRAME_WISE, *(f"random network {number}" for number in range(_NETWORK))]
    off = {name: round(errors(measured[name], "motion"), 2) for name in names}
    assert len(off) >= 10
    assert max(off.values()) < 2, off
    for name in names:
        assert measured[name].parts["appearance"] > 35, name


def test_a_first_frame_is_appearance_and_nothing_else(measured: dict[str, Variance]) -> None:
    for name in ("at most two colours in the first frame", "first frame, a pixel"):
        assert measured[name].parts == {"appearance": 100, "motion": 0, "both": 0}


def test_what_knows_the_motion_alone_has_no_part_of_appearance(measured: dict[str, Variance]) -> None:
    for name in (*(f"kind {kind}" for kind in MOTIONS), "right", "down", "turn", "growth", "figure turn"):
        assert errors(measured[name], "appearance") < 2
        assert measured[name].parts == {"appearance": 0, "motion": 100, "both": 0}, "to the last bit"


def test_a_product_has_the_interaction_of_theory(measured: dict[str, Variance]) -> None:
    """Of two that are 1 with chance p, each part of the product's variance p^2 (1 - p^2) is known."""
    p = 1 / 3
    whole = p**2 * (1 - p**2)
    alone, both = p**3 * (1 - p), (p * (1 - p)) ** 2
    theory = {"appearance": alone / whole, "motion": alone / whole, "both": both / whole}
    assert sum(theory.values()) == pytest.approx(1)
    for name, expected in (
        ("product", theory),
        ("product without means", {"appearance": 0.0, "motion": 0.0, "both": 1.0}),
        ("sum", {"appearance": 0.5, "motion": 0.5, "both": 0.0}),
    ):
        found = measured[name]
        assert found.intervals is not None
        for part, value in expected.items():
            assert abs(found.parts[part] - 100 * value) <= 1.5 * found.intervals[part].half_width + 1e-9, (name, part)


def test_parts_of_every_unit_add_up(measured: dict[str, Variance]) -> None:
    for name, found in measured.items():
        assert sum(found.parts.values()) == pytest.approx(100, abs=1e-9), name
