"""What several commands take."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sdbench.base.errors import InputError
from sdbench.base.outputs import add_output

if TYPE_CHECKING:
    from sdbench.assets import AssetStore
    from sdbench.networks import Network


_DIGITS = 18
"""Of numbers that machines count to."""

PRECISIONS = ("float32", "bfloat16", "tf32")
COMPILING = ("auto", "on", "off")
"""The words of `sdbench.engine.placing`, which takes torch to import."""


def names(text: str) -> tuple[str, ...]:
    """What a comma-separated argument names.

    Raises:
        argparse.ArgumentTypeError: it names nothing.
    """
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"expected names with commas between them; got {text!r}")
    return found


def natural(text: str, least: int = 0) -> int:
    """A whole number from `least`, such as a seed.

    Raises:
        argparse.ArgumentTypeError: it is none, or one that no machine counts to.
    """
    if not text.isascii() or not text.isdigit() or int(text[:_DIGITS]) < least:
        raise argparse.ArgumentTypeError(f"expected a whole number, {least} or more; got {text!r}")
    if len(text) > _DIGITS:
        raise argparse.ArgumentTypeError(f"expected a whole number of at most {_DIGITS} digits; got {text[:40]}")
    return int(text)


def positive(text: str) -> int:
    """A whole number from 1.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    return natural(text, 1)


def add_running(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes that runs a network: which weights, seed, device, workers, and a file of numbers."""
    parser.add_argument("--trained-on", help="which weights of the network (default: the first known)")
    parser.add_argument("--seed", type=natural, default=0, help="seed of every random draw (default: 0)")
    parser.add_argument("--device", default="cpu", help="where the network runs (default: cpu)")
    parser.add_argument("--workers", type=natural, help="processes that draw samples ahead (default: one a core)")
    add_output(parser, "--json", "json", "also write the numbers to this file")


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
    add_unchecked(parser)
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="measure on --workers workers of a Ray cluster; auto joins the one that runs here, or starts one",
    )
    parser.add_argument("--gpus-per-worker", type=float, help="of the cluster (default: 1 with --device cuda, else 0)")
    parser.add_argument(
        "--slice", type=slice_named, metavar="3/16", help="do only these parts, and leave them for `sdbench merge`"
    )


def add_unchecked(parser: argparse.ArgumentParser) -> None:
    """Add going on where the self-check of a network finds something wrong."""
    parser.add_argument(
        "--unchecked",
        action="store_true",
        help="go on where answers to a clip depend on its batch, on chance or on what came before; reports say so",
    )


def slice_named(text: str) -> tuple[int, int]:
    """Which slice of how many.

    Raises:
        argparse.ArgumentTypeError: the text does not say.
    """
    number, _, of = text.partition("/")
    try:
        return natural(number), natural(of)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"expected a slice such as 3/16, the third of 16; got {text!r}") from None


def check_network(options: argparse.Namespace, layers: tuple[str, ...] | None = None) -> None:
    """See that the network, its layers and the device are known, before anything is fetched.

    Raises:
        InputError: the network, the training set, a layer or the device is unknown.
    """
    import torch

    from sdbench.networks import Network
    from sdbench.zoo import model

    device_there(options)
    known = model(options.network, options.trained_on)
    with torch.device("meta"):
        Network(known.build(), known.feed, known.name, layers)


def chosen_network(options: argparse.Namespace, store: AssetStore, layers: tuple[str, ...] | None = None) -> Network:
    """The network with its weights.

    Raises:
        InputError: it is unknown.
        AssetError: the weights cannot be had.
    """
    from sdbench.zoo import network_named

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


def expected_folder() -> Path:
    """The folder `expected/` of the checkout that this runs from, or of the current folder.

    Raises:
        InputError: there is none.
    """
    for root in (Path(__file__).parents[2], Path.cwd()):
        if (root / "expected").is_dir():
            return root / "expected"
    raise InputError("no folder expected/ beside the package or here; run this in a checkout of sdbench")
