"""Networks whose weights have to be downloaded, narrow and with made-up weights in the published formats."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sdbench.answers import segmenting
from sdbench.assets import AssetStore
from sdbench.networks.filled import fill_state_dict
from sdbench.zoo import feeds, published

_SHALLOW = {"width": 2, "depths": (1, 1, 1, 1)}
NARROW: dict[str, dict[str, Any]] = {"x3d_m": {}, "fusionseg": _SHALLOW, "matnet": {**_SHALLOW, "mask_size": 48}}
"""Architecture -> what makes it small."""

SIZES = {"x3d_m": (64, 64), "fusionseg": (48, 80), "matnet": (48, 48)}
"""What they are fed, in pixels, height and width."""

COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background it is ignored
from sdbench.cli import main
from tests.made.small_zoo import make_small
make_small(setattr)
sys.exit(main())
"""
"""The command `sdbench`, to be run in a process of its own with the root of the checkout in PYTHONPATH."""


def make_small(put: Callable[[Any, str, Any], None]) -> None:
    """Make the zoo know the networks as small ones; `put` is `setattr`, or that of a monkeypatch."""
    put(published, "_MODELS", tuple(map(narrow, published._MODELS)))
    small = {name: replace(feeds._FEEDS[name], size=size, short_side=None) for name, size in SIZES.items()}
    put(feeds, "_FEEDS", {**feeds._FEEDS, **small})
    put(segmenting, "_MATNET_SIZE", SIZES["matnet"])


def narrow(known: published.Model) -> published.Model:
    return replace(known, options={**known.options, **NARROW.get(known.architecture, {})})


def bring_weights(store: AssetStore, folder: Path) -> None:
    """Put made-up weights into a store as if they had been fetched."""
    torch.save({"model_state": _filled("x3d_m")}, folder / "x3d.pyth")
    torch.save({"model_state": _filled("fusionseg")}, folder / "fusionseg.pth")
    state = _filled("matnet")
    with zipfile.ZipFile(folder / "vos.zip", "w") as archive:
        archive.write(folder / "fusionseg.pth", str(published.model("fusionseg").member))
        for part in ("encoder", "decoder"):
            own = {name.removeprefix(f"{part}."): value for name, value in state.items() if name.startswith(part)}
            torch.save(own, folder / f"{part}.pt")
            archive.write(folder / f"{part}.pt", f"{published.model('matnet').member}{part}_19.pt")
    store.add("x3d_m_kinetics400", folder / "x3d.pyth")
    store.add("vos_checkpoints", folder / "vos.zip")


def _filled(name: str) -> dict[str, torch.Tensor]:
    module = narrow(published.model(name)).build()
    fill_state_dict(module, 0)
    return module.state_dict()
