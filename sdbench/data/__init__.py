"""Where clips come from."""

from sdbench.data.activitynet import stylised_activitynet
from sdbench.data.arrays import ArrayDataset
from sdbench.data.centre import CentreBias, centre_bias
from sdbench.data.clip import Clip, Dataset
from sdbench.data.davis2016 import DavisDataset, davis
from sdbench.data.diving48 import stylised_diving48
from sdbench.data.kinetics import LabelledFolder, LabelledVideo
from sdbench.data.shots import ShotFinder
from sdbench.data.ssv2 import stylised_ssv2
from sdbench.data.stylised import StylisedDataset, StylisedVideo
from sdbench.data.videos import VideoDataset, folder_of_videos, packaged_videos

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
    "ShotFinder",
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
