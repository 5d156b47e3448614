"""The command `sdbench`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from sdbench import __version__
from sdbench.errors import AssetError, InputError, SdbenchError
from sdbench.history.command import add_parser as add_history

if TYPE_CHECKING:
    from sdbench.measure import Measurement


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status.

    0, 1 after an error that the user can act on, 130 after Ctrl-C; `sdbench history compare` also 3 for a regression.
    """
    options = _parser().parse_args(arguments)
    try:
        status: int | None = options.run(options)
    except SdbenchError as error:
        print(f"sdbench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("sdbench: interrupted; what was done is kept, run the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader has seen enough; Python would complain once more on exit
        return 0
    return status or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sdbench",
        description=(
            "Measure how much of what a video network encodes is static (seen in one frame) or dynamic (needs several)."
        ),
    )
    parser.add_argument("--version", action="version", version=f"sdbench {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="networks, layers, styles, assets and cases")
    listing.add_argument("what", nargs="?", choices=list(_LISTINGS), help="only one kind (default: all)")
    listing.set_defaults(run=_list)

    fetching = commands.add_parser("fetch", help="download and verify assets")
    fetching.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="assets as `sdbench list assets` names them, or groups of them: packaged (the default), action, vos",
    )
    fetching.add_argument(
        "--from", dest="file", type=Path, help="take the one asset NAME from this local file or archive"
    )
    fetching.set_defaults(run=_fetch)

    measuring = commands.add_parser("measure", help="measure a network on your own videos")
    measuring.add_argument("network", help="a network as `sdbench list networks` names them")
    measuring.add_argument("folder", type=Path, help="folder of videos, or of folders of frames")
    measuring.add_argument("--layers", type=_names, help="comma-separated layers (default: all)")
    measuring.add_argument(
        "--skip-unusable", action="store_true", help="leave out videos that cannot be used and list them"
    )
    measuring.add_argument("--json", type=Path, help="also write the numbers to this file")
    measuring.add_argument("--picture", type=Path, help="also draw them into this PNG file")
    _add_protocol(measuring)
    measuring.add_argument("--trained-on", help="which weights of the network (default: the first known)")
    measuring.add_argument(
        "--stylised",
        choices=("activitynet", "diving48", "ssv2"),
        help="the folder is a stylised data set in this layout: measure it with the paper's protocol",
    )
    measuring.add_argument(
        "--protocol",
        choices=("published", "corrected"),
        default="published",
        help="of a stylised data set: with the published code's quirks, or without (default: published)",
    )
    measuring.add_argument("--seed", type=int, default=0, help="seed of every random draw (default: 0)")
    measuring.set_defaults(run=_measure)

    stylising = commands.add_parser("stylize", help="make the four stylised copies of videos that the protocol needs")
    stylising.add_argument("source", metavar="SRC", type=Path, help="folder of videos, or of folders of frames")
    stylising.add_argument("target", metavar="DST", type=Path, help="folder that will hold style_1 to style_4")
    stylising.add_argument(
        "--styles", type=_names, help="four comma-separated styles (default: those of `sdbench list styles`)"
    )
    stylising.add_argument(
        "--layout", default="activitynet", help="activitynet, diving48 or ssv2 (default: %(default)s)"
    )
    stylising.add_argument(
        "--short-side",
        type=int,
        default=256,
        help="larger frames are made smaller to this shorter side, in pixels (default: %(default)s; X3D-L sees 356)",
    )
    stylising.add_argument("--processes", type=int, help="how many videos at once (default: one a core)")
    stylising.set_defaults(run=_stylize)

    recording = commands.add_parser("record", help="record expected values of a network on a packaged data set")
    recording.add_argument("network", help="a network as `sdbench list networks` names them")
    recording.add_argument("dataset", help="a data set that needs nothing of your own: packaged")
    recording.add_argument("output", type=Path, help="the file of expected values to write")
    recording.add_argument("--trained-on", help="which weights (default: the first known; filled: made-up ones)")
    recording.add_argument("--seeds", type=int, default=10, help="how many seeds, from 0 (default: 10)")
    recording.set_defaults(run=_record)

    add_history(commands)
    return parser


def _add_protocol(parser: argparse.ArgumentParser) -> None:
    from sdbench.clips.style import DEFAULT_STYLES

    parser.add_argument("--pairs", type=int, help="pairs of each factor (default: one of each a clip)")
    parser.add_argument(
        "--styles", type=_names, default=DEFAULT_STYLES, help="comma-separated styles (default: %(default)s)"
    )
    parser.add_argument("--device", default="cpu", help="where the network runs (default: cpu)")


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _list(options: argparse.Namespace) -> None:
    for kind, rows in _LISTINGS.items():
        if options.what in (None, kind):
            print(kind.upper())
            print(rows())
            print()


def _list_networks() -> str:
    from sdbench.zoo import models
    from sdbench.zoo.action_preparation import preparation_for

    rows = []
    for known in models():
        if known.preparation is not None:
            fed, height, width = known.preparation.frames, *known.preparation.size
        else:
            action = preparation_for(known.architecture)
            fed, height, width = action.frames, action.crop, action.crop
        shown = f"{fed} frames, {height} x {width}"
        rows.append((known.name, known.task, known.trained_on, shown, known.asset))
    return tabulate(rows, headers=("network", "task", "trained on", "input", "weights"))


def _list_layers() -> str:
    import torch

    from sdbench.zoo import model, model_names

    with torch.device("meta"):  # names need no weights
        return "\n".join(f"{name}: {', '.join(model(name).build().layers)}" for name in model_names())


def _list_styles() -> str:
    from sdbench.clips.style import DEFAULT_STYLES, STYLES

    return f"{', '.join(STYLES)}\nby default: {', '.join(DEFAULT_STYLES)}"


def _list_assets() -> str:
    from sdbench.assets import AssetStore, DistributionMember, Url

    store = AssetStore()
    rows = []
    for asset in store.manifest.assets:
        size = asset.bytes
        if isinstance(asset.source, DistributionMember):
            origin = asset.source.requirement
        elif isinstance(asset.source, Url):
            origin = {"direct": "download", "browser": "by browser"}.get(asset.source.how, asset.source.how)
            size = seen.bytes if (seen := store.seen(asset.name)) else None
        else:
            origin = "by hand"
        state = "here" if store.is_present(asset.name) else "not here"
        shown = f"{size / 1e6:.1f} MB" if size else "-"
        rows.append((asset.name, asset.group, shown, origin, state, asset.license))
    return tabulate(rows, headers=("asset", "group", "size", "from", "state", "licence")) + f"\nin {store.folder}"


def _list_cases() -> str:
    from sdbench.expected import read_all
    from sdbench.suite import why_not

    data = Path(os.environ["SDBENCH_DATA"]) if "SDBENCH_DATA" in os.environ else None
    rows = [(record.id, "no" if why_not(record, data) else "yes") for record in read_all(expected_folder())]
    return tabulate(rows, headers=("case", "can run"))


_LISTINGS = {
    "networks": _list_networks,
    "layers": _list_layers,
    "styles": _list_styles,
    "assets": _list_assets,
    "cases": _list_cases,
}


def expected_folder() -> Path:
    """The folder `expected/` of the checkout that this runs from, or of the current folder.

    Raises:
        InputError: there is none.
    """
    for root in (Path(__file__).parents[1], Path.cwd()):
        if (root / "expected").is_dir():
            return root / "expected"
    raise InputError("no folder expected/ beside the package or here; run this in a checkout of sdbench")


def _fetch(options: argparse.Namespace) -> None:
    from sdbench.assets import AssetStore

    store = AssetStore()
    if options.file is not None:
        if len(options.names) != 1:
            raise InputError(
                f"--from takes exactly one asset; got {len(options.names)}: sdbench fetch NAME --from FILE"
            )
        store.add(options.names[0], options.file)
    groups = [name for name in options.names or ["packaged"] if name in store.manifest.groups]
    names = [name for name in options.names if name not in groups]
    store.fetch(names)
    lacking: dict[str, str] = {}
    for group in groups:
        lacking |= store.fetch_group(group)
        names += [name for name in store.manifest.group(group) if name not in lacking]
    for name in dict.fromkeys(names):
        print(f"{name}: {store.path(name)}")
    for name, reason in lacking.items():
        print(f"{name}: not here: {reason}")
    failed = [name for name in lacking if not store.why_by_hand(name)]
    if failed:
        raise AssetError(f"{', '.join(failed)} could not be fetched (why is said above); retry: sdbench fetch NAME")


def _measure(options: argparse.Namespace) -> None:
    from sdbench.assets import AssetStore
    from sdbench.assets.files import write_text
    from sdbench.datasets import READERS, folder_of_videos
    from sdbench.measure import check_layers, measure
    from sdbench.measure_action import measure_action
    from sdbench.report.markdown import measurement_sentence
    from sdbench.suite import layer_values
    from sdbench.zoo import load, model
    from sdbench.zoo.action_preparation import preparation_for

    known = model(options.network, options.trained_on)
    check_layers(options.network, options.layers)
    store = AssetStore()
    common = {name: getattr(options, name) for name in ("seed", "pairs", "layers", "device")}
    if options.stylised:
        if options.folder.is_dir():
            stylised = READERS[options.stylised](options.folder, options.skip_unusable)
        else:
            raise InputError(f"no folder at {options.folder}; expected a stylised data set: see `sdbench stylize`")
        preparation = preparation_for(known.architecture)
        module = load(options.network, store=store, trained_on=options.trained_on)
        found = measure_action(
            module,
            stylised,
            protocol=options.protocol,
            preparation=preparation,
            name=options.network,
            store=store,
            **common,
        )
    else:
        videos = folder_of_videos(options.folder, known.known_preparation(), store, options.skip_unusable)
        found = measure(options.network, videos, styles=options.styles, store=store, **common)
    print(measurement_table(found))
    print()
    print(measurement_sentence(found.as_record()))
    if options.json is not None:
        content = {"measurement": found.as_record(), "layers": layer_values(found)}
        write_text(options.json, json.dumps(content, indent=1) + "\n")
    if options.picture is not None:
        from sdbench.report.pictures import layers_picture

        layers_picture(f"{found.network} on {found.dataset}", layer_values(found), options.picture)


def _stylize(options: argparse.Namespace) -> None:
    from sdbench.assets import AssetStore
    from sdbench.clips.style import DEFAULT_STYLES
    from sdbench.datasets.layouts import layout_named
    from sdbench.datasets.stylize import Job, estimate_disk, find_sources, stylize
    from sdbench.hardware import available_cores
    from sdbench.passes import progress

    layout = layout_named(options.layout)
    sources = find_sources(options.source, layout)
    store = AssetStore()
    styles = options.styles or DEFAULT_STYLES
    job = Job(options.target, layout, tuple(styles), options.short_side, store.path("styles26"))
    print(f"{len(sources)} videos; still to make: {estimate_disk(job, sources)}")
    done = 0
    with progress("painting", len(sources), 0, store.quiet) as advance:

        def count(_video: str) -> None:
            nonlocal done
            done += 1
            advance(done)

        found = stylize(job, sources, options.processes or available_cores(), count)
    print(f"{found.made} videos painted, {found.kept} were there, {len(found.failed)} could not be read")
    for sentence in found.failed:
        print(f"  left out: {sentence}")
    if found.lacking:
        print(f"put beside the style folders in {options.target}: {', '.join(found.lacking)}")
    if len(found.failed) == len(sources):
        raise InputError(f"no video of {options.source} could be painted")


def measurement_table(found: Measurement) -> str:
    """Shares and unit classes of every layer, with half-widths of their 95 % intervals where there are any."""
    from sdbench.statistics import CLASS_NAMES, SHARE_NAMES
    from sdbench.statistics.quantities import read_quantity

    rows: list[list[Any]] = []
    for name in found.layers:
        layer = found.layer(name)
        row: list[Any] = [name, len(layer.estimate.unit_labels)]
        for quantity, names in (("shares", SHARE_NAMES), ("units", CLASS_NAMES)):
            reading = read_quantity(quantity, layer.estimate, layer.intervals)
            for key in names:
                interval = reading.intervals[key] if reading.intervals else None
                row.append(f"{reading.values[key]:.1f}" + (f" ±{interval.half_width:.1f}" if interval else ""))
        rows.append(row)
    headers = ["layer", "units", *(f"{n}\nshare %" for n in SHARE_NAMES), *(f"{n}\nunits %" for n in CLASS_NAMES)]
    return tabulate(rows, headers=headers, disable_numparse=True, stralign="right", colalign=("left",))


def _record(options: argparse.Namespace) -> None:
    from sdbench.recording import record_values

    record_values(
        options.network, options.dataset, options.output, options.seeds, Path(__file__).parents[1], options.trained_on
    )
    print(f"wrote {options.output}")


if __name__ == "__main__":
    sys.exit(main())
