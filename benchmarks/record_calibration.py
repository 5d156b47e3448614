"""Record what the small networks measure today, and which claims hold for each of their trainings.

    python benchmarks/record_calibration.py

Writes `expected/calibration/action.json` and `expected/calibration/vos.json`, draws docs/calibration_networks.png, and
prints the tables of docs/calibration_networks.md. A claim is written down only where it holds, for every training where
it speaks of each: what does not hold in the small is recorded as the values that were measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from statistics import fmean

import matplotlib.pyplot as plt
import torch
from tabulate import tabulate

from sdbench.answers.zeroing import STAGE, lost_without
from sdbench.assets import AssetStore
from sdbench.base.environment import git_revision
from sdbench.base.errors import InputError
from sdbench.base.files import atomic_path, write_text
from sdbench.base.machine import processor_name
from sdbench.calibration.measuring import DATASETS
from sdbench.calibration.trained import KINDS, SEEDS, SEGMENTATION, listed
from sdbench.cases.records import Asked, Claim, Comparison, ExpectedFile, ExpectedValue, Quantity, Source
from sdbench.cases.verdicts import Verdict
from sdbench.engine import Measurement
from sdbench.statistics import CLASS_NAMES, FACTORS, SHARE_NAMES
from sdbench.suite import Here, Suite

ROOT = Path(__file__).parents[1]

LAYERS = {
    "calibration_resnet3d": ("stage1", "stage2", "stage3", "stage4", "stage5"),
    "calibration_slowfast": ("fast.stage5", "slow.stage5"),
    "calibration_fusionseg": ("fusion.layer2", "fusion.layer5"),
    "calibration_matnet": ("fusion.layer5", "fusion.layer2", "decoder"),
    "calibration_rtnet": ("fusion.layer5", "fusion.layer4", "fusion.layer3", "fusion.layer2"),
}
"""The layers whose shares are recorded."""

CLAIMED = {
    "calibration_resnet3d": ("stage5",),
    "calibration_slowfast": ("slow.stage5", "fast.stage5"),
    "calibration_fusionseg": ("fusion.layer5",),
    "calibration_matnet": ("decoder", "fusion.layer5"),
    "calibration_rtnet": ("fusion.layer5", "fusion.layer2"),
}
"""The layers that claims are tried at."""

LOST = "accuracy_lost_without_units"
"""What a network's stage is worth: see `sdbench.answers.zeroing`."""

_TRIED = tuple((stage, percent) for stage in ("stage3", "stage4", "stage5") for percent in (30.0, 50.0))
"""Stages and percentages of units that the table of losses has."""

_SHARE_FLOOR = 0.05  # points: what float32 sums in another order may move a share by
_UNITS_FLOOR = 2.0  # points: a few units at the threshold
_LOST_FLOOR = 3.0  # points: one other unit in one of the networks


def task_of(name: str) -> str:
    """What a small network is trained to do, as records call it."""
    return "video object segmentation" if KINDS[name].segments else "action recognition"


def id_of(name: str, *parts: str) -> str:
    """The id of a record of a small network."""
    short = name.removeprefix("calibration_")
    return "/".join(("calibration", *(("vos",) if KINDS[name].segments else ()), short, *parts))


def _source(revision: str) -> Source:
    return Source(
        reading="recorded",
        where=f"this suite, seed 0; means over {SEEDS} trainings",
        date=datetime.now(timezone.utc).date().isoformat(),
        command="python benchmarks/record_calibration.py",
        commit=revision,
        machine=processor_name(),
    )


def value_of(
    name: str,
    task: str,
    layer: str | None,
    quantity: str,
    values: Mapping[str, float],
    tolerance: float,
    reason: str,
    source: Source,
    **options: int,
) -> ExpectedValue:
    """A recorded value of a small network, for seed 0."""
    return ExpectedValue(
        id=id_of(name, task, *([layer] if layer else []), quantity),
        task=task_of(name),
        quantity=quantity,
        network=name,
        trained_on=task,
        dataset=DATASETS[KINDS[name].segments],
        layer=layer,
        options={"seed": 0, **options},
        values={key: round(value, 3) for key, value in values.items()},
        source=source,
        uncertainty=0.0,
        tolerance=dict.fromkeys(values, tolerance),
        tolerance_reason=reason,
    )


def recorded(name: str, task: str, found: Measurement, at: Source) -> Iterator[ExpectedValue]:
    """Shares and unit classes of a network's layers, and what it loses without some units."""
    same = "the weights and all draws are the same; "
    for layer in LAYERS[name]:
        shares = found.layer(layer).read("shares").values
        yield value_of(
            name, task, layer, "shares", shares, _SHARE_FLOOR, same + "float32 sums may be taken otherwise", at
        )
    layer = KINDS[name].layer
    units = found.layer(layer).read("units").values
    near = round(max(_UNITS_FLOOR, 150 / len(found.layer(layer).estimate.unit_labels)), 3)
    yield value_of(name, task, layer, "units", units, near, same + "a few units lie at the threshold", at)
    if not KINDS[name].segments and task != "both":
        lost = {factor: fmean(each.lost[factor] for each in lost_without(found, task)) for factor in FACTORS}
        yield value_of(name, task, STAGE, LOST, lost, _LOST_FLOOR, same + "a unit more or less moves some answers", at)


def candidates(name: str) -> Iterator[Claim]:
    """What the training should force, layer by layer and quantity by quantity."""
    kind = KINDS[name]
    moves, stands = kind.tasks[:2]

    def at(task: str, layer: str, quantity: str) -> Quantity:
        return Quantity(network=name, trained_on=task, dataset=DATASETS[kind.segments], layer=layer, name=quantity)

    def claim(words: tuple[str, ...], statement: str, *sides: tuple[Quantity, Quantity]) -> Claim:
        return Claim(
            id=f"claim/{id_of(name, *words)}",
            task=task_of(name),
            statement=statement,
            source="follows from what the training rewards; stated by this suite for small networks",
            published=False,
            comparisons=tuple(Comparison(greater=greater, lesser=lesser) for greater, lesser in sides),
            each_seed=True,
        )

    for layer in CLAIMED[name]:
        for kind_of, what in (("shares", "information"), ("units", "units")):
            yield claim(
                ("training-decides", layer, kind_of),
                f"{layer} has more dynamic {what} and less static where {moves} was trained than where {stands} was, "
                f"for each of {SEEDS} seeds, with the interval of the difference above 0.",
                (at(moves, layer, f"{kind_of}.dynamic"), at(stands, layer, f"{kind_of}.dynamic")),
                (at(stands, layer, f"{kind_of}.static"), at(moves, layer, f"{kind_of}.static")),
            )
        for task, factor, other in ((moves, "dynamic", "static"), (stands, "static", "dynamic")):
            yield claim(
                ("bias", layer, task),
                f"Trained on {task}, {layer} encodes more {factor} than {other} information, for each seed.",
                (at(task, layer, f"shares.{factor}"), at(task, layer, f"shares.{other}")),
            )
    if not kind.segments:
        layer = kind.layer
        yield claim(
            ("shortcut", layer),
            f"Where both predict the label, {layer} encodes more static than dynamic information, for each seed: the "
            "single frame is the shorter way.",
            (at("both", layer, "shares.static"), at("both", layer, "shares.dynamic")),
        )


def balance() -> Iterator[Claim]:
    """The paper's claim of cross connections and balance, for each task of the small segmentation networks."""

    def at(name: str, task: str) -> Quantity:
        return Quantity(
            network=name, trained_on=task, dataset=DATASETS[True], layer="fusion.layer5", name="units.imbalance"
        )

    for task in SEGMENTATION:
        yield Claim(
            id=f"claim/calibration/vos/balance/{task}",
            task="video object segmentation",
            statement=f"Trained on {task}, MATNet (with cross connections) is better balanced between static and "
            "dynamic units in its last fusion than FusionSeg or RTNet.",
            source="the paper's claim of cross connections and balance, tried on small networks",
            published=False,
            comparisons=tuple(
                Comparison(greater=at(f"calibration_{other}", task), lesser=at("calibration_matnet", task))
                for other in ("fusionseg", "rtnet")
            ),
        )


def tables(suite: Suite, failed: list[tuple[str, str]]) -> str:
    """Accuracy, shares with intervals and losses, as Markdown."""
    accuracy, shares, losses = [], [], []
    for name, kind in KINDS.items():
        for task in kind.tasks:
            scores = [about for about in listed(name) if about["task"] == task]
            reached = [about["score"] for about in scores]
            accuracy.append(
                (name, task, fmean(reached), min(reached), max(reached), fmean(a["seconds"] for a in scores))
            )
            found = suite.measurement(Asked(name, task, DATASETS[kind.segments]))
            for layer in dict.fromkeys((*CLAIMED[name], *LAYERS[name])):
                reading = found.layer(layer).read("shares")
                runs = [found.run(layer, number).read("shares") for number in range(SEEDS)]
                of_runs = [(r.values["dynamic"], r.generalisation["dynamic"]) for r in runs if r.generalisation]
                lowest, highest = min(i.low for _, i in of_runs), max(i.high for _, i in of_runs)
                units = found.layer(layer).read("units").values
                parts = [f"{reading.values[factor]:.1f}" for factor in SHARE_NAMES]
                counts = [f"{units[word]:.0f}" for word in CLASS_NAMES]
                shares.append((name, task, layer, *parts, f"{lowest:.1f} to {highest:.1f}", *counts))
            for stage, percent in _TRIED if not kind.segments and task != "both" else ():
                without = lost_without(found, task, stage, percent)
                row: list[str] = [name, task, stage, f"{percent:g}", f"{fmean(each.whole for each in without):.1f}"]
                for factor in FACTORS:
                    lost = [each.lost[factor] for each in without]
                    row += [f"{fmean(lost):.1f}", " ".join(f"{value:.0f}" for value in lost)]
                losses.append(row)
    written = [
        tabulate(accuracy, ("network", "trained on", "mean", "lowest", "highest", "seconds"), "github", ".1f"),
        tabulate(
            shares,
            (
                "network",
                "trained on",
                "layer",
                *SHARE_NAMES,
                "dynamic, all trainings",
                *(f"{n} units" for n in CLASS_NAMES),
            ),
            "github",
            disable_numparse=True,
        ),
        tabulate(
            losses,
            (
                "network",
                "trained on",
                "stage",
                "% zeroed",
                "right",
                "without dynamic",
                "each",
                "without static",
                "each",
            ),
            "github",
            disable_numparse=True,
        ),
        "Do not hold:\n\n" + "\n".join(f"- {claim}: {reason}" for claim, reason in failed),
    ]
    return "\n\n".join(written)


def picture(suite: Suite, path: Path) -> None:
    """Draw the dynamic share of each training with its interval, one panel a network."""
    figure, panels = plt.subplots(1, len(KINDS), figsize=(13, 3.2), sharey=True, layout="constrained")
    for panel, (name, kind) in zip(panels, KINDS.items(), strict=True):
        for place, task in enumerate(kind.tasks):
            found = suite.measurement(Asked(name, task, DATASETS[kind.segments]))
            for number in range(SEEDS):
                reading = found.run(kind.layer, number).read("shares")
                assert reading.generalisation is not None
                middle, around = reading.values["dynamic"], reading.generalisation["dynamic"]
                where = place + 0.12 * (number - (SEEDS - 1) / 2)
                panel.plot([where, where], [around.low, around.high], color=f"C{place}", linewidth=2)
                panel.plot(where, middle, "o", color=f"C{place}", markersize=4)
        panel.set_xticks(range(len(kind.tasks)), kind.tasks)
        panel.set_xlim(-0.6, len(kind.tasks) - 0.4)
        panel.set_title(f"{name.removeprefix('calibration_')}, {kind.layer}", fontsize=10)
        panel.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("dynamic share, percent")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)
    plt.close(figure)


def main() -> None:
    """Measure everything once, write the files, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", action="store_true", help="write no expected values")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "calibration_networks.png")
    options = parser.parse_args()
    torch.set_num_threads(1)
    revision = git_revision(ROOT)
    if revision.endswith("+changes") and not options.tables:
        raise InputError("the checkout has uncommitted changes; commit them first, so that the record can name them")
    suite, failed = Suite(Here(AssetStore())), []
    for segments, file in ((False, "action"), (True, "vos")):
        values: list[ExpectedValue] = []
        claims: list[Claim] = []
        for name in (name for name, kind in KINDS.items() if kind.segments == segments):
            for task in KINDS[name].tasks:
                found = suite.measurement(Asked(name, task, DATASETS[segments]))
                values += recorded(name, task, found, _source(revision))
        tried = [claim for name, kind in KINDS.items() if kind.segments == segments for claim in candidates(name)]
        for claim in [*tried, *(balance() if segments else ())]:
            case = suite.run(claim)
            if case.verdict is Verdict.HOLDS:
                claims.append(claim)
            else:
                failed.append((claim.id, case.reason))
        about = "Small networks trained where only one factor helps: what the method says of them, and what it must say"
        written = ExpectedFile.model_validate({"schema": 1, "about": about, "values": values, "claims": claims})
        if not options.tables:
            text = written.model_dump_json(indent=1, by_alias=True, exclude_defaults=True) + "\n"
            write_text(ROOT / "expected" / "calibration" / f"{file}.json", text)
    picture(suite, options.picture)
    print(tables(suite, failed))
    suite.over()


if __name__ == "__main__":
    main()
