"""What several commands take."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdbench.base.errors import DiskError, InputError

if TYPE_CHECKING:
    from sdbench.assets import AssetStore
    from sdbench.networks import Network


PRECISIONS = ("float32", "bfloat16", "tf32")
COMPILING = ("auto", "on", "off")
"""The words of `sdbench.engine.placing`, which takes torch to import."""


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


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add how a measurement is made: precision, compiling, and who does its parts."""
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="float32", help="what the network computes in (default: float32)"
    )
    parser.add_argument(
        "--compile",
        choices=COMPILING,
        default="auto",
        help="compile the passes: where it saves time, always, never (default: auto)",
    )
    parser.add_argument(
        "--batch-size",
        type=positive,
        metavar="N",
        help="clips that go through the network at once, at most (default: by their size); fewer where memory is short",
    )
    parser.add_argument(
        "--unchecked",
        action="store_true",
        help="go on where answers to a clip depend on its batch, on chance or on what came before; reports say so",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="measure on --workers workers of a Ray cluster; auto joins the one that runs here, or starts one",
    )
    parser.add_argument("--gpus-per-worker", type=float, help="of the cluster (default: 1 with --device cuda, else 0)")
    parser.add_argument(
        "--slice", type=slice_named, metavar="3/16", help="do only these parts, and leave them for `sdbench merge`"
    )


def slice_named(text: str) -> tuple[int, int]:
    """Which slice of how many.

    Raises:
        argparse.ArgumentTypeError: the text does not say.
    """
    number, slash, of = text.partition("/")
    if not (slash and number.isascii() and number.isdigit() and of.isascii() and of.isdigit()):
        raise argparse.ArgumentTypeError(f"expected a slice such as 3/16, the third of 16; got {text!r}")
    return int(number), int(of)


def chosen_network(options: argparse.Namespace, store: AssetStore, layers: tuple[str, ...] | None = None) -> Network:
    """The network with its weights; that its layers and the device are known is seen before anything is fetched.

    Raises:
        InputError: the network, the training set, a layer or the device is unknown.
        AssetError: the weights cannot be had.
    """
    import torch

    from sdbench.networks import Network
    from sdbench.zoo import model, network_named

    device_there(options)
    known = model(options.network, options.trained_on)
    with torch.device("meta"):
        Network(known.build(), known.feed, known.name, layers)
    network = network_named(options.network, options.trained_on, store=store)
    return replace(network, layers=layers) if layers else network


def device_there(options: argparse.Namespace) -> None:
    """See that the device is there.

    Raises:
        InputError: it is not.
    """
    from sdbench.engine.placing import device_named

    if getattr(options, "ray", None) is None:  # the workers of a cluster have devices of their own
        device_named(options.device)


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
    from sdbench.base.files import json_text, write_text

    if path is not None:
        with writing(path):
            write_text(path, json_text(content))


def expected_folder() -> Path:
    """The folder `expected/` of the checkout that this runs from, or of the current folder.

    Raises:
        InputError: there is none.
    """
    for root in (Path(__file__).parents[2], Path.cwd()):
        if (root / "expected").is_dir():
            return root / "expected"
    raise InputError("no folder expected/ beside the package or here; run this in a checkout of sdbench")
