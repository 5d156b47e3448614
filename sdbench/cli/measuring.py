"""The commands `sdbench measure`, `sdbench record` and `sdbench centre-bias`: numbers."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from sdbench.base.errors import InputError
from sdbench.cli.arguments import names

if TYPE_CHECKING:
    from sdbench.assets import AssetStore
    from sdbench.engine import Measurement, Study
    from sdbench.networks import Network


def add_commands(commands: Any) -> None:
    """Add the commands to the parser."""
    measuring = commands.add_parser("measure", help="measure a network on your own videos")
    measuring.add_argument("network", help="a network as `sdbench list networks` names them")
    measuring.add_argument("folder", type=Path, help="folder of videos, or of folders of frames")
    measuring.add_argument("--layers", type=names, help="comma-separated layers (default: all)")
    measuring.add_argument(
        "--skip-unusable", action="store_true", help="leave out videos that cannot be used and list them"
    )
    measuring.add_argument("--json", type=Path, help="also write the numbers to this file")
    measuring.add_argument("--picture", type=Path, help="also draw them into this PNG file")
    _add_protocol(measuring)
    measuring.add_argument("--trained-on", help="which weights of the network (default: the first known)")
    measuring.add_argument(
        "--stylised",
        choices=("activitynet", "diving48", "ssv2", "davis"),
        help="the folder is a stylised data set in this layout: measure it with the paper's protocol",
    )
    measuring.add_argument(
        "--painted", type=Path, help="of davis: Stylized DAVIS, or what `sdbench stylize --layout davis` made"
    )
    measuring.add_argument(
        "--frames", type=int, help="of davis: at most so many frames of each sequence (default: all)"
    )
    measuring.add_argument(
        "--protocol",
        choices=("published", "corrected"),
        default="published",
        help="of a stylised data set: with the published code's quirks, or without (default: published)",
    )
    measuring.add_argument("--seed", type=int, default=0, help="seed of every random draw (default: 0)")
    measuring.add_argument("--workers", type=int, help="processes that draw samples ahead (default: one a core)")
    measuring.set_defaults(run=_measure)

    ablating = commands.add_parser("ablate", help="what masks lose when units of a layer are set to zero")
    ablating.add_argument("network", help="a network of video object segmentation")
    ablating.add_argument("folder", type=Path, help="DAVIS 2016, with flow pictures")
    ablating.add_argument(
        "--painted", type=Path, required=True, help="its stylised copies, on which units are told apart"
    )
    ablating.add_argument("--moca", type=Path, help="measure the masks on MoCA in this folder instead of DAVIS")
    ablating.add_argument("--layer", required=True, help="the layer, such as fusion.layer5")
    ablating.add_argument(
        "--percents", type=_percents, help="comma-separated percentages of its units (default: 5 to 70)"
    )
    ablating.add_argument("--frames", type=int, help="at most so many frames of each sequence (default: all)")
    ablating.add_argument("--trained-on", help="which weights of the network (default: the first known)")
    ablating.add_argument("--seed", type=int, default=0, help="seed of every random draw (default: 0)")
    ablating.add_argument("--device", default="cpu", help="where the network runs (default: cpu)")
    ablating.add_argument("--json", type=Path, help="also write the numbers to this file")
    ablating.add_argument("--picture", type=Path, help="also draw them into this PNG file")
    ablating.set_defaults(run=_ablate)

    recording = commands.add_parser("record", help="record expected values of a network on a packaged data set")
    recording.add_argument("network", help="a network as `sdbench list networks` names them")
    recording.add_argument("dataset", help="a data set that needs nothing of your own: packaged")
    recording.add_argument("output", type=Path, help="the file of expected values to write")
    recording.add_argument("--trained-on", help="which weights (default: the first known; filled: made-up ones)")
    recording.add_argument("--seeds", type=int, default=10, help="how many seeds, from 0 (default: 10)")
    recording.set_defaults(run=_record)

    centring = commands.add_parser("centre-bias", help="where the objects of DAVIS are: the mean of its masks")
    centring.add_argument("folder", metavar="FOLDER", type=Path, help="DAVIS 2016, or another data set in its folders")
    centring.add_argument("--split", default="val", help="which list of ImageSets/480p (default: %(default)s)")
    centring.add_argument("--picture", type=Path, help="draw the mean into this PNG file")
    centring.add_argument("--json", type=Path, help="also write the numbers to this file")
    centring.set_defaults(run=_centre_bias)


def _add_protocol(parser: argparse.ArgumentParser) -> None:
    from sdbench.video.paint import DEFAULT_STYLES

    parser.add_argument("--pairs", type=int, help="pairs of each factor (default: one of each a clip)")
    parser.add_argument(
        "--styles", type=names, default=DEFAULT_STYLES, help="comma-separated styles (default: %(default)s)"
    )
    parser.add_argument("--device", default="cpu", help="where the network runs (default: cpu)")


def _measure(options: argparse.Namespace) -> None:
    from sdbench import engine
    from sdbench.assets import AssetStore
    from sdbench.base.files import write_text
    from sdbench.report.markdown import measurement_sentence
    from sdbench.suite import layer_values

    store = AssetStore()
    study = _study(options, store)
    found = engine.measure(
        _network(options, store),
        study,
        seed=options.seed,
        device=options.device,
        store=store,
        workers=options.workers,
    )
    print(measurement_table(found))
    print()
    print(measurement_sentence(found.as_record()))
    if options.json is not None:
        content = {"measurement": found.as_record(), "layers": layer_values(found)}
        write_text(options.json, json.dumps(content, indent=1) + "\n")
    if options.picture is not None:
        from sdbench.report.pictures import layers_picture

        layers_picture(f"{found.network} on {found.dataset}", layer_values(found), options.picture)


def _network(options: argparse.Namespace, store: AssetStore) -> Network:
    """The network with its weights; that its layers are known is seen before anything is fetched."""
    import torch

    from sdbench.networks import Network
    from sdbench.zoo import model, network_named

    known = model(options.network, options.trained_on)
    with torch.device("meta"):
        Network(known.build(), known.feed, known.name, options.layers)
    network = network_named(options.network, options.trained_on, store=store)
    return replace(network, layers=options.layers) if options.layers else network


def _study(options: argparse.Namespace, store: AssetStore) -> Study:
    """What the network is shown, as the options say."""
    from sdbench import studies
    from sdbench.zoo import model

    sees_flow = model(options.network, options.trained_on).feed.flow is not None
    if sees_flow != (options.stylised == "davis") and (sees_flow or options.stylised):
        wanted = "frames with their optical flow" if sees_flow else "videos"
        raise InputError(
            f"{options.network} sees {wanted}: sdbench measure {options.network} "
            + ("DAVIS --stylised davis --painted STYLISED_DAVIS" if sees_flow else "FOLDER --stylised LAYOUT")
            + " (see `sdbench flow` and `sdbench stylize`)"
        )
    if options.stylised == "davis":
        return _davis(options, store)
    if options.frames is not None or options.painted is not None:
        raise InputError("--frames and --painted go with --stylised davis")
    if not options.folder.is_dir():
        raise InputError(f"no folder at {options.folder}; expected one with videos, or a stylised data set")
    common = {"pairs": options.pairs, "skip_unusable": options.skip_unusable, "store": store}
    if options.stylised:
        return studies.stylised(options.stylised, options.folder, protocol=options.protocol, **common)
    return studies.clips(options.folder, styles=options.styles, **common)


def _davis(options: argparse.Namespace, store: AssetStore) -> Study:
    from sdbench import studies

    if options.painted is None:
        raise InputError(
            f"{options.network} sees painted frames with their optical flow: sdbench measure {options.network} DAVIS "
            "--stylised davis --painted STYLISED_DAVIS (see `sdbench flow` and `sdbench stylize --layout davis`)"
        )
    if options.pairs is not None:
        raise InputError("of davis every frame gives pairs: say with --frames how many of each sequence are used")
    return studies.davis(
        options.folder,
        options.painted,
        protocol=options.protocol,
        frames=options.frames,
        skip_unusable=options.skip_unusable,
        store=store,
    )


def _percents(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in names(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected percentages such as 5,10,20; got {text!r}") from None


def _ablate(options: argparse.Namespace) -> None:
    from sdbench import engine, studies
    from sdbench.answers.ablation import PERCENTS, ablate
    from sdbench.answers.masks import Masks
    from sdbench.answers.moca import Boxes
    from sdbench.answers.segmenting import Task, published_input
    from sdbench.assets import AssetStore
    from sdbench.base.files import write_text
    from sdbench.data import davis
    from sdbench.data.moca import MocaDataset
    from sdbench.report.ablation_picture import ablation_picture
    from sdbench.zoo import model

    known = model(options.network, options.trained_on)
    store = AssetStore()
    options.layers = [options.layer]
    network = _network(options, store)
    backward = known.feed.flow == "both"
    task: Task
    if options.moca is not None:
        task = Boxes(MocaDataset(options.moca, backward_flow=backward))
    else:
        task = Masks(davis(options.folder, backward_flow=backward))
    common: dict[str, Any] = {"seed": options.seed, "device": options.device, "store": store}
    study = studies.davis(options.folder, options.painted, frames=options.frames, store=store)
    measured = engine.measure(network, study, **common).layer(options.layer)
    found = ablate(
        replace(network, feed=published_input(known.architecture)),
        task,
        options.layer,
        measured.estimate,
        percents=options.percents or PERCENTS,
        frames=options.frames,
        **common,
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
    print(
        tabulate(
            rows, headers=("units set to zero", "percent of them", "mean IoU %", "change %"), disable_numparse=True
        )
    )
    print(
        f"\nmean IoU of the whole network: {found.miou:.1f} %, over {found.sequences} sequences, {found.frames} frames"
    )
    if options.json is not None:
        write_text(options.json, json.dumps(found.record(), indent=1, allow_nan=False) + "\n")
    if options.picture is not None:
        ablation_picture(f"{known.name}, {options.layer}, {task.dataset.name}", found.record(), options.picture)


def measurement_table(found: Measurement) -> str:
    """Shares and unit classes of every layer, with half-widths of their 95 % intervals where there are any."""
    from sdbench.statistics import CLASS_NAMES, SHARE_NAMES

    rows: list[list[Any]] = []
    for name in found.layers:
        layer = found.layer(name)
        row: list[Any] = [name, len(layer.estimate.unit_labels)]
        for quantity, parts in (("shares", SHARE_NAMES), ("units", CLASS_NAMES)):
            reading = layer.read(quantity)
            for key in parts:
                interval = reading.intervals[key] if reading.intervals else None
                row.append(f"{reading.values[key]:.1f}" + (f" ±{interval.half_width:.1f}" if interval else ""))
        rows.append(row)
    headers = ["layer", "units", *(f"{n}\nshare %" for n in SHARE_NAMES), *(f"{n}\nunits %" for n in CLASS_NAMES)]
    return tabulate(rows, headers=headers, disable_numparse=True, stralign="right", colalign=("left",))


def _record(options: argparse.Namespace) -> None:
    from sdbench.suite.recording import record_values

    record_values(
        options.network, options.dataset, options.output, options.seeds, Path(__file__).parents[2], options.trained_on
    )
    print(f"wrote {options.output}")


def _centre_bias(options: argparse.Namespace) -> None:
    from sdbench.base.files import write_text
    from sdbench.data.centre import centre_bias
    from sdbench.data.davis2016 import davis

    found = centre_bias(davis(options.folder, split=options.split, flow=False))
    print(found)
    if options.json is not None:
        write_text(options.json, json.dumps(found.as_record(), indent=1) + "\n")
    if options.picture is not None:
        from sdbench.report.pictures import centre_picture

        title = f"{found.dataset}: mean of {found.masks} masks of {found.sequences} sequences"
        centre_picture(title, found.mean, found.centre, options.picture)
