"""The deliberate bugs that `experiments.mutations` puts into the package, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from experiments.mutations import Mutation
from sdbench.engine.study import Pair
from sdbench.statistics.estimating import Summary
from sdbench.studies.stylised_study import DrawnPair
from sdbench.studies.views import DYNAMIC, STATIC, View
from sdbench.video.feed import Feed
from sdbench.video.jitter import Jitter
from sdbench.video.render import Motion, Path, RenderedClip

Function = Callable[..., Any]

ACTION, VOS, RENDERED = ("action",), ("VOS",), ("rendered",)
X3D = ("X3D",)  # fed from a window longer than the clips
ANY = ("rendered", "action", "VOS", "X3D")


def _answer(change: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """What a function answers, changed."""
    return lambda function: lambda *given, **options: change(function(*given, **options))


def _feed(method: str) -> str:
    return f"sdbench.video.feed:Feed.{method}"


def _fed_otherwise(**fields: Any) -> Callable[[Function], Function]:
    """A method of a feed that has other fields."""

    def changed(method: Function) -> Function:
        return lambda feed, *given: method(replace(feed, **fields), *given)

    return changed


def _corners(normalise: Function) -> Function:
    def aligned(feed: Feed, *given: Any) -> Any:
        return normalise(replace(feed, resample="corners") if feed.resample == "bilinear" else feed, *given)

    return aligned


def _chosen(change: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Callable[[Function], Function]:
    """Positions of the frames of every input, changed."""
    return _answer(lambda chosen: {name: change(positions) for name, positions in chosen.items()})


def _one_style(read: Function) -> Function:
    """Pictures of the first style, whatever style is asked for."""
    return lambda dataset, video, _style, positions: read(dataset, video, dataset.styles[0], positions)


def _one_frame_late(window: Function) -> Function:
    return lambda start, length, available: window(min(start + 1, available - 1), length, available)


def _last_frame_repeated(_window: Function) -> Function:
    return lambda start, length, available: tuple(min(start + i, available - 1) for i in range(length))


def _rounded(_spaced: Function) -> Function:
    return lambda count, length: tuple(int(position) for position in torch.linspace(0, length - 1, count).round())


def _ordered(step: int) -> Callable[[Function], Function]:
    """Frames forward (1) or backward (-1) in place of shuffled ones; what is drawn after them stays as it was."""

    def changed(_shuffled: Function) -> Function:
        def ordered(frames: tuple[int, ...], generator: np.random.Generator) -> tuple[int, ...]:
            generator.permutation(len(frames))
            return frames[::step]

        return ordered

    return changed


def _pairs(
    change: Callable[[View, View, int, Sequence[str]], tuple[View, View, int]],
) -> Callable[[Function], Function]:
    """Of each pair of two views: the two and what they share, changed; the styles are those there are."""

    def changed(pair: DrawnPair, styles: Sequence[str]) -> DrawnPair:
        one, other = pair.shown
        first, second, factor = change(one, other, pair.pair[2], styles)
        return replace(pair, shown=(first, second), pair=(0, 1, factor))

    def otherwise(draw_pairs: Function) -> Function:
        def drawn(protocol: str, videos: Any, styles: Sequence[str], *given: Any) -> tuple[DrawnPair, ...]:
            found: tuple[DrawnPair, ...] = draw_pairs(protocol, videos, styles, *given)
            return tuple(changed(pair, styles) if len(pair.shown) == 2 else pair for pair in found)

        return drawn

    return otherwise


def _static_in_two_styles(first: View, second: View, factor: int, styles: Sequence[str]) -> tuple[View, View, int]:
    other = styles[(styles.index(first.style) + 1) % len(styles)]
    return first, replace(second, style=other) if factor == STATIC else second, factor


def _dynamic_backward(first: View, second: View, factor: int, _styles: Sequence[str]) -> tuple[View, View, int]:
    frames = tuple((name, positions[::-1]) for name, positions in second.frames)
    return first, replace(second, frames=frames) if factor == DYNAMIC else second, factor


def _sequences_paired_otherwise(change: Callable[[Pair], Pair]) -> Callable[[Function], Function]:
    def changed(plan: Function) -> Function:
        return lambda *given: replace(found := plan(*given), pairs=tuple(map(change, found.pairs)))

    return changed


def _still_figure(motion: Motion) -> Motion:
    return replace(motion, figure=Path())


def _frozen(clip: RenderedClip) -> RenderedClip:
    return replace(clip, frames=np.repeat(clip.frames[:1], len(clip.frames), axis=0))


def _flow_of_the_frame_before(picture: Function) -> Function:
    return lambda pictures, position, backward, size: picture(pictures, max(position - 1, 0), backward, size)


def _other_direction(flow: Function) -> Function:
    """Of every frame that has one: the first has no flow to the frame before."""
    return lambda dataset, sequence, position, _backward=False: flow(dataset, sequence, position, position > 0)


def _nearest(resized: Function) -> Function:
    return lambda pixels, size, _how: resized(pixels, size, Image.Resampling.NEAREST)


def _largest(_average: Function) -> Function:
    """The largest activation over time and space in place of the mean."""
    return lambda activation, *_axes: activation.flatten(2).amax(dim=2) if activation.ndim > 2 else activation


def _first_step(average: Function) -> Function:
    return lambda activation, *axes: average(activation[:, :, :1] if activation.ndim == 5 else activation, *axes)


def _without_last_sample(cut: Function) -> Function:
    return lambda samples: cut(samples[:-1])


def _softmax(values: Any, base: float = np.e) -> Any:
    powers = base ** (values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _no_residual(softmax: Function) -> Function:
    return lambda values: softmax(np.concatenate([values[..., :2], np.zeros_like(values[..., :1])], axis=-1))


def _sample_variance(summarise: Function) -> Function:
    """Each variance over n - 1 in place of n."""

    def changed(pairs: Any, origin: Any, total: Any, square: Any, product: Any, *rest: Any) -> Summary:
        members = 2.0 * np.asarray(pairs)[..., None]
        about_mean = total**2 / members
        wider = about_mean + (square - about_mean) * members / (members - 1)
        found: Summary = summarise(pairs, origin, total, wider, product, *rest)
        return found

    return changed


def _with_layer_scores(scores: Callable[..., Any]) -> Callable[[Function], Function]:
    """Shares of other layer scores."""

    def changed(summarise: Function) -> Function:
        def summary(*given: Any) -> Summary:
            found: Summary = summarise(*given)
            other = scores(found, *given)
            shares = 100 * _softmax(np.concatenate([other, np.ones_like(other[..., :1])], axis=-1))
            return replace(found, shares=shares, layer_scores=other)

        return summary

    return changed


def _mean_of_units(found: Summary, *_given: Any) -> Any:
    return np.nanmean(found.scores, axis=-1)


def _over_each_factor(_found: Summary, pairs: Any, _origin: Any, total: Any, square: Any, product: Any, *_: Any) -> Any:
    """Covariance over the variance within the factor alone, in place of that of all clips."""
    members = 2.0 * np.asarray(pairs)[..., None]
    mean = total / members
    return (2 * product / members - mean**2).sum(axis=-1) / (square / members - mean**2).sum(axis=-1)


def _uncentred(summarise: Function) -> Function:
    """Mean products in place of covariances: the mean is not taken off."""

    def changed(pairs: Any, origin: Any, total: Any, *rest: Any) -> Summary:
        found: Summary = summarise(pairs, origin, np.zeros_like(total), *rest)
        return found

    return changed


def _lower(threshold_by: float) -> Callable[[Function], Function]:
    return lambda members: lambda scores, threshold: members(scores, threshold - threshold_by)


def _classes(change: Callable[..., Any]) -> Callable[[Function], Function]:
    """Other (dynamic, static, joint, residual, dead)."""
    return _answer(lambda members: change(*members))


def _parts(change: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """Other sums behind appearance, motion and both, (3, C)."""
    return _answer(lambda sums: replace(sums, parts=change(sums.parts)))


BGR = _answer(lambda frames: frames[..., ::-1])

MUTATIONS = (
    # Reading
    Mutation("blue, green, red", "sdbench.data.stylised:StylisedDataset.read", BGR, ACTION),
    Mutation(
        "pictures mirrored", "sdbench.data.stylised:StylisedDataset.read", _answer(lambda f: f[:, :, ::-1]), ACTION
    ),
    Mutation("one style read for all", "sdbench.data.stylised:StylisedDataset.read", _one_style, ACTION),
    Mutation("image in blue, green, red", "sdbench.data.davis2016:DavisDataset.image", BGR, VOS),
    Mutation("flow in blue, green, red", "sdbench.data.davis2016:DavisDataset.flow", BGR, VOS),
    Mutation("flow of the other direction", "sdbench.data.davis2016:DavisDataset.flow", _other_direction, VOS),
    Mutation(
        "flow of the frame before", "sdbench.studies.davis_study:_Pictures._picture", _flow_of_the_frame_before, VOS
    ),
    # Which frames
    Mutation("window one frame late", "sdbench.studies.stylised_study:window", _one_frame_late, X3D),
    Mutation("last frame repeated", "sdbench.studies.stylised_study:window", _last_frame_repeated, X3D),
    Mutation("positions rounded, not cut", "sdbench.video.feed:evenly_spaced", _rounded, X3D),
    Mutation("first frame only", _feed("choose"), _chosen(lambda at: at[:1] * len(at)), ACTION),
    Mutation("time reversed", _feed("choose"), _chosen(lambda at: at[::-1]), ACTION),
    Mutation("one sample forgotten", "sdbench.engine.measuring:cut", _without_last_sample, ACTION),
    # Size and colours
    Mutation("mean not subtracted", _feed("normalise"), _fed_otherwise(mean=0.0), ACTION),
    Mutation("not divided by the deviation", _feed("normalise"), _fed_otherwise(std=1.0), ACTION),
    Mutation(
        "another data set's mean and deviation",
        _feed("normalise"),
        _fed_otherwise(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        ACTION,
    ),
    Mutation("mean and deviation 0.5 for flow", _feed("normalise"), _fed_otherwise(mean=0.5, std=0.5), VOS),
    Mutation("corners aligned", _feed("normalise"), _corners, ACTION),
    Mutation("crop at an end, not in the middle", _feed("normalise"), _fed_otherwise(fit="crops"), ACTION),
    Mutation("nearest neighbour, not the mean", "sdbench.video.feed:_resized", _nearest, VOS),
    # Shuffling and jitter
    Mutation("frames not shuffled", "sdbench.studies.stylised_study:_shuffled", _ordered(1), ACTION),
    Mutation("frames reversed, not shuffled", "sdbench.studies.stylised_study:_shuffled", _ordered(-1), ACTION),
    Mutation(
        "flow not jittered",
        "sdbench.studies.davis_study:draw_jitters",
        _answer(lambda drawn: (Jitter(0.0, 1.0, True),) * len(drawn)),
        VOS,
    ),
    Mutation("hue turned half as far", "sdbench.video.jitter:_HUE", lambda _: (0.05, 0.25), VOS),
    Mutation(
        "saturation left as it is",
        "sdbench.studies.davis_study:draw_jitters",
        _answer(lambda drawn: tuple(replace(each, saturation=1.0) for each in drawn)),
        VOS,
    ),
    # Pairs
    Mutation(
        "static pair in two styles", "sdbench.studies.stylised_study:draw_pairs", _pairs(_static_in_two_styles), ACTION
    ),
    Mutation(
        "dynamic pair of another order",
        "sdbench.studies.stylised_study:draw_pairs",
        _pairs(_dynamic_backward),
        ACTION,
    ),
    Mutation(
        "factors exchanged",
        "sdbench.studies.stylised_study:draw_pairs",
        _pairs(lambda first, second, factor, _styles: (first, second, 1 - factor)),
        ACTION,
    ),
    Mutation(
        "a clip with itself",
        "sdbench.studies.sequences:_plan",
        _sequences_paired_otherwise(lambda pair: (pair[0], pair[0], pair[2]) if pair[2] == STATIC else pair),
        VOS,
    ),
    Mutation(
        "static pair of two appearances",
        "sdbench.studies.rendered_study:CROSSED_VIEWS",
        lambda _: ((0, 0), (1, 0), (1, 1), (0, 1)),
        RENDERED,
    ),
    Mutation(
        "motions not crossed", "sdbench.studies.rendered_study:CROSSED_VIEWS", lambda _: ((0, 0), (1, 0)) * 2, RENDERED
    ),
    # Rendering
    Mutation("figure stands still", "sdbench.studies.rendered_study:draw_motion", _answer(_still_figure), RENDERED),
    Mutation("clip stands still", "sdbench.studies.rendered_study:render", _answer(_frozen), RENDERED),
    Mutation(
        "rendered blue, green, red",
        "sdbench.studies.rendered_study:render",
        _answer(lambda clip: replace(clip, frames=clip.frames[..., ::-1])),
        RENDERED,
    ),
    # Units of a layer
    Mutation("maximum, not mean, over space and time", "sdbench.networks.reading:average_to_units", _largest, RENDERED),
    Mutation("mean over the first time step", "sdbench.networks.reading:average_to_units", _first_step, RENDERED),
    # Estimator
    Mutation("residual score 0, not 1", "sdbench.statistics.estimating:_softmax", _no_residual, ANY),
    Mutation("softmax to base 2", "sdbench.statistics.estimating:_softmax", lambda _: lambda v: _softmax(v, 2.0), ANY),
    Mutation("variance over n - 1", "sdbench.statistics.estimating:summarise", _sample_variance, ANY),
    Mutation("mean not taken off", "sdbench.statistics.estimating:summarise", _uncentred, ANY),
    Mutation(
        "variance within each factor",
        "sdbench.statistics.estimating:summarise",
        _with_layer_scores(_over_each_factor),
        ANY,
    ),
    Mutation("mean of unit scores", "sdbench.statistics.estimating:summarise", _with_layer_scores(_mean_of_units), ANY),
    # Parts of variance
    Mutation(
        "parts of the variance exchanged", "sdbench.engine.passes:crossed", _parts(lambda of: of[[1, 0, 2]]), RENDERED
    ),
    Mutation(
        "part of both counted twice", "sdbench.engine.passes:crossed", _parts(lambda of: of * [[1], [1], [2]]), RENDERED
    ),
    # Classes of units
    Mutation("threshold 0.45", "sdbench.statistics.estimating:_class_members", _lower(0.05), ANY),
    Mutation(
        "joint units are static",
        "sdbench.statistics.estimating:_class_members",
        _classes(lambda d, s, j, r, dead: (d, s | j, j & ~j, r, dead)),
        ANY,
    ),
    Mutation(
        "dead units are residual",
        "sdbench.statistics.estimating:_class_members",
        _classes(lambda d, s, j, r, dead: (d, s, j, r | dead, dead & ~dead)),
        ANY,
    ),
)
"""By what they touch, in the order in which a clip becomes a number."""
