"""Masks held against masks once more, frame by frame, without parts, workers or a plan."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from sdbench.base.draws import generator_for
from sdbench.data.segmentation import SegmentationDataset, VideoSequence
from sdbench.networks.without import Units, answer_without

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def plain_ious(
    module: nn.Module,
    dataset: SegmentationDataset,
    paired: bool,
    threshold: float,
    zeroed: Mapping[str, Units] | None = None,
    flip: bool = False,
    seed: int = 0,
) -> list[list[float]]:
    """Sequence by sequence the IoU of each frame that counts; pictures must have the size that the network is fed."""
    generator = generator_for(seed, "segmentation")
    return [
        [
            _iou(
                _found(module, _inputs(dataset, sequence, position, generator if paired else None), zeroed or {}, flip),
                dataset.mask(sequence, position),
                threshold,
            )
            for position in range(1, len(sequence.frames) - 1)
        ]
        for sequence in dataset.sequences
    ]


def _iou(found: np.ndarray, mask: np.ndarray, threshold: float) -> float:
    object_there = found > threshold
    return float((object_there & mask).sum() / (object_there | mask).sum())


def _inputs(
    dataset: SegmentationDataset, sequence: VideoSequence, position: int, generator: np.random.Generator | None
) -> dict[str, Tensor]:
    if generator is None:
        return {"image": _fed(dataset.image(sequence, position)), "flow": _fed(dataset.flow(sequence, position))}
    others = [i for i in range(1, len(sequence.frames) - 1) if i != position and -10 <= i - position < 10]
    both = (position, others[int(generator.integers(len(others)))])
    flows = [
        torch.cat([_fed(dataset.flow(sequence, i)), _fed(dataset.flow(sequence, i, backward=True))], 1) for i in both
    ]
    return {
        "image": torch.stack([_fed(dataset.image(sequence, i)) for i in both], 1),
        "flow": torch.stack(flows, 1),
    }


def _fed(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(((picture / 255 - MEAN) / STD).transpose(2, 0, 1)).float()[None]


def _found(module: nn.Module, inputs: Mapping[str, Tensor], zeroed: Mapping[str, Units], flip: bool) -> np.ndarray:
    module.eval()
    found = _probability(answer_without(module, inputs, zeroed))
    if flip:
        mirrored = {name: values.flip(-1) for name, values in inputs.items()}
        found = (found + _probability(answer_without(module, mirrored, zeroed)).flip(-1)) / 2
    size = inputs["image"].shape[-2:]
    if found.shape != size:
        found = nn.functional.interpolate(found[None, None], size=size, mode="bilinear")[0, 0]
    if inputs["image"].ndim == 5:
        found = (found - found.min()) / (found.max() - found.min())
    return found.numpy()


def _probability(answer: Tensor) -> Tensor:
    return answer.softmax(dim=1)[0, 1] if answer.shape[1] == 2 else answer[0, 0]
