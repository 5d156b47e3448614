"""Where the objects of a data set are: people film what they show in the middle, and a network can learn that.

The mean picture of the masks is shown by Kowal et al. for the data sets of video object segmentation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sdbench.base.errors import InputError
from sdbench.data.segmentation import SegmentationDataset, resize_mask

DAVIS_SIZE = (480, 854)
"""Height and width that every frame of DAVIS is brought to, as published."""


@dataclass(frozen=True)
class CentreBias:
    """The mean of all masks of a data set; every mask counts alike.

    Attributes:
        dataset: its name.
        sequences, masks: how many there are.
        empty: how many masks show no object.
        mean: (H, W) float64 in [0, 1]: the part of the masks that cover each pixel.
        fraction: the mean part of a frame that the object covers.
        centre: centre of mass of `mean`, from the top and from the left as parts of height and width: (0.5, 0.5) is the
            middle.
    """

    dataset: str
    sequences: int
    masks: int
    empty: int
    mean: npt.NDArray[np.float64]
    fraction: float
    centre: tuple[float, float]

    def as_record(self) -> dict[str, object]:
        """Plain values, without the picture."""
        return {
            "dataset": self.dataset,
            "sequences": self.sequences,
            "masks": self.masks,
            "empty_masks": self.empty,
            "mean_object_fraction": self.fraction,
            "centre_from_top": self.centre[0],
            "centre_from_left": self.centre[1],
        }

    def __str__(self) -> str:
        return (
            f"{self.dataset}: {self.masks} masks of {self.sequences} sequences ({self.empty} of them empty); "
            f"the object covers {self.fraction:.1%} of a frame on average; its centre of mass lies at "
            f"{self.centre[0]:.1%} of the height from the top and {self.centre[1]:.1%} of the width from the left"
        )


def centre_bias(dataset: SegmentationDataset, size: tuple[int, int] = DAVIS_SIZE) -> CentreBias:
    """The mean of all masks, each brought to `size` (height, width) by nearest neighbour.

    Raises:
        InputError: a mask cannot be used, or none shows an object.
    """
    total = np.zeros(size)
    masks = empty = 0
    for sequence in dataset.sequences:
        for position in range(len(sequence.frames)):
            mask = resize_mask(dataset.mask(sequence, position), size)
            total += mask
            masks += 1
            empty += not mask.any()
    if not total.any():
        raise InputError(f"none of the {masks} masks of {dataset.name} shows an object; there is no centre to find")
    down, right = (
        float((total.sum(axis=1 - axis) * (np.arange(size[axis]) + 0.5)).sum() / total.sum() / size[axis])
        for axis in (0, 1)
    )
    mean = total / masks
    return CentreBias(dataset.name, len(dataset.sequences), masks, empty, mean, float(mean.mean()), (down, right))
