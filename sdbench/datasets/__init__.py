"""Where clips come from."""

from sdbench.datasets.activitynet import stylised_activitynet
from sdbench.datasets.arrays import ArrayDataset
from sdbench.datasets.centre_bias import CentreBias, centre_bias
from sdbench.datasets.clip import Clip, Dataset
from sdbench.datasets.davis import DavisDataset, davis
from sdbench.datasets.diving48 import stylised_diving48
from sdbench.datasets.kinetics import LabelledFolder, LabelledVideo
from sdbench.datasets.ssv2 import stylised_ssv2
from sdbench.datasets.stylised import StylisedDataset, StylisedVideo
from sdbench.datasets.videos import VideoDataset, folder_of_videos, packaged_videos

READERS = {"activitynet": stylised_activitynet, "diving48": stylised_diving48, "ssv2": stylised_ssv2}
"""Layout of a stylised data set -> what reads it."""

__all__ = [
    "READERS",
    "ArrayDataset",
    "CentreBias",
    "Clip",
    "Dataset",
    "DavisDataset",
    "LabelledFolder",
    "LabelledVideo",
    "StylisedDataset",
    "StylisedVideo",
    "VideoDataset",
    "centre_bias",
    "davis",
    "folder_of_videos",
    "packaged_videos",
    "stylised_activitynet",
    "stylised_diving48",
    "stylised_ssv2",
]
