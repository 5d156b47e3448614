"""Where clips come from."""

from sdbench.datasets.arrays import ArrayDataset
from sdbench.datasets.clip import Clip, Dataset
from sdbench.datasets.videos import VideoDataset, folder_of_videos, packaged_videos

__all__ = ["ArrayDataset", "Clip", "Dataset", "VideoDataset", "folder_of_videos", "packaged_videos"]
