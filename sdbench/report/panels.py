"""The answer, network by network: what each layer holds, in the order of depth, and a sentence made of the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdbench.report.content import Limits, Numbers, Report

if TYPE_CHECKING:
    from sdbench.engine import Measurement
    from sdbench.report.outcome import Outcome

FILLED = "filled"
_UNTRAINED = "untrained:"
_CONTROL = "control:"

NOT_PARTS = (
    "Scores of this study are no parts of one whole: appearance and motion were not drawn independently of each other "
    "and crossed, so they may overlap, and their sum says nothing."
)
"""What a reader of layer scores must know where a study is not crossed."""

_CLASS_IN_WORDS = {
    "dynamic": "are dynamic",
    "static": "are static",
    "joint": "are both static and dynamic",
    "residual": "are neither static nor dynamic",
    "dead": "do not change in the pairs of a factor",
}


@dataclass(frozen=True)
class Panel:
    """One network on one data set.

    Attributes:
        title: how to call it.
        network, dataset: by name.
        layers: what each layer holds, from input to answer.
        intervals: of the same, where there are any.
        resampling: what the intervals rest on, or why there are none.
        study: hash of what was shown; "" where it is not known.
        remark: that the weights are untrained or made up, in words; "" where they are trained.
    """

    title: str
    network: str
    dataset: str
    layers: Numbers
    intervals: Limits
    resampling: str
    study: str = ""
    remark: str = ""

    @property
    def is_control(self) -> bool:
        """Whether it says what a network does without having learned anything."""
        return bool(self.remark)

    @property
    def depths(self) -> dict[str, float]:
        """Layer -> its place among the layers that were read, from 0 to 1."""
        last = max(len(self.layers) - 1, 1)
        return {name: number / last for number, name in enumerate(self.layers)}

    @property
    def variance_sentence(self) -> str:
        """The parts of variance of the last layer, or why there are none; "" where scores are not known either."""
        last = list(self.layers)[-1]
        parts = self.layers[last].get("variance")
        if parts:
            return (
                f"Of the variance of its last layer ({last}) appearance alone explains "
                f"{_percent(parts['appearance'])}, motion alone {_percent(parts['motion'])}, and only both together "
                f"{_percent(parts['both'])}."
            )
        return NOT_PARTS if self.layers[last].get("scores") else ""

    @property
    def sentence(self) -> str:
        """What the numbers say."""
        names = list(self.layers)
        first, last = names[0], names[-1]
        shares = self.layers[last]["shares"]
        said = (
            f"At its last layer ({last}) {self.network} holds {_percent(shares['static'])} static and "
            f"{_percent(shares['dynamic'])} dynamic"
        )
        units = {name: value for name, value in self.layers[first].get("units", {}).items() if math.isfinite(value)}
        if units and len(names) > 1:
            most = max(units, key=lambda name: units[name])
            said += f"; {_percent(units[most])} of the units of its first layer ({first}) {_CLASS_IN_WORDS[most]}"
        ahead = sum(layer["shares"]["dynamic"] > layer["shares"]["static"] for layer in self.layers.values())
        if len(names) == 1:
            return said + "."
        many = {0: "None", len(names): "All"}.get(ahead, str(ahead))
        hold = "holds" if ahead == 1 else "hold"
        return f"{said}. {many} of its {len(names)} layers {hold} more dynamic than static."


def _percent(value: float) -> str:
    return f"{round(value) + 0:.0f}\N{NO-BREAK SPACE}%" if math.isfinite(value) else "an unknown part"


def streams(layers: Sequence[str]) -> dict[str, list[str]]:
    """The paths of a network -> their layers, in order; one that is called "" where there is but one.

    Two paths are told by layers that differ in nothing but their first word, such as slow.stage1 and fast.stage1; what
    is read of a path a second time (slow.stage1.fused) is a path of its own.
    """
    split = {name: name.partition(".")[::2] for name in layers}
    heads: dict[str, set[str]] = {}
    for head, rest in split.values():
        if rest and not head.isdigit():
            heads.setdefault(rest, set()).add(head)
    paths = {head for found in heads.values() if len(found) > 1 for head in found}
    found: dict[str, list[str]] = {}
    for name, (head, _) in split.items():
        stem, _, suffix = name.rpartition(".")
        path = head if head in paths else ""
        if path and stem in split:
            path = f"{path} {suffix}"
        found.setdefault(path, []).append(name)
    return found


def panels_of(report: Report) -> list[Panel]:
    """A panel for each measurement of a report: trained networks first, made-up weights last."""
    found = []
    for (title, layers), record in zip(report.layers.items(), _fitting(report), strict=True):
        filled = report.trained_on.get(title) == FILLED
        found.append(
            Panel(
                title=title,
                network=record["network"] if record else title,
                dataset=record["dataset"] if record else "",
                layers=layers,
                intervals=report.intervals.get(title, {}),
                resampling=record["resampling"] if record else "",
                study=record.get("study", ""),
                remark="made-up weights: it shows that the pipeline runs, not what a network learns" if filled else "",
            )
        )
    return sorted(found, key=_order)


def _fitting(report: Report) -> Sequence[Mapping[str, Any]]:
    """The measurements, where there is one for each title."""
    return report.measurements if len(report.measurements) == len(report.layers) else [{}] * len(report.layers)


def _order(panel: Panel) -> int:
    """What has weights of others comes first, then what was trained here to be known, then what learned nothing."""
    return 2 if panel.is_control else int(panel.network.startswith("calibration_"))


def panel_of(found: Measurement) -> Panel:
    """The panel of one measurement."""
    layers: dict[str, dict[str, dict[str, float]]] = {}
    limits: dict[str, dict[str, dict[str, tuple[float, float]]]] = {}
    for name in found.layers:
        layer = found.layer(name)
        readings = {quantity: layer.read(quantity) for quantity in layer.quantities}
        layers[name] = {quantity: dict(reading.values) for quantity, reading in readings.items()}
        if layer.intervals is not None:
            limits[name] = {
                quantity: {
                    key: (interval.low, interval.high) for key, interval in (reading.generalisation or {}).items()
                }
                for quantity, reading in readings.items()
            }
    untrained = next((note for note in found.notes if note.startswith(_UNTRAINED)), "")
    control = "a control: it has learned nothing" if found.network.startswith(_CONTROL) else ""
    remark = untrained or control
    return Panel(
        title=f"{found.network}{' (untrained)' if untrained else ''} on {found.dataset}",
        network=found.network,
        dataset=found.dataset,
        layers=layers,
        intervals=limits,
        resampling=found.resampling,
        study=found.study,
        remark=remark,
    )


def panel_of_outcome(found: Outcome) -> Panel:
    """The panel of a measurement that was written to a file: its shares, without the classes of its units."""
    remark = "untrained: the architecture with fresh weights" if found.untrained else ""
    control = "a control: it has learned nothing" if found.network.startswith(_CONTROL) else ""
    layers: dict[str, dict[str, Mapping[str, float]]] = {}
    limits: dict[str, dict[str, dict[str, tuple[float, float]]]] = {}
    for name, layer in found.layers.items():
        layers[name] = {"shares": dict(layer.shares)}
        known = {"shares": layer.intervals}
        if layer.variance is not None:
            layers[name]["variance"] = dict(layer.variance.parts)
            known["variance"] = layer.variance.intervals
        for quantity, of in known.items():
            if of is not None:
                limits.setdefault(name, {})[quantity] = {key: (limit.low, limit.high) for key, limit in of.items()}
    return Panel(
        title=f"{found.source}{' (untrained)' if found.untrained else ''} on {found.dataset}",
        network=found.network,
        dataset=found.dataset,
        layers=layers,
        intervals=limits,
        resampling=f"95 % intervals by resampling {found.unit}s" if limits else "no intervals are in the file",
        study=found.study,
        remark=remark or control,
    )


def behind(panel: Panel, others: Sequence[Panel]) -> list[Panel]:
    """What stands behind a panel: the same network untrained, or a control, where they were shown the same."""
    if panel.is_control:
        return []
    return [
        other
        for other in others
        if other.is_control
        and (other.dataset, other.study) == (panel.dataset, panel.study)
        and (other.network == panel.network or other.network.startswith(_CONTROL))
    ]
