"""A plugin of pytest for the rehearsal: networks are fed small pictures where the published size takes hours.

At 480 x 854 a pass of RTNet takes a minute of a core. Here segmentation networks see Stylized DAVIS at 96 x 160, but
those that `--published-size` names. MoCA, action recognition and all that is counted are as published.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest

from sdbench.cases.records import Asked
from sdbench.data.davis_here import PAINTED
from sdbench.networks import Network
from sdbench.suite.datasets import DATA_SETS, PaintedDavis
from sdbench.suite.here import Here

SIZE = (96, 160)
"""Height and width, in pixels."""


class SmallerDavis(PaintedDavis):
    """Stylized DAVIS, shown smaller.

    Args:
        as_published: networks, as NAME:TRAINED_ON, that are shown it in the published size.
    """

    def __init__(self, as_published: Collection[str] = ()) -> None:
        self._as_published = frozenset(as_published)

    def network(self, asked: Asked, here: Here) -> Network:
        network = super().network(asked, here)
        if f"{asked.network}:{asked.trained_on}" in self._as_published:
            return network
        return replace(network, feed=replace(network.feed, size=SIZE))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--published-size", action="append", default=[], help="NAME:TRAINED_ON that is not fed smaller")


def pytest_configure(config: pytest.Config) -> None:
    DATA_SETS[PAINTED] = SmallerDavis(config.getoption("--published-size"))
