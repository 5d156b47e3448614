"""What several commands take."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdbench.base.errors import DiskError, InputError

if TYPE_CHECKING:
    from sdbench.assets import AssetStore
    from sdbench.networks import Network


def names(text: str) -> tuple[str, ...]:
    """What a comma-separated argument names."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def natural(text: str) -> int:
    """A whole number from 0, such as a seed.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number, 0 or more; got {text!r}")
    return int(text)


def positive(text: str) -> int:
    """A whole number from 1.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 or more; got {text!r}")
    return int(text)


def output(text: str) -> Path:
    """A file to write; what cannot be one is told before hours of work, not after.

    Raises:
        argparse.ArgumentTypeError: it is a folder.
    """
    if Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"expected a file to write; {text} is a folder")
    return Path(text)


def add_running(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes that runs a network: which weights, seed, device, workers, and a file of numbers."""
    parser.add_argument("--trained-on", help="which weights of the network (default: the first known)")
    parser.add_argument("--seed", type=natural, default=0, help="seed of every random draw (default: 0)")
    parser.add_argument("--device", default="cpu", help="where the network runs (default: cpu)")
    parser.add_argument("--workers", type=natural, help="processes that draw samples ahead (default: one a core)")
    parser.add_argument("--json", type=output, help="also write the numbers to this file")


def chosen_network(options: argparse.Namespace, store: AssetStore, layers: tuple[str, ...] | None = None) -> Network:
    """The network with its weights; that its layers and the device are known is seen before anything is fetched.

    Raises:
        InputError: the network, the training set, a layer or the device is unknown.
        AssetError: the weights cannot be had.
    """
    import torch

    from sdbench.engine.placing import device_named
    from sdbench.networks import Network
    from sdbench.zoo import model, network_named

    device_named(options.device)
    known = model(options.network, options.trained_on)
    with torch.device("meta"):
        Network(known.build(), known.feed, known.name, layers)
    network = network_named(options.network, options.trained_on, store=store)
    return replace(network, layers=layers) if layers else network


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Say in a sentence why a file that the user named cannot be written.

    Raises:
        DiskError: it cannot.
    """
    try:
        yield path
    except OSError as error:
        raise DiskError(f"{path} cannot be written ({error.strerror or error}); name another file") from None


def write_json(path: Path | None, content: Any) -> None:
    """Write numbers to a file, where one was named.

    Raises:
        DiskError: it cannot be written.
    """
    from sdbench.base.files import write_text

    if path is not None:
        with writing(path):
            write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def expected_folder() -> Path:
    """The folder `expected/` of the checkout that this runs from, or of the current folder.

    Raises:
        InputError: there is none.
    """
    for root in (Path(__file__).parents[2], Path.cwd()):
        if (root / "expected").is_dir():
            return root / "expected"
    raise InputError("no folder expected/ beside the package or here; run this in a checkout of sdbench")
