"""The command `sdbench list`: what there is."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from sdbench.cli.arguments import expected_folder

if TYPE_CHECKING:
    from sdbench.zoo import Model


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    listing = commands.add_parser("list", help="networks, layers, styles, assets and cases")
    listing.add_argument("what", nargs="?", choices=list(_LISTINGS), help="only one kind (default: all)")
    listing.set_defaults(run=_list)


def _list(options: argparse.Namespace) -> None:
    for kind, rows in _LISTINGS.items():
        if options.what in (None, kind):
            print(kind.upper())
            print(rows())
            print()


def _list_networks() -> str:
    from sdbench.zoo import models

    rows = [(known.name, known.task, known.trained_on, _input_of(known), known.asset) for known in models()]
    return tabulate(rows, headers=("network", "task", "trained on", "input", "weights"))


def _input_of(known: Model) -> str:
    """What a network is fed, in a few words."""
    seen = {"forward": "1 frame, flow", "both": "2 frames, flow both ways"}
    height, width = known.feed.height_and_width
    fed = seen[known.feed.flow] if known.feed.flow else f"{known.feed.frames} frames"
    return f"{fed}, {height} x {width}"


def _list_layers() -> str:
    import torch

    from sdbench.zoo import model, model_names

    with torch.device("meta"):  # names need no weights
        return "\n".join(f"{name}: {', '.join(model(name).build().layers)}" for name in model_names())


def _list_styles() -> str:
    from sdbench.video.paint import DEFAULT_STYLES, STYLES

    return f"{', '.join(STYLES)}\nby default: {', '.join(DEFAULT_STYLES)}"


def _list_assets() -> str:
    from sdbench.assets import AssetStore, DistributionMember, Url

    store = AssetStore()
    rows = []
    for asset in store.manifest.assets:
        size = asset.bytes
        if isinstance(asset.source, DistributionMember):
            origin = asset.source.requirement
        elif isinstance(asset.source, Url):
            origin = {"direct": "download", "browser": "by browser"}.get(asset.source.how, asset.source.how)
            size = seen.bytes if (seen := store.seen(asset.name)) else None
        else:
            origin = "by hand"
        state = "here" if store.is_present(asset.name) else "not here"
        shown = f"{size / 1e6:.1f} MB" if size else "-"
        rows.append((asset.name, asset.group, shown, origin, state, asset.license))
    return tabulate(rows, headers=("asset", "group", "size", "from", "state", "licence")) + f"\nin {store.folder}"


def _list_cases() -> str:
    from sdbench.assets import AssetStore
    from sdbench.cases.records import read_all
    from sdbench.suite import Here, why_not

    data = Path(os.environ["SDBENCH_DATA"]) if "SDBENCH_DATA" in os.environ else None
    here = Here(AssetStore(quiet=True), data=data)
    rows = [(record.id, "no" if why_not(record, here) else "yes") for record in read_all(expected_folder())]
    return tabulate(rows, headers=("case", "can run"))


_LISTINGS = {
    "networks": _list_networks,
    "layers": _list_layers,
    "styles": _list_styles,
    "assets": _list_assets,
    "cases": _list_cases,
}
