"""The commands `sdbench masks`, `sdbench ablate` and `sdbench centre-bias`: video object segmentation."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from sdbench.base.outputs import add_output, numbers, write_outputs
from sdbench.base.streams import is_printed
from sdbench.cli.arguments import add_running, check_network, chosen_network, names, positive

if TYPE_CHECKING:
    from sdbench.assets import AssetStore
    from sdbench.data.segmentation import SegmentationDataset
    from sdbench.video.feed import Feed


def add_commands(commands: Any) -> None:
    """Add the commands to the parser."""
    masking = commands.add_parser("masks", help="how well a network finds the objects of DAVIS: its J mean")
    masking.add_argument("network", help="a network of video object segmentation")
    masking.add_argument("folder", metavar="DAVIS", type=Path, help="DAVIS 2016, with flow pictures (`sdbench flow`)")
    masking.add_argument(
        "--threshold", type=float, default=0.5, help="a pixel is found where its probability is above (default: 0.5)"
    )
    masking.add_argument("--flip", action="store_true", help="average with the answer to the mirror image")
    masking.add_argument("--frames", type=positive, help="at most so many frames of each sequence (default: all)")
    add_running(masking)
    masking.set_defaults(run=_masks)

    ablating = commands.add_parser("ablate", help="what masks lose when units of a layer are set to zero")
    ablating.add_argument("network", help="a network of video object segmentation")
    ablating.add_argument("folder", metavar="DAVIS", type=Path, help="DAVIS 2016, with flow pictures")
    ablating.add_argument(
        "--painted", type=Path, required=True, help="its stylised copies, on which units are told apart"
    )
    ablating.add_argument("--moca", type=Path, help="measure the masks on MoCA in this folder instead of DAVIS")
    ablating.add_argument("--layer", required=True, help="the layer, such as fusion.layer5")
    ablating.add_argument(
        "--percents", type=_percents, help="comma-separated percentages of its units (default: 5 to 70)"
    )
    ablating.add_argument("--frames", type=positive, help="at most so many frames of each sequence (default: all)")
    add_running(ablating)
    add_output(ablating, "--picture", "picture", "also draw the numbers into this PNG, SVG or PDF file")
    ablating.set_defaults(run=_ablate)

    centring = commands.add_parser("centre-bias", help="where the objects of DAVIS are: the mean of its masks")
    centring.add_argument("folder", metavar="DAVIS", type=Path, help="DAVIS 2016, or another data set in its folders")
    centring.add_argument("--split", default="val", help="which list of ImageSets/480p (default: %(default)s)")
    add_output(centring, "--picture", "picture", "draw the mean into this PNG, SVG or PDF file")
    add_output(centring, "--json", "json", "also write the numbers to this file")
    centring.set_defaults(run=_centre_bias)


def _percents(text: str) -> tuple[float, ...]:
    try:
        percents = tuple(float(part) for part in names(text))
    except (ValueError, argparse.ArgumentTypeError):
        percents = ()
    if not percents or not all(0 < percent <= 100 for percent in percents):
        raise argparse.ArgumentTypeError(f"expected percentages such as 5,10,20, above 0 and at most 100; got {text!r}")
    return percents


def _feed(options: argparse.Namespace) -> Feed:
    """What the network is fed where its masks are looked at.

    Raises:
        InputError: the network is unknown, or one of another task.
    """
    from sdbench.answers.segmenting import published_input
    from sdbench.zoo import model

    return published_input(model(options.network, options.trained_on).architecture)


def _davis(folder: Path, feed: Feed, painted: Path | None = None) -> SegmentationDataset:
    from sdbench.data import davis

    return davis(folder, painted, backward_flow=feed.flow == "both")


def _options(options: argparse.Namespace, store: AssetStore) -> dict[str, Any]:
    return {"seed": options.seed, "device": options.device, "store": store, "workers": options.workers}


def _masks(options: argparse.Namespace) -> None:
    from sdbench.answers.masks import measure_masks
    from sdbench.answers.segmenting import check_threshold
    from sdbench.assets import AssetStore
    from sdbench.engine import Finished

    check_threshold(options.threshold)
    feed, store, finished = _feed(options), AssetStore(), Finished()
    check_network(options)
    dataset = _davis(options.folder, feed)
    network = replace(chosen_network(options, store), feed=feed)
    found = measure_masks(
        network,
        dataset,
        threshold=options.threshold,
        flip=options.flip,
        frames=options.frames,
        finished=finished,
        **_options(options, store),
    )
    write_outputs((options.json, numbers(asdict(found))))
    rows = [(sequence, f"{mean:.1f}") for sequence, mean in found.sequences.items()]
    print(tabulate(rows, headers=("sequence", "J mean %"), disable_numparse=True, colalign=("left", "right")))
    span = f" [{found.interval.low:.1f}, {found.interval.high:.1f}]" if found.interval else ""
    print(f"\nJ mean of {network.name}: {found.miou:.1f} %{span}, {len(rows)} sequences, {found.frames} frames")
    if options.outputs or is_printed():
        finished.discard()


def _ablate(options: argparse.Namespace) -> None:
    from sdbench import engine, studies
    from sdbench.answers.ablation import PERCENTS, ablate
    from sdbench.answers.masks import Masks
    from sdbench.answers.moca import Boxes
    from sdbench.assets import AssetStore
    from sdbench.data.moca import MocaDataset
    from sdbench.report.ablation_picture import ablation_picture
    from sdbench.zoo import feed_of, model

    feed, store = _feed(options), AssetStore()
    check_network(options, (options.layer,))
    finished = engine.Finished()  # one interruption costs at most the part that it falls into
    where = {**_options(options, store), "finished": finished}
    if options.moca is None:
        target: Masks | Boxes = Masks(_davis(options.folder, feed))
    else:
        target = Boxes(MocaDataset(options.moca, backward_flow=feed.flow == "both"))
    _davis(options.folder, feed, options.painted)
    network = replace(chosen_network(options, store, (options.layer,)), feed=feed)
    study = studies.davis(options.folder, options.painted, frames=options.frames, store=store)
    usual = replace(network, feed=feed_of(model(options.network, options.trained_on).architecture))
    measured = engine.measure(usual, study, **where).layer(options.layer)
    found = ablate(
        network,
        target,
        options.layer,
        measured.estimate,
        percents=options.percents or PERCENTS,
        frames=options.frames,
        **where,
    )
    title = f"{network.name}, {options.layer}, {target.dataset.name}"
    write_outputs(
        (options.json, numbers(found.record())),
        (options.picture, lambda place: ablation_picture(title, found.record(), place)),
    )
    rows = [
        (
            point.selection,
            f"{point.percent:g}",
            f"{point.miou:.1f}",
            "" if point.change is None else f"{point.change:+.1f}",
        )
        for point in found.points
    ]
    headers = ("units set to zero", "percent of them", "mean IoU %", "change %")
    print(tabulate(rows, headers=headers, disable_numparse=True))
    print(
        f"\nmean IoU of the whole network: {found.miou:.1f} %, over {found.sequences} sequences, {found.frames} frames"
    )
    if options.outputs or is_printed():
        finished.discard()


def _centre_bias(options: argparse.Namespace) -> None:
    from sdbench.data import centre_bias, davis
    from sdbench.report.pictures import centre_picture

    found = centre_bias(davis(options.folder, split=options.split, flow=False))
    title = f"{found.dataset}: mean of {found.masks} masks of {found.sequences} sequences"
    write_outputs(
        (options.json, numbers(found.as_record())),
        (options.picture, lambda place: centre_picture(title, found.mean, found.centre, place)),
    )
    print(found)
