"""The command `sdbench compare`, and the controls that a measurement is shown beside."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdbench.base.errors import InputError
from sdbench.base.outputs import add_output, numbers, write_outputs
from sdbench.cli.arguments import names
from sdbench.cli.naming import opened

if TYPE_CHECKING:
    from sdbench.assets import AssetStore
    from sdbench.engine import Measurement
    from sdbench.networks import Network

_UNTRAINED_SEEDS = (0, 1, 2)


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    comparing = commands.add_parser(
        "compare", help="two measurements, or two layers, held against each other; any number as a table and a picture"
    )
    comparing.add_argument(
        "files",
        nargs="+",
        metavar="FILE[@STEP][:LAYER]",
        help="what `sdbench measure --json` wrote; one layer of it; or of what a tracker wrote, one step (default: all "
        "layers, the last step)",
    )
    comparing.add_argument(
        "--layers",
        type=_pairs,
        help="comma-separated layers of two files, or pairs such as block12=stage5 (default: those of the same name, "
        "else those at the nearest relative depth)",
    )
    add_output(comparing, "--json", "json", "also write the numbers to this file")
    add_output(
        comparing, "--picture", "picture", "also draw the shares over relative depth into this PNG, SVG or PDF file"
    )
    add_output(comparing, "--html", "html", "also write a page to look at")
    comparing.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> None:
    from sdbench.report.atlas import atlas_picture, atlas_rows, atlas_table
    from sdbench.report.comparing import compare
    from sdbench.report.outcome import outcome_of

    outcomes = [outcome_of(file) for file in options.files]
    if options.layers and len(outcomes) != 2:
        raise InputError(f"--layers says which layers of two files are compared; got {len(outcomes)} files")
    compared = compare(outcomes[0], outcomes[1], options.layers) if len(outcomes) == 2 else None

    def page(place: Path) -> None:
        from sdbench.report import measurements_page

        shown_with = [one for outcome in outcomes for one in (outcome, *outcome.controls)]
        measurements_page(shown_with, place, compared=compared)

    write_outputs(
        (options.json, numbers(atlas_rows(outcomes) if compared is None else compared.as_record())),
        (options.picture, partial(atlas_picture, outcomes)),
        (options.html, page),
    )
    print(atlas_table(outcomes) if compared is None else compared)


def _pairs(text: str) -> list[tuple[str, str]]:
    """Which layer of one is compared with which of the other."""
    wanted = [name.partition("=") for name in names(text)]
    return [(one.strip(), other.strip() if equals else one.strip()) for one, equals, other in wanted]


def check_controls(options: argparse.Namespace) -> None:
    """See that controls go with the other options.

    Raises:
        InputError: they do not.
    """
    if not options.controls:
        return
    if options.untrained is not None:
        raise InputError("--controls shows a trained network beside itself untrained: leave out --untrained")
    if options.slice is not None:
        raise InputError("--controls does not go with --slice: measure the untrained network apart, with --untrained")
    if (options.stylised or "").startswith("davis"):
        raise InputError(
            "--controls does not go with davis, whose values are means over seeds already: measure the untrained "
            "network apart, with --untrained"
        )


def untrained(options: argparse.Namespace, store: AssetStore) -> list[Callable[[], Network]]:
    """What opens the same network with fresh weights, once for each of three seeds.

    The first is opened at once: that there is no such network is told before hours of measuring.

    Raises:
        InputError, AssetError: as `sdbench.cli.naming.opened` does.
    """

    def fresh(seed: int) -> Network:
        return opened(argparse.Namespace(**{**vars(options), "untrained": seed, "weights": None}), store)

    first = fresh(_UNTRAINED_SEEDS[0])
    return [lambda: first, *(partial(fresh, seed) for seed in _UNTRAINED_SEEDS[1:])]


def joined(measured: Sequence[Measurement]) -> Measurement:
    """Measurements of the network with fresh weights as one."""
    from sdbench.engine import join

    seeds = ", ".join(map(str, _UNTRAINED_SEEDS))
    return join(measured, [f"values are means over fresh weights of seeds {seeds}"])


def show_controls(found: Measurement, control: Measurement) -> None:
    """Print what training did, in a sentence."""
    from sdbench.report.atlas import controls_sentence
    from sdbench.report.outcome import outcome_of

    print()
    print(controls_sentence(outcome_of(found), outcome_of(control), len(_UNTRAINED_SEEDS)))
