"""Made-up data under the names of the published data sets, and small networks in the place of the published ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from sdbench import build
from sdbench.answers.segmenting import published_input
from sdbench.assets import AssetStore
from sdbench.cases.records import read_all
from sdbench.networks import Network
from sdbench.networks.filled import fill_state_dict
from sdbench.suite import Here, Suite
from sdbench.zoo import feed_of, model
from tests.made.davis import make_davis, make_painted
from tests.made.moca import make_moca
from tests.made.stylised import make, names

RECORDS = {record.id: record for record in read_all(Path(__file__).parents[2] / "expected")}
SIZE = (32, 48)
"""Height and width that networks which see flow are fed."""

SEQUENCES = tuple(f"sequence{i}" for i in range(8))


@pytest.fixture
def empty_store(tmp_path: Path) -> AssetStore:
    """A store that holds nothing and fetches nothing."""
    return AssetStore(tmp_path / "cache", offline=True, quiet=True)


@pytest.fixture
def data(tmp_path: Path, make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A folder of data sets: a stylised ActivityNet, DAVIS with flow and painted copies, and MoCA; all small.

    Its files are those of all tests: a test may remove them, and may not write into them.
    """
    made = make_once("data-sets", make_data_sets)
    return Path(shutil.copytree(made, tmp_path / "data", copy_function=os.link))


def make_data_sets(folder: Path) -> None:
    make(folder / "stylized_activitynet", "activitynet", dict.fromkeys(names(12, "activitynet"), 40))
    davis = make_davis(folder / "davis2016", SEQUENCES, frames=4)
    make_painted(folder / "stylized_davis", davis)
    make_moca(folder / "moca")


@dataclass
class Small:
    """Narrow filled networks in the place of the published ones, fed small frames.

    Attributes:
        units, answers: how many inputs went through networks where units, and where answers, are measured.
        broken: name of a network -> what each of its passes raises.
    """

    units: int
    answers: int
    broken: dict[str, BaseException]

    def network(self, name: str, trained_on: str | None, doing: str) -> Network:
        architecture = model(name, trained_on).architecture
        feed = feed_of(architecture)
        if feed.flow is None:
            module, feed = build(architecture), replace(feed, size=32, short_side=32)
        else:
            module = build(architecture, width=16 if architecture.startswith("rtnet") else 4)
            feed = replace(feed, size=SIZE)
        fill_state_dict(module, 0)
        small = self

        class Counted(type(module)):  # type: ignore[misc]
            def trace(self, **inputs: Tensor) -> Iterator[tuple[str, Tensor]]:
                if name in small.broken:
                    raise small.broken[name]
                setattr(small, doing, getattr(small, doing) + len(next(iter(inputs.values()))))
                yield from super().trace(**inputs)

        module.__class__ = Counted
        return Network(module, feed, name)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Small:
    found = Small(0, 0, {})

    def patched(doing: str) -> Any:
        return lambda name, trained_on=None, store=None: found.network(name, trained_on, doing)

    monkeypatch.setattr("sdbench.suite.datasets.network_named", patched("units"))
    monkeypatch.setattr("sdbench.suite.quantities.network_named", patched("answers"))
    monkeypatch.setattr(
        "sdbench.suite.quantities.published_input",
        lambda architecture: replace(published_input(architecture), size=SIZE),
    )
    return found


@pytest.fixture
def suite(small: Small, data: Path, empty_store: AssetStore) -> Suite:
    """A suite with all of the made-up data, whose networks are small."""
    return Suite(Here(empty_store, data=data, protocol="published", workers=0))
