"""The command `sdbench layers`: what can be read of a network."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from sdbench.cli.naming import NETWORK, add_naming, opened

if TYPE_CHECKING:
    from sdbench.networks.layer_summary import Seen

_WITH_THEIR_WEIGHTS = ("control",)
"""Prefixes of networks that are not built untrained."""

_NOTE = 72
"""Letters of a note in a line of the table."""


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    layers = commands.add_parser(
        "layers", help="layers of a network, with shapes and how they are read, seen with made-up clips"
    )
    layers.add_argument("network", help=NETWORK)
    add_naming(layers)
    layers.set_defaults(run=_layers)


def _layers(options: argparse.Namespace) -> None:
    from sdbench.assets import AssetStore
    from sdbench.networks.layer_summary import look
    from sdbench.zoo.adapters import PREFIXES

    prefix, colon, _ = options.network.partition(":")
    own = bool(colon) and prefix not in PREFIXES
    if own and options.layers is None:
        options.layers = ("*",)  # a module of one's own has no list of layers: that is what is asked for
    if not own and options.untrained is None and options.weights is None and prefix not in _WITH_THEIR_WEIGHTS:
        options.untrained = 0  # shapes do not depend on weights: none are fetched
    network = opened(options, AssetStore())
    print(layer_table(look(network)))


def layer_table(seen: tuple[Seen, ...]) -> str:
    """One row a layer; the axis that counts its units is marked."""
    rows = [
        (of.layer, of.answer, (of.axes or "").replace("C", "[C]"), "" if of.units is None else of.units, of.note)
        for of in seen
    ]
    columns = 5 if any(of.note for of in seen) else 4
    return tabulate(
        [row[:columns] for row in rows],
        headers=("layer", "answers", "axes", "units", "")[:columns],
        disable_numparse=True,
        maxcolwidths=[None, None, None, None, _NOTE][:columns],
        colalign=("left", "left", "left", "right", "left")[:columns],
    )
