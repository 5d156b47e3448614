"""Cases of one's own: networks and studies that a file of expected values says how to open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from sdbench import studies
from sdbench.base.errors import AssetError, InputError
from sdbench.cases.records import Asked
from sdbench.cases.subject import DATA, Subject, folders_of
from sdbench.data import READERS
from sdbench.engine import Study
from sdbench.networks import Network
from sdbench.suite.datasets import DATA_SETS, DataSet, Place, Studied, data_set
from sdbench.suite.here import Here
from sdbench.zoo import network_named

STUDIES = (
    f"{', '.join(name for name, known in DATA_SETS.items() if known.place == 'packaged')}; {studies.RENDERED}:SCENES; "
    f"clips:FOLDER, appearance-free:FOLDER, stylised:LAYOUT:FOLDER ({', '.join(READERS)}), davis:FOLDER:PAINTED"
)
"""What a subject's study may be."""

_ASSETS = {"clips": ("transnetv2", "styles26"), "appearance-free": ("transnetv2",)}


def data_set_of(asked: Asked) -> DataSet:
    """What is known of the data set that is asked for.

    Raises:
        InputError: there is none of this name.
    """
    return data_set(asked.dataset) if asked.subject is None else _OfSubject(asked.subject)


def opened(subject: Subject, here: Here) -> Network:
    """The network of a subject, called as its file calls it.

    Raises:
        InputError: its name, a layer or a word of its feed is unknown.
        AssetError: a library or its weights cannot be had.
    """
    placed = _here(subject, here)
    return network_named(
        placed.network,
        placed.trained_on,
        placed.weights,
        here.store,
        layers=placed.layers,
        feed=placed.feed,
        revision=placed.revision,
        untrained=placed.untrained,
        axes=placed.axes,
    )


def check_study(study: str) -> None:
    """See that a study is one that can be recorded on.

    Raises:
        InputError: it is not, or a folder of it is not there.
    """
    kind, *words = study.split(":")
    folders = folders_of(study)
    fitting = {
        "clips": len(words) == 1,
        "appearance-free": len(words) == 1,
        "stylised": len(words) == 2 and words[0] in READERS,
        "davis": len(words) == 2,
        studies.RENDERED: not words or (len(words) == 1 and words[0].isascii() and words[0].isdigit()),
    }
    packaged = study in DATA_SETS and DATA_SETS[study].place == "packaged"
    if not packaged and not (fitting.get(kind, False) and all(words)):
        raise InputError(f"{study!r} is no study to record on; expected one of {STUDIES}")
    for folder in folders:
        if not Path(folder).expanduser().is_dir():
            raise InputError(f"no folder at {folder}; expected what the study {study} is made of")


@dataclass(frozen=True)
class _OfSubject(Studied):
    """What a subject says."""

    subject: Subject

    place: ClassVar[Place] = "own"

    def lacking(self, asked: Asked, here: Here) -> list[str]:
        lacking = []
        placed = _here(self.subject, here)
        for told, path in zip(
            (*self.subject.files, *self.subject.folders), (*placed.files, *placed.folders), strict=True
        ):
            name = told.removeprefix(f"{DATA}/")
            if path.startswith(f"{DATA}/"):
                lacking.append(f"data set {name} is not here (name the folder that holds it with --data)")
            elif name != told and not Path(path).exists():
                lacking.append(f"data set {name} is not in {here.data}")
            elif not Path(path).exists():
                lacking.append(f"{path} is not there, which {asked.network} on {asked.dataset} is made of")
        return list(dict.fromkeys(lacking))

    def assets(self, asked: Asked, here: Here) -> list[str]:
        study = self.subject.study
        if study in DATA_SETS:
            return DATA_SETS[study].assets(asked, here)
        return list(_ASSETS.get(study.partition(":")[0], ()))

    def study(self, asked: Asked, here: Here) -> Study:
        study = _here(self.subject, here).study
        check_study(study)
        if study in DATA_SETS:
            return DATA_SETS[study].study(asked, here)
        kind, *words = study.split(":")
        if kind == "clips":
            return studies.clips(*words, styles=here.styles, pairs=here.pairs, store=here.store)
        if kind == "appearance-free":
            return studies.appearance_free(*words, pairs=here.pairs, store=here.store)
        if kind == "stylised":
            layout, folder = words
            return studies.stylised(layout, folder, protocol=here.protocol, pairs=here.pairs, store=here.store)
        if kind == "davis":
            folder, painted = words
            return studies.davis(folder, painted, protocol=here.protocol, store=here.store)
        return studies.rendered(int(words[0]) if here.pairs is None else studies.scenes_of(here.pairs))

    def network(self, asked: Asked, here: Here) -> Network:
        network = replace(opened(self.subject, here), name=asked.network)
        if network.weights != self.subject.sha256:
            raise AssetError(
                f"{asked.network} has other weights than those that were recorded (SHA-256 {network.weights[:12]}..., "
                f"recorded {self.subject.sha256[:12]}...): its numbers cannot be called the same; bring those weights "
                "back, or record anew with sdbench record"
            )
        return network


def _here(subject: Subject, here: Here) -> Subject:
    """The same with paths below the folder of data sets as they are here, where there is one."""
    data = here.data
    if data is None:
        return subject
    return subject.placed(
        lambda path: str(data / path.removeprefix(f"{DATA}/")) if path.startswith(f"{DATA}/") else path
    )
