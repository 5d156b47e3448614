"""Which network is meant, what it is fed, and which of its layers are read: in words, or in a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdbench.base.errors import InputError
from sdbench.base.files import read_json
from sdbench.cli.arguments import names, natural, positive

if TYPE_CHECKING:
    from sdbench.assets import AssetStore
    from sdbench.networks import Network

_FEED = (
    "frames",
    "size",
    "mean",
    "std",
    "order",
    "argument",
    "stride",
    "window",
    "short_side",
    "fit",
    "resample",
    "colours",
)
"""Fields of `sdbench.Feed` that have an option of their own."""

NETWORK = (
    "a network as `sdbench list networks` names them; hf:ID or hf:./FOLDER, torchvision:NAME, timm:NAME, "
    "pytorchvideo:NAME; or a function of your own, my_model.py:build"
)


def add_naming(parser: argparse.ArgumentParser) -> None:
    """Add what says how a network is opened."""
    parser.add_argument("--layers", type=names, help="comma-separated layers or globs, such as 'block*' (default: all)")
    parser.add_argument(
        "--axes",
        type=_axes,
        metavar="LAYER=AXES",
        help="what the axes of layers are, where that is not seen: 'rnn=TBC,blocks.*=(BT)NC'; B clips, C channels, "
        "T, H, W, N whatever else there is",
    )
    parser.add_argument("--weights", type=Path, help="a checkpoint of your own, for a network of the suite")
    parser.add_argument("--revision", help="of a hub's repository: a commit, tag or branch")
    parser.add_argument(
        "--untrained",
        nargs="?",
        const=0,
        type=natural,
        metavar="SEED",
        help="the same architecture with fresh weights (default seed: 0)",
    )
    feed = parser.add_argument_group("what the network is fed (default: what is known of it)")
    feed.add_argument("--frames", type=positive, help="frames that it sees at once; with --stylised davis: see there")
    feed.add_argument("--size", type=_size, help="pixels: 224, or height and width: 240x427")
    feed.add_argument("--mean", type=_colour, help="of colours between 0 and 1: one number, or red,green,blue")
    feed.add_argument("--colours", help="rgb (default), or bgr for networks trained with Caffe or OpenCV")
    feed.add_argument("--std", type=_colour, help="deviation of the same")
    feed.add_argument("--order", help="of the input's axes: BCTHW, BTCHW, BTHWC, or '(BT)CHW' for single frames")
    feed.add_argument("--argument", help="name of the input among the arguments of its forward")
    feed.add_argument("--stride", type=positive, help="frames of a video for each that is seen")
    feed.add_argument("--window", type=positive, help="consecutive frames that those that are seen are spread over")
    feed.add_argument("--short-side", type=positive, help="length that a frame's shorter side is brought to")
    feed.add_argument("--fit", help="crop, crops or stretch")
    feed.add_argument("--resample", help="area, bicubic, bilinear or corners")
    feed.add_argument("--feed", type=Path, metavar="FILE.json", help="the same words, --layers and --axes in a file")


def opened(options: argparse.Namespace, store: AssetStore) -> Network:
    """The network that the options name, fed as they say.

    Raises:
        InputError: the network, a layer or a word of the feed is unknown.
        AssetError: a library or the weights cannot be had.
    """
    from sdbench.zoo import network_named

    words = words_of_feed(options)
    layers = layers_said(options)
    if ":" not in options.network:
        _check_words(options, words, layers)
    return network_named(
        options.network,
        getattr(options, "trained_on", None),
        options.weights,
        store,
        layers=layers,
        feed=words,
        revision=options.revision,
        untrained=options.untrained,
        axes=axes_said(options),
    )


def _check_words(options: argparse.Namespace, words: dict[str, Any], layers: tuple[str, ...] | None) -> None:
    """See that layers and feed of a network of the suite are known before anything is fetched.

    Raises:
        InputError: they are not.
    """
    import torch

    from sdbench.networks import Network
    from sdbench.zoo import model
    from sdbench.zoo.asked import Asked

    known = model(options.network, getattr(options, "trained_on", None))
    with torch.device("meta"):
        Network(known.build(), Asked(feed=words).fed(known.feed), known.name, layers)


def words_of_feed(options: argparse.Namespace) -> dict[str, Any]:
    """Fields of `sdbench.Feed` that the options or the file of --feed give; options go before the file.

    Raises:
        InputError: the file is not there, or holds something else.
    """
    words = {name: value for name, value in _read(options.feed).items() if name not in ("layers", "axes")}
    given = {name: getattr(options, name) for name in _FEED}
    if (getattr(options, "stylised", None) or "").startswith("davis"):
        given["frames"] = None
    return words | {name: value for name, value in given.items() if value is not None}


def layers_said(options: argparse.Namespace) -> tuple[str, ...] | None:
    """Names or globs of the layers to read, from the options or the file of --feed; None where neither says any.

    Raises:
        InputError: the file is not there, or holds something else.
    """
    return options.layers or _layers_of(options.feed)


def axes_said(options: argparse.Namespace) -> dict[str, str]:
    """Name or glob of layers -> their axes, from the options and the file of --feed; options go before the file.

    Raises:
        InputError: the file is not there, or holds something else.
    """
    axes = _read(options.feed).get("axes", {})
    if not (isinstance(axes, dict) and all(isinstance(word, str) for word in axes.values())):
        raise InputError(
            f'{options.feed}: "axes" must be names of layers with their axes, {{"rnn": "TBC"}}; got {axes!r}'
        )
    return {**axes, **(options.axes or {})}


def _layers_of(path: Path | None) -> tuple[str, ...] | None:
    layers = _read(path).get("layers")
    if layers is not None and not (isinstance(layers, list) and all(isinstance(name, str) for name in layers)):
        raise InputError(f'{path}: "layers" must be a list of names or globs; got {layers!r}')
    if layers == []:
        raise InputError(f'{path}: "layers" names none; leave it out to read all of them')
    return None if layers is None else tuple(layers)


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    return read_json(path, 'expected fields of sdbench.Feed, such as {"frames": 16, "size": 224}')


def _axes(text: str) -> dict[str, str]:
    pairs = [part.strip().rpartition("=") for part in text.split(",")]
    if not all(name and axes for name, _, axes in pairs):
        raise argparse.ArgumentTypeError(f"expected layers with their axes, such as rnn=TBC,blocks.*=BNC; got {text!r}")
    return {name: axes for name, _, axes in pairs}


def _size(text: str) -> int | tuple[int, int]:
    try:
        numbers = [positive(part) for part in text.lower().split("x")]
    except argparse.ArgumentTypeError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise argparse.ArgumentTypeError(f"expected pixels such as 224 or 240x427 (height x width); got {text!r}")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _colour(text: str) -> float | tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in (1, 3):
        raise argparse.ArgumentTypeError(f"expected one number or three, red,green,blue; got {text!r}")
    return numbers[0] if len(numbers) == 1 else numbers
