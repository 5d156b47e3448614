"""How far the shares of every network move when its passes are compiled, or made in bfloat16.

    python benchmarks/compare_precision.py [--networks i3d,x3d_m] [--scenes 8] [--device cpu]

Each network sees rendered scenes in its own number of frames and size (networks of video object segmentation, which are
slow on a CPU, in half the size unless --whole): once in float32 as it stands, once compiled,
once in bfloat16. Printed are the largest difference of any share of any layer, in points, and how the seconds compare
without compiling. Networks whose weights a package serves have those; all others have the suite's made-up weights:
what trained ones do is to be measured where they are at hand.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from tabulate import tabulate

from sdbench import Measurement, Network, build, studies
from sdbench.assets import AssetStore
from sdbench.engine import measure
from sdbench.engine.placing import PRECISIONS
from sdbench.networks import network_names
from sdbench.networks.filled import fill_state_dict
from sdbench.zoo import feed_of, network_named

SERVED = ("i3d_inception", "transnetv2")
"""Networks whose weights come with a package."""

HEADERS = ("network", "weights", "layers", "compiled: points", "bfloat16: points", "bfloat16: ratio of seconds", "said")


def main() -> None:
    """Measure each network, print a row for it as soon as it is known, and the table at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(network_names()), help="comma-separated (default: all)")
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--whole", action="store_true", help="segmentation at its whole size too")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--without", choices=("compiled", *PRECISIONS[1:]), action="append", default=[])
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        store = AssetStore(Path(folder), quiet=True)
        for name in options.networks.split(","):
            rows.append(tuple(row(name, store, options)))
            print(*rows[-1], sep=" | ", flush=True)
    print(tabulate(rows, headers=HEADERS, tablefmt="github"))


def row(name: str, store: AssetStore, options: argparse.Namespace) -> Iterator[object]:
    """What `HEADERS` name of one network."""
    network = network_of(name)
    if network.feed.flow is not None and not options.whole:
        height, width = network.feed.height_and_width
        network = replace(network, feed=replace(network.feed, size=(height // 2, width // 2)))
    study = studies.rendered(options.scenes)

    def run(compiling: str, precision: str) -> tuple[Measurement, float]:
        started = time.perf_counter()
        found = measure(
            network, study, device=options.device, precision=precision, compiling=compiling, store=store, workers=0
        )
        return found, time.perf_counter() - started

    exact, seconds = run("off", "float32")
    yield name
    yield "trained" if name in SERVED else "made up"
    yield len(exact.layers)
    said = ""
    if "compiled" in options.without:
        yield ""
    else:
        compiled, _ = run("on", "float32")
        said = compiled.compiled
        yield f"{moved(exact, compiled):.5f}"
    if "bfloat16" in options.without:
        yield from ("", "")
    else:
        coarse, faster = run("off", "bfloat16")
        yield f"{moved(exact, coarse):.3f}"
        yield f"{seconds / faster:.2f}"
    yield said


def network_of(name: str) -> Network:
    """A network of the suite, with trained weights where a package serves them."""
    if name in SERVED:
        return network_named(name)
    torch.manual_seed(0)
    module = build(name)
    fill_state_dict(module, 0)
    return Network(module, feed_of(name), name)


def moved(one: Measurement, other: Measurement) -> float:
    """The largest difference of a share of any layer, in points."""
    return max(
        abs(one.layer(layer).estimate.shares[share] - other.layer(layer).estimate.shares[share])
        for layer in one.layers
        for share in ("dynamic", "static", "residual")
    )


if __name__ == "__main__":
    main()
