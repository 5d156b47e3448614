"""Shots: runs of frames without a cut, found by TransNet V2 or given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sdbench.base.files import write_text
from sdbench.networks.shots.transnetv2 import TransNetV2
from sdbench.video.frames import Frames

_WINDOW, _MARGIN = 100, 25
"""The network sees 100 frames and is believed about the middle 50, as its authors use it."""

TRANSITION_THRESHOLD = 0.5


@dataclass(frozen=True)
class Shot:
    """Frames `start` .. `stop` - 1 of a video, between two cuts."""

    start: int
    stop: int


@torch.no_grad()
def transition_probabilities(network: TransNetV2, thumbnails: Frames) -> npt.NDArray[np.float32]:
    """The probability of each frame to be the last before a cut.

    Args:
        network: TransNet V2 with its weights.
        thumbnails: (T, 27, 48, 3) uint8 frames of a whole video.

    Returns:
        (T,) in [0, 1].
    """
    device = next(network.parameters()).device
    kept = _WINDOW - 2 * _MARGIN
    after = _MARGIN + (-len(thumbnails)) % kept
    padded = np.concatenate([thumbnails[:1].repeat(_MARGIN, 0), thumbnails, thumbnails[-1:].repeat(after, 0)])
    answers = []
    for start in range(0, len(padded) - 2 * _MARGIN, kept):
        window = torch.from_numpy(padded[start : start + _WINDOW])[None].to(device)
        answers.append(network(window)[0, _MARGIN : _MARGIN + kept, 0].sigmoid().cpu().numpy())
    return np.concatenate(answers)[: len(thumbnails)]


def shots_between(transitions: npt.NDArray[np.bool_]) -> list[Shot]:
    """The shots between frames that are marked as transitions; a cut's own frame ends the shot before it.

    A run of marked frames is a gradual transition and belongs to no shot but for its first frame.
    """
    shots: list[Shot] = []
    start = 0
    previous = False
    for frame, marked in enumerate(transitions):
        if previous and not marked:
            start = frame
        if marked and not previous:
            shots.append(Shot(start, frame + 1))
        previous = bool(marked)
    if len(transitions) and not previous:
        shots.append(Shot(start, len(transitions)))
    return shots


def find_shots(network: TransNetV2, thumbnails: Frames, cache: Path | None = None) -> list[Shot]:
    """Cut a video into shots; the answer is kept in `cache` under the hash of the thumbnails.

    Args:
        network: TransNet V2 with its weights.
        thumbnails: (T, 27, 48, 3) uint8 frames of the whole video.
        cache: folder for answers.
    """
    kept = cache / f"{hashlib.sha256(np.ascontiguousarray(thumbnails).data).hexdigest()}.json" if cache else None
    if kept and kept.is_file():
        try:
            return [Shot(*pair) for pair in json.loads(kept.read_text(encoding="utf-8"))]
        except (ValueError, TypeError):
            kept.unlink()  # damaged: found again below
    shots = shots_between(transition_probabilities(network, thumbnails) > TRANSITION_THRESHOLD)
    if kept:
        write_text(kept, json.dumps([[shot.start, shot.stop] for shot in shots]))
    return shots


def clip_starts(shots: Iterable[Shot], frames: int) -> Iterator[tuple[int, int]]:
    """Yield (shot number, first frame) of the clips of `frames` frames that fit into the shots one after the other."""
    for number, shot in enumerate(shots):
        for start in range(shot.start, shot.stop - frames + 1, frames):
            yield number, start
