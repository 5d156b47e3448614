"""Data sets by name: what each lacks here, which assets it needs, and how a network is measured on it.

Whoever adds one writes a class and enters it into `DATA_SETS`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from sdbench import engine
from sdbench.base.errors import InputError, unknown_name
from sdbench.calibration.measuring import SceneStudy, measure_trained, trained_network
from sdbench.calibration.trained import KINDS, kind_named
from sdbench.cases.records import Asked
from sdbench.data import READERS, packaged_videos
from sdbench.data.davis_here import PAINTED, assets_of_davis, davis_at_hand, lacking_davis
from sdbench.data.davis_packaged import packaged_davis
from sdbench.data.kinetics import LabelledFolder, labelled_folder
from sdbench.data.moca import MocaDataset
from sdbench.data.segmentation import SegmentationDataset
from sdbench.data.stylised_packaged import packaged_stylised
from sdbench.engine import Measurement, Study
from sdbench.networks import Network
from sdbench.statistics import FACTORS
from sdbench.studies import RENDERED, ClipStudy, DavisStudy, RenderedStudy, StylisedStudy, scenes_of, shot_finder
from sdbench.studies.sequences import DRAWS, SEEDS
from sdbench.suite.here import Here
from sdbench.suite.weights import architecture_of
from sdbench.zoo import feed_of, network_named

Place = Literal["own", "packaged", "drawn", "nowhere"]
"""Where a data set is from: the user, the package index, nothing but this package; or there is none to be had."""


ACTION_SEEDS = 2
"""The fewest that show what the random pairs of one video each do. The paper drew one, and one alone leaves more of
its exact reproductions undecided (docs/calibration.md)."""


class DataSet(Protocol):
    """A data set as cases name it.

    Attributes:
        place: where it is from.
        seeds: how many seeds one measurement on it takes.
    """

    place: ClassVar[Place]
    seeds: ClassVar[int]

    def lacking(self, asked: Asked, here: Here) -> list[str]:
        """What keeps a network from being measured on it here, a sentence each; nothing is fetched or made."""
        ...

    def assets(self, asked: Asked, here: Here) -> list[str]:
        """Names of the assets that it takes."""
        ...

    def study(self, asked: Asked, here: Here) -> Study:
        """What a network is shown of it.

        Raises:
            InputError: units are not measured on it.
        """
        ...

    def measure(self, asked: Asked, here: Here) -> Measurement:
        """Measure a network on it.

        Raises:
            MissingAssetError: something that it takes is not here and could not be fetched.
            InputError, AssetError: something that is here cannot be used.
        """
        ...


class Studied:
    """A data set on which units are measured: by a study, with a network of the zoo or a small one that comes along."""

    seeds: ClassVar[int] = 1

    def study(self, asked: Asked, here: Here) -> Study:
        raise NotImplementedError

    def network(self, asked: Asked, here: Here) -> Network:
        if asked.network in KINDS:
            return trained_network(asked.network, asked.trained_on)
        return network_named(asked.network, asked.trained_on, store=here.store)

    def measure(self, asked: Asked, here: Here) -> Measurement:
        with warnings.catch_warnings():
            for said in ("intervals will be wide", "carries more than a quarter", "keeps the samples of a batch"):
                warnings.filterwarnings("ignore", message=f".*{said}")  # the report's notes say so
            found = engine.measure(
                self.network(asked, here),
                self.study(asked, here),
                seed=here.seed,
                device=here.device,
                precision=here.precision,
                compiling=here.compiling,
                store=here.store,
                workers=here.workers if here.runner is None else None,
                runner=here.runner,
                finished=here.finished,
                unchecked=asked.subject is not None and asked.subject.unchecked,
            )
        return replace(found, dataset=asked.dataset)


class _Packaged(Studied):
    """A data set that is made of what the package index serves."""

    place: ClassVar[Place] = "packaged"

    def lacking(self, asked: Asked, here: Here) -> list[str]:
        return []

    def assets(self, asked: Asked, here: Here) -> list[str]:
        return list(here.store.manifest.group("packaged"))


class PackagedVideos(_Packaged):
    """The three videos that a package carries, as a user's own."""

    def study(self, asked: Asked, here: Here) -> Study:
        shots = shot_finder(here.store)
        return ClipStudy(
            lambda length, side: packaged_videos(length, side, shots, here.store), here.store, here.styles, here.pairs
        )


class PackagedStylised(_Packaged):
    """The same as a stylised data set, so that its pipeline can run without downloads."""

    def study(self, asked: Asked, here: Here) -> Study:
        dataset = packaged_stylised(here.store, shot_finder(here.store))
        return StylisedStudy(dataset, here.store, here.protocol, here.pairs)

    def network(self, asked: Asked, here: Here) -> Network:
        network = super().network(asked, here)
        # As almost all published networks of action recognition are fed; a small one has no way of its own.
        return replace(network, feed=replace(network.feed, resample="bilinear"))


class RenderedScenes(_Packaged):
    """The scenes of `RENDERED`, for any network; nothing is fetched but its weights.

    They are fewer than `sdbench measure` draws by default: it is looked at whether numbers move.
    """

    scenes: ClassVar[int] = 32

    def assets(self, asked: Asked, here: Here) -> list[str]:
        return []

    def study(self, asked: Asked, here: Here) -> Study:
        return RenderedStudy(self.scenes if here.pairs is None else scenes_of(here.pairs))


class _Sequences(Studied):
    """Painted sequences with their optical flow."""

    seeds: ClassVar[int] = SEEDS
    frames: ClassVar[int | None] = None

    def open(self, here: Here, backward: bool) -> SegmentationDataset:
        raise NotImplementedError

    def study(self, asked: Asked, here: Here) -> Study:
        frames = self.frames
        if here.pairs is not None:
            sequences = len(self.open(here, backward=False).sequences)
            frames = max(1, ceil(len(FACTORS) * here.pairs / (DRAWS * sequences)))
        return DavisStudy(lambda back: self.open(here, back), here.store, here.protocol, frames=frames)


class PackagedDavis(_Sequences, _Packaged):
    """Some clips of the same as sequences in DAVIS's folders, small: it is the pipeline that is looked at."""

    frames: ClassVar[int | None] = 2
    _SIZE = (64, 112)

    def open(self, here: Here, backward: bool) -> SegmentationDataset:
        return packaged_davis(here.store, shot_finder(here.store))

    def network(self, asked: Asked, here: Here) -> Network:
        network = super().network(asked, here)
        return replace(network, feed=replace(network.feed, size=self._SIZE, fit="stretch"))


class PaintedDavis(_Sequences):
    """Stylized DAVIS with the flow of DAVIS 2016: the user's own, or fetched."""

    place: ClassVar[Place] = "own"

    def lacking(self, asked: Asked, here: Here) -> list[str]:
        return lacking_davis(here.data, here.store, backward_flow=_sees_backward(asked))

    def assets(self, asked: Asked, here: Here) -> list[str]:
        return assets_of_davis(here.data)

    def open(self, here: Here, backward: bool) -> SegmentationDataset:
        return davis_at_hand(here.data, here.store, backward)


class _Own:
    """A folder of the user's data sets."""

    place: ClassVar[Place] = "own"

    def lacking(self, asked: Asked, here: Here) -> list[str]:
        if here.data is None:
            return [f"data set {asked.dataset} is not here (name the folder that holds it with --data)"]
        return [] if (here.data / asked.dataset).is_dir() else [f"data set {asked.dataset} is not in {here.data}"]

    def assets(self, asked: Asked, here: Here) -> list[str]:
        return []


@dataclass(frozen=True)
class OwnStylised(_Own, Studied):
    """A stylised data set of action recognition in one of the published layouts."""

    layout: str
    seeds: ClassVar[int] = ACTION_SEEDS

    def study(self, asked: Asked, here: Here) -> Study:
        dataset = READERS[self.layout](_folder(asked, here))
        return StylisedStudy(dataset, here.store, here.protocol, here.pairs, self.seeds)


class _Unmeasured:
    """A data set on which answers are looked at, not units."""

    seeds: ClassVar[int] = 1

    def study(self, asked: Asked, here: Here) -> Study:
        raise self._refused(asked)

    def measure(self, asked: Asked, here: Here) -> Measurement:
        raise self._refused(asked)

    @staticmethod
    def _refused(asked: Asked) -> InputError:
        return InputError(f"units are not measured on the data set {asked.dataset}: it is there for answers")


class OwnLabelled(_Own, _Unmeasured):
    """Labelled videos, one folder a class."""

    def open(self, asked: Asked, here: Here) -> LabelledFolder:
        """The videos.

        Raises:
            InputError: they cannot be used.
        """
        return labelled_folder(_folder(asked, here))


class OwnMoca(_Own, _Unmeasured):
    """MoCA as the motion grouping project prepared it."""

    def open(self, asked: Asked, here: Here) -> MocaDataset:
        """The videos, with the flow that the network sees.

        Raises:
            InputError: they cannot be used.
        """
        return MocaDataset(_folder(asked, here), _sees_backward(asked))


class Drawn:
    """What small networks are shown: drawn anew wherever it is needed."""

    place: ClassVar[Place] = "drawn"
    seeds: ClassVar[int] = 1

    def lacking(self, asked: Asked, here: Here) -> list[str]:
        return []

    def assets(self, asked: Asked, here: Here) -> list[str]:
        return []

    def study(self, asked: Asked, here: Here) -> Study:
        return SceneStudy(kind_named(asked.network))

    def measure(self, asked: Asked, here: Here) -> Measurement:
        return measure_trained(
            asked.network,
            asked.trained_on,
            asked.dataset,
            seed=here.seed,
            pairs=here.pairs,
            device=here.device,
            store=here.store,
            finished=here.finished,
        )


class Nothing(Drawn, _Unmeasured):
    """No data set: the case speaks of an architecture."""

    place: ClassVar[Place] = "nowhere"


DATA_SETS: dict[str, DataSet] = {
    "none": Nothing(),
    "packaged": PackagedVideos(),
    "packaged_stylised": PackagedStylised(),
    "packaged_davis": PackagedDavis(),
    RENDERED: RenderedScenes(),
    "rendered": Drawn(),
    "rendered_vos": Drawn(),
    "stylized_activitynet": OwnStylised("activitynet"),
    "stylized_diving48": OwnStylised("diving48"),
    "stylized_ssv2": OwnStylised("ssv2"),
    PAINTED: PaintedDavis(),
    "kinetics400_validation": OwnLabelled(),
    "diving48_validation": OwnLabelled(),
    "ssv2_validation": OwnLabelled(),
    "moca": OwnMoca(),
}
"""Name of a data set -> what is known of it; a user's own lies below the folder of data sets under this name."""


def data_set(name: str) -> DataSet:
    """The data set of this name.

    Raises:
        InputError: there is none.
    """
    if name not in DATA_SETS:
        raise unknown_name("data set", name, DATA_SETS)
    return DATA_SETS[name]


def _folder(asked: Asked, here: Here) -> Path:
    assert here.data is not None  # what is lacking was asked before
    return here.data / asked.dataset


def _sees_backward(asked: Asked) -> bool:
    architecture = architecture_of(asked)
    return architecture is not None and feed_of(architecture).flow == "both"
