"""What a file of one's own is about: a network and a study that are no part of this suite, so that both open again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=3)]

DATA = "SDBENCH_DATA"
"""With a slash behind it, stands at the start of a path for the folder of the user's data sets, wherever that is."""

_WORDS_BEFORE_FOLDERS = {"clips": 0, "appearance-free": 0, "stylised": 1, "davis": 0}
"""Kind of a study that is made of folders -> words between its name and theirs."""


class Subject(BaseModel):
    """A network and a study, in the words of the command line.

    Paths are relative to the folder of the file, or start with `DATA`.

    Attributes:
        network: as `sdbench measure` takes it: a name of the suite, hf:ID, my_model.py:build, ...
        study: as `sdbench record` takes it: rendered-2, clips:FOLDER, stylised:LAYOUT:FOLDER, ...
        sha256: over the names and bytes of the network's parameters and buffers.
        trained_on, weights, revision, untrained: which weights, where the name alone does not say it.
        layers: names or globs of what is read; None for what the network lists.
        feed: fields of `sdbench.Feed` that were said.
        axes: names or globs of layers -> the axes that were said.
        unchecked: whether it was recorded although its answers depend on more than the clip.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: Text
    study: Text
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    trained_on: str | None = None
    weights: str | None = None
    revision: str | None = None
    untrained: Annotated[int, Field(ge=0)] | None = None
    layers: tuple[str, ...] | None = None
    feed: dict[str, Any] = {}
    axes: dict[str, str] = {}
    unchecked: bool = False

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders that the study is made of."""
        return folders_of(self.study)

    @property
    def files(self) -> tuple[str, ...]:
        """The files or folders that the network is made of."""
        _, path, _ = _network_in_parts(self.network)
        return tuple(each for each in (path, self.weights) if each)

    def placed(self, place: Callable[[str], str]) -> Subject:
        """The same with each of its paths as `place` gives it."""
        before, path, behind = _network_in_parts(self.network)
        network = self.network
        if path:
            path = place(path)
            if before and not path.startswith((".", "/", f"{DATA}/")):
                path = f"./{path}"  # else it would be the name of a repository
            network = f"{before}{path}{behind}"
        kind, *words = self.study.split(":")
        count = _WORDS_BEFORE_FOLDERS.get(kind, len(words))
        study = ":".join((kind, *words[:count], *map(place, words[count:])))
        weights = place(self.weights) if self.weights else None
        return self.model_copy(update={"network": network, "study": study, "weights": weights})

    def read_from(self, folder: Path) -> Subject:
        """The same as it stands in a file of this folder: relative paths start there."""
        return self.placed(lambda path: path if path.startswith(f"{DATA}/") else str((folder / path).resolve()))

    def written_to(self, folder: Path, data: Path | None) -> Subject:
        """The same as it is written into a file of this folder.

        Args:
            folder: where the file will lie; paths are made relative to it.
            data: the folder of the user's data sets: a path below it is written with `DATA`.
        """

        def place(path: str) -> str:
            found = Path(path).expanduser().resolve()
            if data is not None and found.is_relative_to(data.resolve()):
                return f"{DATA}/{found.relative_to(data.resolve()).as_posix()}"
            return Path(os.path.relpath(found, folder.resolve())).as_posix()

        return self.placed(place)


def folders_of(study: str) -> tuple[str, ...]:
    """The folders that a study is made of, as its words name them."""
    kind, *words = study.split(":")
    return tuple(words[_WORDS_BEFORE_FOLDERS.get(kind, len(words)) :])


def _network_in_parts(name: str) -> tuple[str, str, str]:
    """What stands before the path in a network's name, the path ("" where there is none), and what stands behind it."""
    before, _, function = name.rpartition(":")
    if before.endswith(".py"):
        return "", before, f":{function}"
    if name.startswith(("hf:.", "hf:/", "hf:~", f"hf:{DATA}/")):
        return "hf:", name.removeprefix("hf:"), ""
    return "", "", ""
