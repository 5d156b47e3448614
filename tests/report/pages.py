"""Pages to look at: a run with all that a report can hold, one with hostile names, one with thousands of cases."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

from PIL import Image

from sdbench.base.files import write_text
from sdbench.cases.records import Claim, ExpectedValue, Record
from sdbench.cases.verdicts import Case, Verdict
from sdbench.report import Report, Shown, Since, Totals
from sdbench.report.content import Strip
from sdbench.report.html import render_html

REVISION = 40 * "a"

HOSTILE = (
    "<script>document.title='taken'</script>",
    "\"'onmouseover='x' </textarea><img src=x onerror=alert(1)>",
    "x" * 300,
    "\N{HEBREW LETTER SHIN}\N{HEBREW LETTER LAMED}/\N{RIGHT-TO-LEFT OVERRIDE}evil",
    "</style></title><svg onload=alert(2)>{{ 7 * 7 }} $x_",
)
"""What a file of somebody else's may be called."""

NEEDS_DATA = (
    "data set stylized_ssv2 is not here (name the folder that holds it with --data). It takes weights: sdbench fetch "
    "{}; data: stylised videos; register, then paint them in four styles"
)


def value(name: str, verdict: Verdict, **fields: object) -> Case:
    case = Case(
        id=name,
        kind="published value",
        verdict=verdict,
        measured={"dynamic": 20.04, "static": 40.06},
        expected={"dynamic": 21.0, "static": 40.0},
        tolerance={"dynamic": 2.05, "static": 2.05},
        interval={"dynamic": (19.5, 20.6), "static": (39.0, 41.0)},
        reason=f"the reason of {name}",
        seconds=12.34,
    )
    return replace(case, **fields)  # type: ignore[arg-type]


def idle(name: str, reason: str, **fields: object) -> Case:
    return value(name, Verdict.NOT_RUN, measured=None, interval=None, seconds=0.0, reason=reason, **fields)


CASES = (
    idle("action/layerwise/slow/ssv2/stage5", NEEDS_DATA.format("slow_ssv2")),
    idle("action/layerwise/fast/ssv2/stage5", NEEDS_DATA.format("fast_ssv2")),
    idle(
        "action/layerwise/i3d/diving48/stage5",
        "weights of i3d trained on diving48 were never published; data set stylized_diving48 is not here. It takes "
        "weights: trained by the authors and never published; no download exists",
    ),
    value("action/layerwise/net/clips/second", Verdict.REPRODUCED),
    value("action/layerwise/net/clips/first", Verdict.DEVIATES, reason="outside the band: dynamic <20.0>"),
    value(
        "packaged/net/second/shares",
        Verdict.UNCHANGED,
        kind="recorded value",
        interval=None,
        reason="furthest: dynamic by -0.96 of 2.05 points",
        seconds=99.0,
    ),
    Case(
        id="claim/net/static",
        kind="recorded claim",
        verdict=Verdict.HOLDS,
        measured={"static share in second > dynamic share": 20.0, "c > d": 31.0},
        expected={"static share in second > dynamic share": "> 0", "c > d": "> 0"},
        tolerance=None,
        interval={"static share in second > dynamic share": (18.0, 22.5)},
        reason="narrowest: static share in second > dynamic share by 20.0 points",
    ),
    Case(
        id="claim/paper/dynamic",
        kind="published claim",
        verdict=Verdict.NOT_RUN,
        measured=None,
        expected={"claim": "Training on SSv2 leads to more dynamic units."},
        tolerance=None,
        interval=None,
        reason=NEEDS_DATA.format("slow_ssv2"),
    ),
)


def record(case: Case, network: str = "net") -> Record:
    """What a case of `CASES` was held against."""
    if case.kind.endswith("claim"):
        quantity = {"network": network, "trained_on": "clips", "dataset": "packaged", "layer": "second"}
        return Claim.model_validate(
            {
                "id": "claim",
                "task": "action recognition",
                "statement": f"The statement of {case.id}",
                "source": "the paper, section 5",
                "published": False,
                "comparisons": [
                    {
                        "greater": {**quantity, "name": "shares.static"},
                        "lesser": {**quantity, "name": "shares.dynamic"},
                    }
                ],
            }
        )
    return ExpectedValue.model_validate(
        {
            "id": "value",
            "task": "action recognition",
            "quantity": "shares",
            "network": network,
            "trained_on": "clips",
            "dataset": "packaged",
            "layer": "second",
            "values": {"dynamic": 21.0, "static": 40.0},
            "source": {"reading": "printed", "where": f"where {case.id} was printed"},
            "uncertainty": 0.05,
            "tolerance": {"dynamic": 2.0, "static": 2.0},
            "tolerance_reason": f"the reason for the tolerance of {case.id}",
        }
    )


def layer(dynamic: float, static: float) -> dict[str, dict[str, float]]:
    return {
        "shares": {"dynamic": dynamic, "static": static, "residual": 100 - dynamic - static},
        "units": {"dynamic": 2.0, "static": 88.0, "joint": 4.0, "residual": 5.0, "dead": 1.0},
    }


def measurement(network: str, dataset: str, resampling: str) -> dict[str, object]:
    return {
        "network": network,
        "dataset": dataset,
        "clips": 9,
        "samples": 9,
        "pairs": 9,
        "passes": 27,
        "protocol": "balanced",
        "styles": ["a", "b"],
        "seed": 0,
        "seeds": 1,
        "networks": False,
        "resampling": resampling,
        "precision": "float32",
        "compiled": "",
        "skipped": [],
        "notes": [],
        "seconds": {"total": 3.0, "network": 2.0},
    }


def strip(factor: str, says: str) -> Strip:
    written = BytesIO()
    Image.new("RGB", (60, 20), (200, 90, 10)).save(written, "JPEG")
    return Strip(factor, says, written.getvalue(), 60, 20)


def full() -> Report:
    """A run that measured three networks, one of them with made-up weights and one of two paths."""
    layers = {
        "net (clips) on packaged": {"first": layer(10, 60), "middle": layer(30, 30), "second": layer(20.6, 34.4)},
        "two (clips) on packaged": {
            name: layer(30, 20) for name in ("slow.stage1", "fast.stage1", "slow.stage1.fused", "fast.stage2")
        },
        "net (filled) on packaged": {"first": layer(12, 50), "middle": layer(12, 50), "second": layer(12, 50)},
    }
    limits = {
        name: {"shares": {factor: (value - 2, value + 3) for factor, value in of["shares"].items()}}
        for name, of in layers["two (clips) on packaged"].items()
    }
    few = "no intervals: 7 shots, at least 8 needed"
    return Report(
        environment={
            "date": "2026-11-24T08:18:59+00:00",
            "revision": REVISION,
            "processor": "A Processor",
            "cores": 2,
            "device": "cpu",
            "packages": {"torch": "2"},
            "gpus": [],
        },
        cases=CASES,
        totals=Totals(9, 7),
        measurements=[
            measurement("net", "packaged", few),
            measurement("two", "packaged", "95 % intervals by resampling 9 videos"),
            measurement("net", "packaged", few),
        ],
        layers=layers,
        timings={"test_loop": {"median": 0.5, "q1": 0.4, "q3": 0.6, "rounds": 3.0}},
        intervals={"two (clips) on packaged": limits},
        trained_on={name: "filled" if "filled" in name else "clips" for name in layers},
        records={case.id: record(case) for case in CASES},
        shown=(
            Shown(
                "packaged",
                "What its pairs share.",
                (strip("", "a clip"), strip("dynamic", "one"), strip("static", "two")),
            ),
            Shown("davis", "", lacking="its pictures are not here"),
        ),
        since=Since(
            "run b is worse than run a",
            (("case", "moved by +3"),),
            (("loop", "faster"),),
            ("torch: 1 -> 2",),
            ("a note",),
        ),
    )


def hostile() -> Report:
    """A run in which everything that comes from outside has a hostile name."""
    report = full()
    cases = [
        replace(case, id=f"{case.id}{name}", reason=name, kind=case.kind if number % 2 else "unpublished value")
        for name in HOSTILE
        for number, case in enumerate(CASES)
    ]
    networks = dict(zip(HOSTILE, report.layers.values(), strict=False))
    return replace(
        report,
        environment={name: name for name in HOSTILE} | {"device": HOSTILE[0], "revision": HOSTILE[1]},
        cases=cases,
        layers={name: {f"{key}{name}": of for key, of in layers.items()} for name, layers in networks.items()},
        measurements=[measurement(name, name, name) for name in networks],
        intervals={},
        trained_on={},
        records={case.id: record(case, HOSTILE[number % len(HOSTILE)]) for number, case in enumerate(cases)},
        shown=[Shown(name, name, (strip("", name),), name) for name in HOSTILE],
        since=Since(HOSTILE[0], tuple(zip(HOSTILE, HOSTILE, strict=True)), (), HOSTILE, HOSTILE),
        timings=dict.fromkeys(HOSTILE, report.timings["test_loop"]),
    )


def many(count: int) -> Report:
    """A run of so many cases, most of them recorded here, or of the paper's study and not run."""
    report = full()
    usual = [case for case in CASES if case.verdict is Verdict.UNCHANGED]
    usual += [replace(case, kind="unpublished value", expected={}, tolerance=None) for case in CASES[:2]]
    more = [replace(usual[n % 3], id=f"{usual[n % 3].id}/{n}") for n in range(count - len(CASES))]
    cases = [*CASES, *more]
    return replace(report, cases=cases, records={case.id: record(case) for case in cases})


def written(report: Report, folder: Path) -> Path:
    """The page of a report."""
    path = folder / "report.html"
    write_text(path, render_html(report))
    return path
