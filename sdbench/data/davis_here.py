"""DAVIS 2016 and Stylized DAVIS where they lie here: in the user's folder of data sets, or fetched into the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sdbench.assets.store import AssetStore
from sdbench.base.cache_keys import cache_key
from sdbench.base.content import Contents
from sdbench.base.errors import InputError
from sdbench.base.kept import kept_folder
from sdbench.base.machine import available_cores
from sdbench.base.progress import progress
from sdbench.data.davis2016 import DavisDataset, davis
from sdbench.data.make.flow import FlowJob, frames_of, make_flow
from sdbench.video.flow import FlowMethod, dis_method, flow_folder

DAVIS = "davis2016"
PAINTED = "stylized_davis"


def lacking_davis(data: Path | None, store: AssetStore, backward_flow: bool = False) -> list[str]:
    """What is not here that `davis_at_hand` takes, one sentence each; nothing is fetched or made.

    What is here but damaged is not lacking: `davis_at_hand` says what is wrong with it.
    """
    lacking = []
    for name in (DAVIS, PAINTED):
        own = _own(data, name)
        if own is None and not _is_fetched(name, store):
            place = f" or put it into {data / name}" if data else ", or name the folder that holds it with --data"
            lacking.append(f"data set {name} is not here: sdbench fetch {name}{place}")
        elif own is not None and name == DAVIS:
            lacking += _lacking_flow(own, backward_flow)
    return lacking


def davis_at_hand(data: Path | None, store: AssetStore, backward_flow: bool = False) -> DavisDataset:
    """The validation set of DAVIS 2016 in all styles, with forward flow and, where it is asked for, backward flow.

    Each of the two data sets is taken from the folder of that name below `data`, or else from the cache. For a DAVIS in
    the cache, flow pictures are made there at the first call.

    Raises:
        InputError: something is missing or cannot be used; all of it is named.
        AssetError: an archive cannot be had.
        DiskError: flow pictures cannot be kept.
    """
    own = _own(data, DAVIS)
    painted = _own(data, PAINTED) or store.unpacked(PAINTED)
    if own is not None:
        found = davis(own, painted, backward_flow=backward_flow)
        fetched = []
    else:
        folder = store.unpacked(DAVIS)
        found = davis(folder, painted, flows=_flows(folder, store), backward_flow=backward_flow)
        fetched = [DAVIS]
    if _own(data, PAINTED) is None:
        fetched.append(PAINTED)
    found.name = PAINTED
    found.assets = tuple(fetched)
    return found


def assets_of_davis(data: Path | None) -> list[str]:
    """Names of the assets that `davis_at_hand` takes: what is not among the user's own."""
    return [name for name in (DAVIS, PAINTED) if _own(data, name) is None]


def _own(data: Path | None, name: str) -> Path | None:
    return data / name if data is not None and (data / name).is_dir() else None


def _is_fetched(name: str, store: AssetStore) -> bool:
    return store.is_present(name) or (store.folder / "unpacked" / name).is_dir()


def _lacking_flow(folder: Path, backward_flow: bool) -> list[str]:
    try:
        root, _ = frames_of(folder)
    except InputError:
        return []
    wanted = {False: "flow pictures", True: "pictures of backward flow"}
    return [
        f"{folder} has no {words}: sdbench flow {folder}"
        for backward, words in wanted.items()
        if backward <= backward_flow and not (root / flow_folder(backward)).is_dir()
    ]


def _flows(folder: Path, store: AssetStore) -> Path:
    """Flow pictures of the fetched DAVIS, in a folder of their own: that of the archive stays as it is."""
    _, sequences = frames_of(folder)
    method = dis_method()
    content = Contents(store.cache.contents).of(path for frames in sequences.values() for path in frames)
    recipe = ({name: len(frames) for name, frames in sequences.items()}, content, method.described())
    key = cache_key("flow images of DAVIS", recipe, code=(__name__, method.compute))
    return kept_folder(store.cache.flow / DAVIS, key, lambda target: _draw(target, sequences, method, store.quiet))


def _draw(target: Path, sequences: Mapping[str, Sequence[Path]], method: FlowMethod, quiet: bool) -> None:
    total = sum(2 * (len(frames) - 1) for frames in sequences.values())
    done = 0
    with progress("drawing flow", total, done, quiet) as advance:

        def count() -> None:
            nonlocal done
            done += 1
            advance(done)

        make_flow(FlowJob(target, sequences, method), available_cores(), count)
