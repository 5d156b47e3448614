"""The commands `sdbench stylize` and `sdbench flow`: data that a data set lacks."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdbench.base.errors import InputError
from sdbench.cli.arguments import names, positive

PAINTERS = ("packaged", "fewshot")


def add_commands(commands: Any) -> None:
    """Add the commands to the parser."""
    stylising = commands.add_parser("stylize", help="make the four stylised copies of videos that the protocol needs")
    stylising.add_argument("source", metavar="SRC", type=Path, help="folder of videos or folders of frames; or DAVIS")
    stylising.add_argument("target", metavar="DST", type=Path, help="folder that will hold the folder of each style")
    stylising.add_argument(
        "--styles",
        type=names,
        help="four comma-separated styles (default: those of `sdbench list styles`); of fewshot: names for them",
    )
    stylising.add_argument(
        "--painter",
        choices=PAINTERS,
        default=PAINTERS[0],
        help="packaged, or fewshot: the paper's, with models of yours (default: %(default)s)",
    )
    stylising.add_argument(
        "--weights",
        type=Path,
        action="append",
        metavar="FILE",
        help="of fewshot: a published model such as model_00020.pth, or its state dict; once for each style",
    )
    stylising.add_argument(
        "--layout", default="activitynet", help="activitynet, diving48, ssv2 or davis (default: %(default)s)"
    )
    stylising.add_argument(
        "--short-side",
        type=positive,
        help="make larger frames smaller to this shorter side, in pixels (default: 256, davis 480; X3D-L sees 356)",
    )
    stylising.add_argument("--split", default="val", help="which sequences of DAVIS (default: %(default)s)")
    stylising.add_argument("--processes", type=positive, help="how many videos at once (default: one a core)")
    stylising.add_argument("--device", default="cpu", help="where the style network runs (default: cpu)")
    stylising.set_defaults(run=_stylize)

    flowing = commands.add_parser("flow", help="make the optical flow pictures that a data set of segmentation lacks")
    flowing.add_argument("folder", metavar="FOLDER", type=Path, help="DAVIS 2016, or another that holds JPEGImages")
    flowing.add_argument("--split", default="val", help="which list of ImageSets/480p (default: %(default)s)")
    flowing.add_argument(
        "--method", default="dis", help="dis (OpenCV's), or module:function of your own (default: %(default)s)"
    )
    flowing.add_argument("--preset", default="medium", help="of dis: ultrafast, fast or medium (default: %(default)s)")
    flowing.add_argument("--threads", type=positive, help="how many pictures at once (default: one a core)")
    flowing.set_defaults(run=_flow)


def _stylize(options: argparse.Namespace) -> None:
    from sdbench.assets import AssetStore
    from sdbench.base.machine import available_cores
    from sdbench.base.progress import progress
    from sdbench.data.layouts import layout_named
    from sdbench.data.make.job import Job, check_apart
    from sdbench.data.make.painters import lacking_styles, names_of_models
    from sdbench.data.make.stylised import estimate_disk, find_sources, stylize
    from sdbench.engine.placing import device_named
    from sdbench.video.paint import DEFAULT_STYLES

    layout = layout_named(options.layout)
    device_named(options.device)
    few_shot = options.painter == "fewshot"
    if few_shot != bool(options.weights):
        raise InputError(
            "--painter fewshot takes a model of yours for each style: --weights model_00020.pth, once for each"
            if few_shot
            else "--weights goes with --painter fewshot; the packaged painter has its own"
        )
    if not layout.mirrors:
        check_apart(options.source, options.target, layout)
    sources = find_sources(options.source, layout, options.split)
    for source in sources.values():
        check_apart(source, options.target, layout)
    store = AssetStore()
    styles = options.styles or (names_of_models(options.weights) if few_shot else DEFAULT_STYLES)
    short_side = layout.short_side if options.short_side is None else options.short_side
    models = tuple(options.weights) if few_shot else Path()
    job = Job(options.target, layout, tuple(styles), short_side, models, options.device)
    if not few_shot:  # fetched when all else is known to be right
        job = replace(job, model=store.path("styles26"))
    if few_shot and (lacking := lacking_styles(len(styles), layout)):
        print(lacking)
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


def _flow(options: argparse.Namespace) -> None:
    from sdbench.base.machine import available_cores
    from sdbench.base.progress import progress
    from sdbench.data.make.flow import FlowJob, estimate_flow, frames_of, make_flow
    from sdbench.video.flow import flow_method, flow_sentence

    root, sequences = frames_of(options.folder, options.split)
    job = FlowJob(root, sequences, flow_method(options.method, options.preset))
    before = estimate_flow(job)
    print(f"{len(sequences)} sequences; still to make: {before}")
    done = int(before.pictures > 0)  # the estimate made one
    with progress("drawing flow", before.pictures, done, quiet=False) as advance:

        def count() -> None:
            nonlocal done
            done += 1
            advance(done)

        make_flow(job, options.threads or available_cores(), count)
    if done:
        print(f"{done} flow pictures made in {root}: {flow_sentence(job.method.described())}")
