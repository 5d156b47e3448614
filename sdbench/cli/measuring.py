"""The commands `sdbench measure` and `sdbench record`: shares and units."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from sdbench.base.errors import InputError
from sdbench.base.outputs import add_output, numbers, write_outputs, writing
from sdbench.base.streams import is_printed
from sdbench.cli.arguments import add_engine, add_running, add_unchecked, device_there, names, natural, positive
from sdbench.cli.comparing import check_controls, joined, show_controls, untrained
from sdbench.cli.naming import NETWORK, add_naming, axes_said, layers_said, opened, words_of_feed

if TYPE_CHECKING:
    from sdbench.assets import AssetStore
    from sdbench.engine import Measurement, Study
    from sdbench.engine.placing import Placement
    from sdbench.networks import Network

_DOTS = ("davis_cinematograms", "davis_stereograms")
_LAYOUTS = ("activitynet", "diving48", "ssv2", "davis", *_DOTS)
_PROTOCOLS = ("published", "corrected")
_WIDTH = 80
"""Of bars where no terminal is."""
_STUDIES = ("clips", "rendered", "appearance-free")


def add_commands(commands: Any) -> None:
    """Add the commands to the parser."""
    measuring = commands.add_parser("measure", help="measure a network on rendered scenes, or on your own videos")
    measuring.add_argument("network", help=NETWORK)
    measuring.add_argument(
        "folder", type=Path, nargs="?", help="folder of videos, or of folders of frames (default: rendered scenes)"
    )
    measuring.add_argument(
        "--study",
        choices=_STUDIES,
        help="clips: painted and shuffled; rendered: nothing but the network is needed; appearance-free: noise that "
        "moves as your videos do (default: clips of a folder, else rendered)",
    )
    measuring.add_argument("--scenes", type=positive, help="how many scenes are rendered (default: as many as needed)")
    measuring.add_argument(
        "--pairs", type=positive, help="pairs of each factor (default: as many as there are videos for)"
    )
    measuring.add_argument(
        "--styles", type=names, help="comma-separated styles (default: those of `sdbench list styles`)"
    )
    measuring.add_argument(
        "--skip-unusable", action="store_true", help="leave out videos that cannot be used and list them"
    )
    measuring.add_argument(
        "--stylised",
        choices=_LAYOUTS,
        help="the folder is a stylised data set in this layout: measure it with the paper's protocol",
    )
    measuring.add_argument(
        "--protocol",
        choices=_PROTOCOLS,
        help="of a stylised data set: with the published code's quirks, or without (default: published)",
    )
    measuring.add_argument(
        "--painted",
        type=Path,
        help="of davis: Stylized DAVIS, or what `sdbench stylize --layout davis` made; "
        "then --frames is at most so many frames of each sequence (default: all). "
        "Of its cinematograms and stereograms: where their styles lie, if not beside them",
    )
    measuring.add_argument("--draws", type=positive, help="of davis: pairs of each sequence and seed (default: 5)")
    add_running(measuring)
    add_naming(measuring)
    add_engine(measuring)
    measuring.add_argument(
        "--controls",
        action="store_true",
        help="also measure the network untrained, with three seeds, and say what training did",
    )
    add_output(measuring, "--picture", "picture", "also draw the numbers into this PNG, SVG or PDF file")
    add_output(measuring, "--html", "html", "also write a page to look at, with what was shown")
    measuring.set_defaults(run=_measure)

    merging = commands.add_parser("merge", help="put a measurement together that was done in slices")
    merging.add_argument("key", help="of the measurement, or its first digits, as `sdbench measure --slice` says it")
    add_output(merging, "--json", "json", "also write the numbers to this file")
    add_output(merging, "--picture", "picture", "also draw the numbers into this PNG, SVG or PDF file")
    add_output(merging, "--html", "html", "also write a page to look at")
    merging.add_argument("--forget", action="store_true", help="delete the parts when all is written")
    merging.set_defaults(run=_merge)

    recording = commands.add_parser("record", help="record expected values of a network, to notice when they move")
    recording.add_argument("network", help=NETWORK)
    recording.add_argument(
        "study",
        help="packaged, rendered-2 or another packaged data set; rendered-2:SCENES; a folder of videos; "
        "appearance-free:FOLDER, stylised:LAYOUT:FOLDER or davis:FOLDER:PAINTED",
    )
    add_output(recording, "output", "json", "the file of expected values to write")
    recording.add_argument("--trained-on", help="which weights (default: the first known; filled: made-up ones)")
    recording.add_argument("--seeds", type=positive, default=3, help="how many seeds, from 0 (default: 3)")
    recording.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("SDBENCH_DATA"),
        help="folder of your data sets: what lies below it may lie elsewhere on other machines (default: SDBENCH_DATA)",
    )
    add_unchecked(recording)
    recording.add_argument("--device", default="cpu", help="where the network runs (default: cpu)")
    recording.add_argument("--workers", type=natural, help="processes that draw samples ahead (default: one a core)")
    add_naming(recording)
    recording.set_defaults(run=_record)


def _measure(options: argparse.Namespace) -> None:
    from sdbench import engine
    from sdbench.assets import AssetStore
    from sdbench.engine.placing import Placement
    from sdbench.suite.here import runner_for

    store = AssetStore()
    _check_words(options)
    check_controls(options)
    placement = Placement(options.device, options.precision, options.compile)
    if options.slice is not None:
        _measure_slice(options, store, placement)
        return
    runner = runner_for(options.ray, options.workers, options.gpus_per_worker, options.device)
    network, study = _chosen(options, store)
    fresh = untrained(options, store) if options.controls else []
    finished = engine.Finished()  # parts go when all is written

    def measured(network: Network) -> Measurement:
        return engine.measure(
            network,
            study,
            seed=options.seed,
            device=placement.device,
            precision=placement.precision,
            compiling=placement.compiling,
            store=store,
            workers=options.workers if runner is None else None,
            runner=runner,
            finished=finished,
            batch_size=options.batch_size,
            unchecked=options.unchecked,
        )

    found = measured(network)
    _show(options, found, [joined([measured(one()) for one in fresh])] if fresh else [], (network, study))
    if options.outputs or is_printed():
        finished.discard()


def _measure_slice(options: argparse.Namespace, store: AssetStore, placement: Placement) -> None:
    """Do the parts of a slice, and say how all of them are merged.

    Raises:
        InputError: there is no such slice, or other options do not go with one.
    """
    from sdbench.engine.measuring import prepare
    from sdbench.engine.running import OneProcess
    from sdbench.engine.slices import Slice, measure_slice

    chosen = Slice(*options.slice)
    for option in ("ray", "json", "picture", "html"):
        if getattr(options, option) is not None:
            raise InputError(
                f"--{option} does not go with --slice: "
                + (
                    "a cluster does all parts"
                    if option == "ray"
                    else "a slice has no numbers yet; give it to sdbench merge"
                )
            )
    network, study = _chosen(options, store)
    prepared = prepare(network, study, None, options.seed, 0.5, placement, store, options.batch_size, options.unchecked)
    if not prepared.checked.steady:
        raise InputError(f"{prepared.checked.wrong}: slices of it would not be slices of one measurement")
    print(measure_slice(prepared, chosen, OneProcess(options.workers)))


def _merge(options: argparse.Namespace) -> None:
    from sdbench.engine.slices import forget_slices, merge_slices

    _show(options, merge_slices(options.key))
    if options.forget and (options.outputs or is_printed()):
        forget_slices(options.key)


def _show(
    options: argparse.Namespace,
    found: Measurement,
    controls: Sequence[Measurement] = (),
    measured: tuple[Network, Study] | None = None,
) -> None:
    """Write a measurement and what its controls say to the files that were named, and then print both.

    What was measured is told where it is known here: of what other processes did, only the sums are.
    """
    from sdbench.report.markdown import measurement_sentence
    from sdbench.report.panels import panel_of
    from sdbench.report.terminal import bar_lines, fitting, plain

    _write(options, found, controls, measured)
    # What is not shown on a screen is a file or a pipe, which has no width.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    tables = [measurement_table(found, most) for most in (4, 3, 2, 1)]
    print(fitting(tables, width or sys.maxsize))
    print()
    panel = panel_of(found)
    shares = {name: layer["shares"] for name, layer in panel.layers.items()}
    print("\n".join(bar_lines(shares, width or _WIDTH, sys.stdout.encoding)))
    print()
    for sentence in (panel.variance_sentence, *disagreements(found)):
        if sentence:
            print(plain(sentence.replace("\N{NO-BREAK SPACE}", " ")))
            print()
    print(plain(panel.sentence.replace("\N{NO-BREAK SPACE}", " ")))
    print()
    print(measurement_sentence(found.as_record()))
    for control in controls:
        show_controls(found, control)


def _write(
    options: argparse.Namespace,
    found: Measurement,
    controls: Sequence[Measurement],
    measured: tuple[Network, Study] | None,
) -> None:
    """Write a measurement to the files that were named."""
    from sdbench.engine.written import content_of

    content = content_of(found, controls)

    def picture(place: Path) -> None:
        from sdbench.report.atlas import atlas_picture
        from sdbench.report.outcome import outcome_of
        from sdbench.report.pictures import layers_picture

        if controls:
            atlas_picture([outcome_of(content)], place)
        else:
            layers_picture(f"{found.network} on {found.dataset}", content["layers"], place)

    def page(place: Path) -> None:
        from sdbench.report import measurements_page
        from sdbench.suite.showing import shown

        pictures = [] if measured is None else [shown(measured[1], measured[0].feed, options.seed)]
        measurements_page([found, *controls], place, pictures)

    write_outputs((options.json, numbers(content)), (options.picture, picture), (options.html, page))


def _chosen(options: argparse.Namespace, store: AssetStore) -> tuple[Network, Study]:
    """The network, and what it is shown; of what is known of either, mistakes are seen before anything is fetched."""
    from sdbench.zoo import model

    device_there(options)
    of_the_suite = ":" not in options.network
    if of_the_suite:
        _check_flow(options, model(options.network, options.trained_on).feed.flow is not None)
    study = _study(options, store)
    network = opened(options, store)
    if not of_the_suite:
        _check_flow(options, network.feed.flow is not None)
    return network, study


def _check_flow(options: argparse.Namespace, sees_flow: bool) -> None:
    """See that a network that sees flow is shown some.

    Raises:
        InputError: it is not, or flow is shown to one that sees none.
    """
    named = f"sdbench measure {options.network}"
    if options.folder is None:
        return  # flow is rendered too
    if sees_flow and options.stylised not in _DOTS and (options.stylised != "davis" or options.painted is None):
        raise InputError(
            f"{options.network} sees painted frames with their optical flow: {named} DAVIS --stylised davis "
            "--painted STYLISED_DAVIS (see `sdbench flow` and `sdbench stylize --layout davis`)"
        )
    if not sees_flow and options.stylised in ("davis", *_DOTS):
        raise InputError(f"{options.network} sees videos without flow: {named} FOLDER, or FOLDER --stylised ssv2")


def _check_words(options: argparse.Namespace) -> None:
    """See that the options go together, and that the folder is there, before anything is fetched.

    Raises:
        InputError: they do not, or it is not.
    """
    rendered = options.study == "rendered" or options.folder is None
    if options.study not in (None, "rendered") and options.folder is None:
        raise InputError(f"--study {options.study} is made of videos: sdbench measure {options.network} FOLDER")
    if options.study == "rendered" and options.folder is not None:
        raise InputError("rendered scenes need no folder: leave it out, or choose --study clips or appearance-free")
    if options.scenes is not None and not rendered:
        raise InputError("--scenes goes with rendered scenes: leave out the folder")
    of_folders = (
        *("pairs", "styles", "stylised", "protocol", "painted", "draws"),
        *("skip_unusable", "window", "stride", "short_side"),
    )
    if rendered and (given := [name for name in of_folders if getattr(options, name)]):
        raise InputError(
            f"--{given[0].replace('_', '-')} goes with a folder of videos: sdbench measure {options.network} FOLDER"
        )
    if options.study is not None and options.stylised:
        raise InputError("--stylised is a study of its own: leave out --study")
    if options.study == "appearance-free" and options.styles:
        raise InputError("appearance-free clips are painted in no style: leave out --styles")
    of_davis = options.stylised in ("davis", *_DOTS)
    if of_davis and options.pairs is not None:
        raise InputError("of davis every frame gives pairs: say with --frames how many of each sequence are used")
    for name in ("painted", "draws"):
        if not of_davis and getattr(options, name) is not None:
            raise InputError(f"--{name} goes with --stylised davis")
    if options.stylised and options.styles:
        raise InputError("a stylised data set has its own styles: leave out --styles")
    if options.protocol and not options.stylised:
        raise InputError("--protocol goes with --stylised; your own videos are painted and balanced")
    if options.folder is not None and not options.folder.is_dir():
        raise InputError(f"no folder at {options.folder}; expected one with videos, or a stylised data set")


def _study(options: argparse.Namespace, store: AssetStore) -> Study:
    """What the network is shown, as the options say."""
    from sdbench import studies
    from sdbench.video.paint import DEFAULT_STYLES

    if options.folder is None:
        return studies.rendered(options.scenes)
    common: dict[str, Any] = {"skip_unusable": options.skip_unusable, "store": store}
    if options.study == "appearance-free":
        return studies.appearance_free(options.folder, pairs=options.pairs, **common)
    if not options.stylised:
        return studies.clips(options.folder, styles=options.styles or DEFAULT_STYLES, pairs=options.pairs, **common)
    common["protocol"] = options.protocol or _PROTOCOLS[0]
    of_davis = common | {"frames": options.frames} | ({} if options.draws is None else {"draws": options.draws})
    if options.stylised == "davis":
        return studies.davis(options.folder, options.painted, **of_davis)
    if options.stylised in _DOTS:
        return studies.davis_dots(options.stylised, options.folder, options.painted, **of_davis)
    return studies.stylised(options.stylised, options.folder, pairs=options.pairs, **common)


def measurement_table(found: Measurement, most: int = 4) -> str:
    """What every layer encodes, with half-widths of 95 % intervals if there are any; the first `most` of the groups.

    The groups: parts of variance (of crossed scenes) or layer scores, shares as the paper has them, unit classes, and
    the level of chance of the parts.
    """
    from sdbench.report.terminal import plain
    from sdbench.statistics.quantities import Reading

    rows: list[list[str]] = []
    headers: list[str] = []
    for name in found.layers:
        layer = found.layer(name)
        row, headers = [plain(name), str(len(layer.estimate.unit_labels))], ["layer", "units"]
        readings = [(quantity, layer.read(quantity)) for quantity in layer.quantities]
        if layer.variance is not None and layer.variance.chance is not None:
            readings.append(("chance", Reading(layer.variance.chance, generalisation=layer.variance.chance_intervals)))
        for quantity, reading in readings[:most]:
            for key, value in reading.values.items():
                interval = reading.generalisation[key] if reading.generalisation else None
                shown = f"{value:.2f}" if quantity == "scores" else f"{value:.1f}"
                row.append(shown + (f" ±{interval.half_width:.1f}" if interval else ""))
                headers.append(f"{key}\n{_HEADERS[quantity]}")
        rows.append(row)
    return tabulate(rows, headers=headers, disable_numparse=True, stralign="right", colalign=("left",))


_HEADERS = {
    "variance": "variance %",
    "scores": "score",
    "shares": "share %",
    "units": "units %",
    "chance": "by chance %",
}


def disagreements(found: Measurement) -> list[str]:
    """Of each layer whose parts of variance are others with every unit counted alike, a sentence that says so."""
    sentences = []
    for name in found.layers:
        variance = found.layer(name).variance
        if variance is not None and variance.disagreeing:
            of = ", ".join(
                f"{part} {variance.parts[part]:.1f} % and {variance.by_unit[part]:.1f} %"
                for part in variance.disagreeing
            )
            sentences.append(
                f"At {name} the variance of the layer and that of the mean unit differ by more than their intervals: "
                f"{of}. Units that vary most count most in the first, and all alike in the second."
            )
    return sentences


def _record(options: argparse.Namespace) -> None:
    from sdbench.suite.recording import ToRecord, record_values

    device_there(options)
    wanted = ToRecord(
        options.network,
        options.study,
        options.seeds,
        trained_on=options.trained_on,
        weights=options.weights,
        revision=options.revision,
        untrained=options.untrained,
        layers=layers_said(options),
        feed=words_of_feed(options),
        axes=axes_said(options),
        unchecked=options.unchecked,
        data=options.data,
        device=options.device,
        workers=options.workers,
    )
    with writing(options.output) as place:
        record_values(wanted, place, Path(__file__).parents[2])
    print(f"wrote {options.output}")
