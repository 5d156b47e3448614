"""Record what tests of motion say of the small networks today, and the orderings that hold for every training.

    python -m benchmarks.record_tests

Writes `expected/calibration/tests.json`. A claim is written down only where it holds for each of five seeds with
the interval of the difference above 0; what does not hold is printed, and stands in docs/test_of_tests.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from benchmarks.record_calibration import id_of, task_of, value_of
from sdbench.answers.otherwise import mean_scores
from sdbench.assets import AssetStore
from sdbench.base.environment import git_revision
from sdbench.base.errors import InputError
from sdbench.base.files import write_text
from sdbench.base.machine import processor_name
from sdbench.calibration.measuring import DATASETS
from sdbench.calibration.probing import mean_probed
from sdbench.calibration.trained import KINDS, SEEDS
from sdbench.cases.records import Claim, Comparison, ExpectedFile, ExpectedValue, Quantity, Source
from sdbench.cases.verdicts import Verdict
from sdbench.suite import Here, Suite

ROOT = Path(__file__).parents[1]
SEED = 0

SHOWN = {False: 160, True: 32}
"""Videos and scenes that are answered in each way of showing: few, for the cases to be short."""

FITTED, TESTED = 192, 96
"""Videos that probes are fitted and tested on."""

LAYERS = {"calibration_resnet3d": ("stage5",), "calibration_slowfast": ("slow.stage5", "fast.stage5")}
"""The layers of claims."""

_SHOWN_TOLERANCE = 1.0  # points: some answers in a hundred
_PROBED_TOLERANCE = 2.0


def values(source: Source) -> Iterator[ExpectedValue]:
    """What networks answer in each way of showing, and what probes of action networks read."""
    for name, kind in KINDS.items():
        for task in kind.tasks:
            shown = SHOWN[kind.segments]
            said = mean_scores(name, task, shown, SEED)
            reason = "the weights and all draws are the same; float32 sums in another order move a few answers"
            yield value_of(name, task, None, "right_when_shown", said, _SHOWN_TOLERANCE, reason, source, shown=shown)
            if not kind.segments:
                read = mean_probed(name, task, kind.layer, FITTED, TESTED, SEED)
                reason = "the weights and all draws are the same; a probe may turn with float32 sums in another order"
                yield value_of(
                    name,
                    task,
                    kind.layer,
                    "linear_probe",
                    read,
                    _PROBED_TOLERANCE,
                    reason,
                    source,
                    fitted=FITTED,
                    tested=TESTED,
                )


def candidates() -> Iterator[Claim]:
    """The order of the three trainings, by the dynamic share and by the dynamic units of each layer."""
    for name, layers in LAYERS.items():
        for layer in layers:
            for quantity, what in (("shares", "a larger dynamic share"), ("units", "more dynamic units")):
                for more, less in (("motion", "both"), ("both", "texture")):
                    sides = (
                        Quantity(
                            network=name,
                            trained_on=task,
                            dataset=DATASETS[False],
                            layer=layer,
                            name=f"{quantity}.dynamic",
                        )
                        for task in (more, less)
                    )
                    yield Claim(
                        id=f"claim/{id_of(name, 'ordered', layer, quantity, f'{more}-{less}')}",
                        task=task_of(name),
                        statement=f"{layer} has {what} where {more} was trained than where {less} was, for each of "
                        f"{SEEDS} seeds, with the interval of the difference above 0.",
                        source="the order in which the networks go by motion where motion and texture disagree; "
                        "measured by this suite for small networks (docs/test_of_tests.md)",
                        published=False,
                        comparisons=(Comparison(greater=next(sides), lesser=next(sides)),),
                        each_seed=True,
                    )


def main() -> None:
    """Measure, try the claims, write the file."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    revision = git_revision(ROOT)
    if revision.endswith("+changes"):
        raise InputError("the checkout has uncommitted changes; commit them first, so that the record can name them")
    source = Source(
        reading="recorded",
        where=f"this suite, seed {SEED}; means over {SEEDS} trainings",
        date=datetime.now(timezone.utc).date().isoformat(),
        command="python -m benchmarks.record_tests",
        commit=revision,
        machine=processor_name(),
    )
    suite, claims = Suite(Here(AssetStore())), []
    for claim in candidates():
        case = suite.run(claim)
        if case.verdict is Verdict.HOLDS:
            claims.append(claim)
        else:
            print(f"does not hold: {claim.id}: {case.reason}")
    suite.over()
    about = "Tests of whether small networks see motion: what the usual ones say, and how shares and units order them"
    written = ExpectedFile.model_validate({"schema": 1, "about": about, "values": [*values(source)], "claims": claims})
    text = written.model_dump_json(indent=1, by_alias=True, exclude_defaults=True) + "\n"
    write_text(ROOT / "expected" / "calibration" / "tests.json", text)


if __name__ == "__main__":
    main()
