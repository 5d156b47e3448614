"""The commands `sdbench masks`, `sdbench ablate` and `sdbench centre-bias`: video object segmentation."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from sdbench.cli.arguments import add_running, chosen_network, names, output, positive, write_json, writing

if TYPE_CHECKING:
    from sdbench.assets import AssetStore
    from sdbench.data.segmentation import SegmentationDataset
    from sdbench.networks import Network


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
    ablating.add_argument("--picture", type=output, help="also draw the numbers into this PNG file")
    ablating.set_defaults(run=_ablate)

    centring = commands.add_parser("centre-bias", help="where the objects of DAVIS are: the mean of its masks")
    centring.add_argument("folder", metavar="DAVIS", type=Path, help="DAVIS 2016, or another data set in its folders")
    centring.add_argument("--split", default="val", help="which list of ImageSets/480p (default: %(default)s)")
    centring.add_argument("--picture", type=output, help="draw the mean into this PNG file")
    centring.add_argument("--json", type=output, help="also write the numbers to this file")
    centring.set_defaults(run=_centre_bias)


def _percents(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in names(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected percentages such as 5,10,20; got {text!r}") from None


def _segmenter(options: argparse.Namespace, store: AssetStore, layers: tuple[str, ...] | None = None) -> Network:
    """The network, fed as it is where its masks are looked at; one of another task is refused before it is fetched."""
    from sdbench.answers.segmenting import published_input
    from sdbench.zoo import model

    feed = published_input(model(options.network, options.trained_on).architecture)
    return replace(chosen_network(options, store, layers), feed=feed)


def _davis(options: argparse.Namespace, network: Network) -> SegmentationDataset:
    from sdbench.data import davis

    return davis(options.folder, backward_flow=network.feed.flow == "both")


def _options(options: argparse.Namespace, store: AssetStore) -> dict[str, Any]:
    return {"seed": options.seed, "device": options.device, "store": store, "workers": options.workers}


def _masks(options: argparse.Namespace) -> None:
    from sdbench.answers.masks import measure_masks
    from sdbench.answers.segmenting import check_threshold
    from sdbench.assets import AssetStore

    check_threshold(options.threshold)
    store = AssetStore()
    network = _segmenter(options, store)
    found = measure_masks(
        network,
        _davis(options, network),
        threshold=options.threshold,
        flip=options.flip,
        frames=options.frames,
        **_options(options, store),
    )
    rows = [(sequence, f"{mean:.1f}") for sequence, mean in found.sequences.items()]
    print(tabulate(rows, headers=("sequence", "J mean %"), disable_numparse=True, colalign=("left", "right")))
    span = f" [{found.interval.low:.1f}, {found.interval.high:.1f}]" if found.interval else ""
    print(f"\nJ mean of {network.name}: {found.miou:.1f} %{span}, {len(rows)} sequences, {found.frames} frames")
    write_json(options.json, asdict(found))


def _ablate(options: argparse.Namespace) -> None:
    from sdbench import engine, studies
    from sdbench.answers.ablation import PERCENTS, ablate
    from sdbench.answers.masks import Masks
    from sdbench.answers.moca import Boxes
    from sdbench.assets import AssetStore
    from sdbench.data.moca import MocaDataset
    from sdbench.report.ablation_picture import ablation_picture
    from sdbench.zoo import feed_of, model

    store = AssetStore()
    network = _segmenter(options, store, (options.layer,))
    finished = engine.Finished()  # one interruption costs at most the part that it falls into
    where = {**_options(options, store), "finished": finished}
    if options.moca is None:
        target: Masks | Boxes = Masks(_davis(options, network))
    else:
        target = Boxes(MocaDataset(options.moca, backward_flow=network.feed.flow == "both"))
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
    finished.discard()
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
    write_json(options.json, found.record())
    if options.picture is not None:
        with writing(options.picture):
            title = f"{network.name}, {options.layer}, {target.dataset.name}"
            ablation_picture(title, found.record(), options.picture)


def _centre_bias(options: argparse.Namespace) -> None:
    from sdbench.data import centre_bias, davis
    from sdbench.report.pictures import centre_picture

    found = centre_bias(davis(options.folder, split=options.split, flow=False))
    print(found)
    write_json(options.json, found.as_record())
    if options.picture is not None:
        with writing(options.picture):
            title = f"{found.dataset}: mean of {found.masks} masks of {found.sequences} sequences"
            centre_picture(title, found.mean, found.centre, options.picture)
