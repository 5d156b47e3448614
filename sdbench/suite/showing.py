"""What a study shows, as pictures for a report: one pair of each factor, taken back from the network's own input."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from io import BytesIO
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from sdbench.base.errors import SdbenchError
from sdbench.cases.records import Asked
from sdbench.engine import Plan, Planned, Study
from sdbench.report.content import Shown, Strip
from sdbench.studies.views import DYNAMIC, STATIC
from sdbench.suite.own import data_set_of
from sdbench.suite.running import Suite
from sdbench.video.feed import Feed

_FRAMES = 6
"""So many frames of a clip are shown, evenly spaced."""

_HEIGHT = 88
_GAP = 4
_QUALITY = 80

_SAYS = {
    "crossed": "A dynamic pair is one motion in two appearances, a static pair one appearance in two motions.",
    "flow": "A dynamic pair is a picture in two styles with the same optical flow; a static pair is the same picture, "
    "whose flow is jittered or that of another time.",
    "painted": "A dynamic pair is the same frames painted in two styles; a static pair is the same frames in one "
    "style, as filmed and shuffled.",
}

_FACTOR_IN_WORDS = {
    DYNAMIC: ("dynamic", "its dynamic partner, which shares the motion"),
    STATIC: ("static", "its static partner, which shares the looks"),
}

_TRIES = 16
"""So many samples are looked at for one whose pairs can be told apart: two motions may by chance be the same."""


def shown(study: Study, feed: Feed, seed: int, title: str = "") -> Shown:
    """One pair of each factor as a network that is fed so sees them.

    Args:
        study: what is shown.
        feed: of the network.
        seed: of the study's draws.
        title: how to call it; by default as the study calls what it shows.

    Raises:
        SdbenchError: the study cannot be shown to such a network, or what it is made of cannot be had.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the measurement has said it
        plan = study.plan(feed, seed)
    return Shown(title or plan.about.dataset, _says(plan, feed), tuple(_strips(study, plan, feed)))


def shown_by(suite: Suite, feeds: Iterable[tuple[Asked, Mapping[str, Any]]]) -> list[Shown]:
    """What every data set of a run showed, once each; where no picture can be made, why.

    Args:
        suite: of the run.
        feeds: what was measured, and what the network was fed, as its measurement says.
    """
    found: dict[str, Shown] = {}
    for asked, feed in feeds:
        if asked.dataset not in found:
            try:
                study = data_set_of(asked).study(asked, suite.here)
                found[asked.dataset] = shown(study, feed_of(feed), suite.here.seed, asked.dataset)
            except SdbenchError as error:
                found[asked.dataset] = Shown(asked.dataset, "", lacking=str(error))
    return list(found.values())


def feed_of(told: Mapping[str, Any]) -> Feed:
    """What a network was fed, as its measurement says."""
    known = {field.name for field in fields(Feed)}
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in told.items() if name in known
    }
    return Feed(**given)


def _says(plan: Plan[Any], feed: Feed) -> str:
    if plan.about.protocol == "crossed":
        return _SAYS["crossed"]
    return _SAYS["flow" if feed.flow else "painted"]


def _strips(study: Study, plan: Plan[Any], feed: Feed) -> Iterator[Strip]:
    """The first members and their partners; a first member that both pairs have stands once."""
    seen: set[tuple[str, int]] = set()
    both = _told_apart(study, plan.samples, feed, (DYNAMIC, STATIC))
    for factor in (DYNAMIC, STATIC):
        if (found := both or _told_apart(study, plan.samples, feed, (factor,))) is None:
            continue
        planned, drawn = found
        first, second = _pair(planned, factor) or (0, 0)
        if (planned.name, first) not in seen:
            seen.add((planned.name, first))
            yield _strip("", planned.name, drawn, planned, first, feed)
        yield _strip(*_FACTOR_IN_WORDS[factor], drawn, planned, second, feed)


def _told_apart(
    study: Study, samples: Sequence[Planned], feed: Feed, factors: Sequence[int]
) -> tuple[Planned, Mapping[str, Tensor]] | None:
    """The first sample that has a pair of each of some factors, and its views: one whose partners differ, if any does.

    None where no sample has.
    """
    found = None
    able = (planned for planned in samples if all(_pair(planned, factor) for factor in factors))
    for planned in islice(able, _TRIES):
        drawn = study.draw(planned, feed)
        pairs = [pair for factor in factors if (pair := _pair(planned, factor))]
        if all(_differ(drawn, planned, *pair) for pair in pairs):
            return planned, drawn
        found = found or (planned, drawn)
    return found


def _pair(planned: Planned, factor: int) -> tuple[int, int] | None:
    """The views of the sample's first pair of a factor whose members are not one and the same."""
    return next(((one, other) for one, other, of in planned.pairs if of == factor and one != other), None)


def _differ(drawn: Mapping[str, Tensor], planned: Planned, one: int, other: int) -> bool:
    parts = [values.reshape(planned.views, -1) for values in drawn.values()]
    return any(not torch.equal(views[one], views[other]) for views in parts)


def _strip(factor: str, says: str, drawn: Mapping[str, Tensor], planned: Planned, view: int, feed: Feed) -> Strip:
    pictures: list[npt.NDArray[np.uint8]] = []
    for name in ("image", "flow") if feed.flow else list(feed.inputs)[-1:]:  # the fast path has all frames
        frames = pictures_of(drawn[name], planned.inputs, feed)[view * planned.rows : (view + 1) * planned.rows]
        pictures += list(frames.reshape(-1, *frames.shape[2:]))
    chosen = pictures
    if len(pictures) > _FRAMES:
        chosen = [pictures[round(n * (len(pictures) - 1) / (_FRAMES - 1))] for n in range(_FRAMES)]
    scaled = [_scaled(picture) for picture in chosen]
    gap = np.full((_HEIGHT, _GAP, 3), 128, np.uint8)
    joined = np.concatenate([part for picture in scaled for part in (picture, gap)][:-1], axis=1)
    written = BytesIO()
    Image.fromarray(joined).save(written, "JPEG", quality=_QUALITY)
    return Strip(factor, says, written.getvalue(), joined.shape[1], joined.shape[0])


def pictures_of(values: Tensor, inputs: int, feed: Feed) -> npt.NDArray[np.uint8]:
    """A network's input as pictures: (inputs, frames of each, H, W, 3) uint8.

    Args:
        values: one of its inputs, as `Study.draw` answers it.
        inputs: how many there are.
        feed: how frames became it.
    """
    values = values.detach().cpu()
    if feed.flow is not None:
        frames = values.reshape(inputs, -1, 3, *values.shape[-2:])
    elif feed.order == "BCTHW":
        frames = values.transpose(1, 2)
    elif feed.order == "BTHWC":
        frames = values.permute(0, 1, 4, 2, 3)
    else:
        frames = values.reshape(inputs, -1, 3, *values.shape[-2:])
    if feed.mean is not None:
        mean, std = (torch.as_tensor(colour, dtype=torch.float32).reshape(-1, 1, 1) for colour in (feed.mean, feed.std))
        frames = (frames.float() * std + mean) * 255
    return np.ascontiguousarray(frames.round().clamp(0, 255).permute(0, 1, 3, 4, 2).numpy().astype(np.uint8))


def _scaled(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = picture.shape[:2]
    small = height < _HEIGHT
    how = Image.Resampling.NEAREST if small else Image.Resampling.BILINEAR  # a pixel that is enlarged stays one
    size = (round(width * _HEIGHT / height), _HEIGHT)
    return np.asarray(Image.fromarray(picture).resize(size, how))
