"""Measuring any network on rendered videos, whose pairs share exactly one factor."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from sdbench.ahead import ahead
from sdbench.assets.store import AssetStore
from sdbench.base.errors import InputError
from sdbench.base.progress import progress
from sdbench.measure import MOST_GROUPS, Measurement, key_of, versions
from sdbench.passes import Passes, Sample, device_named, layer_names, one_right_answer, weights_digest
from sdbench.statistics import FACTORS
from sdbench.studies.rendered import RenderedVideos
from sdbench.unfinished import Unfinished
from sdbench.video.frames import Frames
from sdbench.video.render import Flow, RenderedClip

PROTOCOL = "crossed"
"""A dynamic pair is one motion in two appearances, a static pair one appearance in two motions; both share a member."""

_BATCH = 8
_AHEAD = 4
_VIEWS = ((0, 0), (1, 0), (0, 1))
"""(appearance, motion) of the clip, of its dynamic and of its static partner."""

_PARTNERS = ((1, FACTORS.index("dynamic")), (2, FACTORS.index("static")))

Prepare = Callable[[RenderedClip], Mapping[str, Tensor]]
"""Makes a network's inputs of a clip: name -> (R, ...), R rows that go through the network as a batch and form R pairs
with the rows of another clip: one for a video, one a frame for an image with its flow."""


def as_video(mean: float = 0.45, deviation: float = 0.225) -> Prepare:
    """{"video"}: (1, 3, T, H, W) float32, normalised; mean 0.5 and deviation 0.5 give [-1, 1]."""

    def prepare(clip: RenderedClip) -> dict[str, Tensor]:
        return {"video": _normalised(clip.frames, mean, deviation).transpose(0, 1)[None]}

    return prepare


def as_slow_and_fast(alpha: int, mean: float = 0.45, deviation: float = 0.225) -> Prepare:
    """{"slow", "fast"}: (1, 3, T / alpha, H, W) and (1, 3, T, H, W); every alpha-th frame is slow.

    Raises:
        InputError: when called, the clip's number of frames is not a multiple of alpha.
    """

    def prepare(clip: RenderedClip) -> dict[str, Tensor]:
        if len(clip.frames) % alpha:
            raise InputError(f"slow and fast frames need clips of a multiple of {alpha} frames; got {len(clip.frames)}")
        fast = _normalised(clip.frames, mean, deviation).transpose(0, 1)[None]
        return {"slow": fast[:, :, ::alpha].contiguous(), "fast": fast}

    return prepare


def as_image_and_flow(
    draw_flow: Callable[[Flow], Frames],
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406),
    deviation: tuple[float, float, float] = (0.229, 0.224, 0.225),
) -> Prepare:
    """{"image", "flow"}: (T - 1, 3, H, W) each; every frame but the last with its exact flow, drawn as a picture."""

    def prepare(clip: RenderedClip) -> dict[str, Tensor]:
        drawn = np.stack([draw_flow(clip.flow(t)) for t in range(len(clip.frames) - 1)])
        return {"image": _normalised(clip.frames[:-1], mean, deviation), "flow": _normalised(drawn, mean, deviation)}

    return prepare


def as_frame_pairs(
    draw_flow: Callable[[Flow], Frames],
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406),
    deviation: tuple[float, float, float] = (0.229, 0.224, 0.225),
) -> Prepare:
    """{"image", "flow"} of RTNet: (R, 2, 3, H, W) and (R, 2, 6, H, W), each frame with the next one.

    A frame's flow is that to the next frame and that to the one before, drawn as pictures, one after the other. The
    first and the last frame lack one of them and are left out: R = T - 3 rows.

    Raises:
        InputError: when called, the clip has fewer than 4 frames.
    """

    def prepare(clip: RenderedClip) -> dict[str, Tensor]:
        inner = range(1, len(clip.frames) - 1)
        if len(inner) < 2:
            raise InputError(f"pairs of frames with flow both ways need clips of 4 frames; got {len(clip.frames)}")
        ways = [np.stack([draw_flow(clip.flow(t, t + step)) for t in inner]) for step in (1, -1)]
        image = _normalised(clip.frames[1:-1], mean, deviation)
        flow = torch.cat([_normalised(drawn, mean, deviation) for drawn in ways], dim=1)
        return {name: torch.stack([of[:-1], of[1:]], dim=1) for name, of in (("image", image), ("flow", flow))}

    return prepare


def measure_rendered(
    network: nn.Module,
    videos: RenderedVideos,
    prepare: Prepare,
    *,
    seed: int = 0,
    layers: tuple[str, ...] | None = None,
    threshold: float = 0.5,
    device: str = "cpu",
    store: AssetStore | None = None,
    name: str | None = None,
) -> Measurement:
    """Measure how static and how dynamic the layers of a network are, on pairs that share exactly one factor.

    Every scene gives one pair of each factor a row of `prepare`, and is a resampling unit: scenes are independent.

    Args:
        network: a network of the suite, or any module (then `layers` are needed).
        videos: the scenes.
        prepare: how a clip becomes the network's inputs.
        seed: of the intervals; the videos bring their own.
        layers: the layers to read; all by default.
        threshold: score above which a unit counts as encoding a factor.
        device: "cpu", "cuda" or any other device of torch.
        store: where unfinished measurements lie.
        name: how to call the network in reports.

    Returns:
        The measurement; `seconds` has "rendering" and "network", and `clips` counts scenes.

    Raises:
        InputError: a layer is unknown, there are fewer than two scenes, or the device is not there.
    """
    started = time.perf_counter()
    if videos.count < 2:
        raise InputError(f"at least 2 scenes are needed for a covariance; got {videos.count}")
    store = store or AssetStore()
    where = device_named(device)
    name = name or type(network).__name__
    names = layer_names(network, layers)
    module = network.to(where).eval()
    weights = weights_digest(module)
    inputs = prepare(videos.clip(videos.scene(0)))
    rows = len(next(iter(inputs.values())))
    fed = {name: hashlib.sha256(values.numpy().tobytes()).hexdigest() for name, values in inputs.items()}
    key = key_of(name, weights, videos.identity, fed, names, device, versions())
    unfinished = Unfinished.resume(store.folder / "unfinished", key)
    already = unfinished.done
    seconds = {"rendering": 0.0, "network": 0.0}
    passes = Passes(module, where, names, unfinished, seconds, _BATCH, channels_last=False)
    with (
        one_right_answer(),
        progress(f"measuring {name}", videos.count, already, store.quiet) as advance,
        ahead(_samples(videos, prepare, already, seconds), _AHEAD) as coming,
    ):
        passes.through(coming, advance)
    seconds["total"] = time.perf_counter() - started
    return Measurement(
        network=name,
        dataset=videos.name,
        protocol=PROTOCOL,
        device=device,
        seed=seed,
        styles=(),
        threshold=threshold,
        sums=unfinished.sums,
        resampling_unit="scene",
        resampling_units=videos.count,
        clips=videos.count,
        samples=videos.count,
        pairs=videos.count * rows,
        passes=videos.count * rows * len(_VIEWS),
        skipped=(),
        assets={},
        weights=weights,
        seconds=seconds,
        frames_painted=0,
        resumed=already,
        notes=("Videos are rendered: dynamic pairs share the motion exactly, static pairs the appearance.",),
    )


def _samples(videos: RenderedVideos, prepare: Prepare, start: int, seconds: dict[str, float]) -> Iterator[Sample]:
    for number in range(start, videos.count):
        started = time.perf_counter()
        scene = videos.scene(number)
        prepared = [prepare(videos.clip(scene, *view)) for view in _VIEWS]
        rows = len(next(iter(prepared[0].values())))
        inputs = {name: torch.cat([view[name] for view in prepared]) for name in prepared[0]}
        pairs = [(row, view * rows + row, factor) for row in range(rows) for view, factor in _PARTNERS]
        seconds["rendering"] += time.perf_counter() - started
        yield Sample(scene.name, str(number % MOST_GROUPS), inputs, pairs)


def _normalised(
    frames: Frames, mean: float | tuple[float, float, float], deviation: float | tuple[float, float, float]
) -> Tensor:
    """(T, 3, H, W) float32 of (T, H, W, 3) uint8."""
    values = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
    return (values - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(deviation).view(-1, 1, 1)
