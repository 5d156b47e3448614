"""The folders of the cache: where each kind of what is computed lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cache:
    """The folders of what is computed, all below one; what was fetched is `sdbench.assets`'.

    Nothing here is needed: whatever is missing, or has another key, is computed again.

    Attributes:
        root: the folder.
    """

    root: Path

    @property
    def contents(self) -> Path:
        """Hashes of files, known again by size and times: see `sdbench.base.content`."""
        return self.root / "contents"

    @property
    def converted(self) -> Path:
        """Published weights as safetensors."""
        return self.root / "converted"

    @property
    def flow(self) -> Path:
        """Optical flow of a DAVIS that was fetched, as images."""
        return self.root / "flow"

    @property
    def packaged_davis(self) -> Path:
        """The packaged clips as a data set of segmentation."""
        return self.root / "packaged_davis"

    @property
    def packaged_stylised(self) -> Path:
        """The packaged clips as a stylised data set."""
        return self.root / "packaged_stylised"

    @property
    def painted(self) -> Path:
        """Stylised clips."""
        return self.root / "painted"

    @property
    def parts(self) -> Path:
        """Parts of unfinished runs; a run that comes to its end deletes its own."""
        return self.root / "parts"

    @property
    def shots(self) -> Path:
        """Shots of videos."""
        return self.root / "shots"

    @property
    def trainings(self) -> Path:
        """Finished trainings of small networks, until all of them are."""
        return self.root / "calibration-training"
