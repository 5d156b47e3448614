"""One run as the history keeps it: what report.json says of it, checked."""

from __future__ import annotations

import hashlib
import re
import shlex
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sdbench.base.errors import InputError
from sdbench.base.journal import JOURNAL
from sdbench.base.rehearsal import MARK
from sdbench.cases.records import faults
from sdbench.cases.verdicts import Verdict

Identity = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]

SETTINGS = ("seed", "pairs", "protocol", "device")
"""What a run was asked to do; runs that were asked for something else measure other numbers."""

_SELECTING = re.compile(
    r"""--(deselect|ignore|ignore-glob|lf|last-failed|sw|stepwise|exitfirst|maxfail|benchmark-only|benchmark-skip)(=.*)?$
    | -[hlqsv]*[kmx]    # -k, -m and -x may follow other letters, and what -k and -m take may follow them
    | .*(::|\.py$)      # the name of a case, or a file""",
    re.VERBOSE,
)
"""A word of pytest's command line that chooses a part of the suite, or may end a run early."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class CaseRecord(_Record):
    """The outcome of one case, with the fields of `sdbench.cases.verdicts.Case`; a number that was none is None."""

    verdict: Verdict
    measured: dict[str, float | None] | None
    expected: dict[str, float | str | None]
    tolerance: dict[str, float] | None
    interval: dict[str, tuple[float | None, float | None]] | None
    seconds: float = 0.0

    def band(self, name: str) -> tuple[float, float] | None:
        """Where another run's `name` would lie: its interval, else its tolerance about what was measured, else None."""
        if self.interval is not None and name in self.interval:
            low, high = self.interval[name]
            # What no draw changes has a point, from which another machine's last bits differ: its tolerance counts.
            if low is not None and high is not None and (high > low or not self.tolerance):
                return low, high
        value = (self.measured or {}).get(name)
        if value is None or self.tolerance is None or name not in self.tolerance:
            return None
        return value - self.tolerance[name], value + self.tolerance[name]


class Timing(_Record):
    """pytest-benchmark's statistics of one timed loop, in seconds a round."""

    min: float
    max: float
    mean: float
    stddev: float
    median: float
    q1: float
    q3: float
    rounds: float


class Run(_Record):
    """One run.

    Attributes:
        id: twelve characters of the hash of its report.
        added: when it came into the history, in UTC.
        environment: as its report says.
        cases: the outcome of every case.
        timings: name of a timed loop -> its statistics.
    """

    id: Identity
    added: datetime
    environment: dict[str, Any]
    cases: dict[str, CaseRecord]
    timings: dict[str, Timing] = {}

    @property
    def date(self) -> str:
        """When it ran, as its report says."""
        return str(self.environment.get("date", self.added.isoformat(timespec="seconds")))

    @property
    def settings(self) -> tuple[str, ...]:
        """What it was asked to do; the number of a device does not matter."""
        told = {name: str(self.environment.get(name)) for name in SETTINGS}
        return (*(told[name] for name in SETTINGS[:-1]), told["device"].partition(":")[0])

    @property
    def machine(self) -> tuple[str, ...]:
        """The machine that it ran on: times of two runs are compared only where this is the same."""
        gpus = [str(gpu).partition(",")[0] for gpu in self.environment.get("gpus") or ()]
        return (*(str(self.environment.get(name)) for name in ("machine", "processor", "cores")), "; ".join(gpus))

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before its end."""
        return bool(self.environment.get("interrupted"))

    @property
    def is_whole(self) -> bool:
        """Whether it was asked for the whole suite and came to its end, so that a case that it lacks was lost."""
        return not self.interrupted and not _selects(str(self.environment.get("command", "")))


class Acceptance(_Record):
    """Somebody's word that a run is good although it differs from the one before; later runs are held against it."""

    run: Identity
    because: Annotated[str, Field(min_length=3)]
    added: datetime


class Line(_Record):
    """One line of a history file: a run or an acceptance, and the hash of it."""

    schema_version: Literal[1] = Field(alias="schema")
    sha256: str
    run: Run | None = None
    accept: Acceptance | None = None


class _Outcome(CaseRecord):
    id: str


class _Report(_Record):
    environment: dict[str, Any]
    cases: tuple[_Outcome, ...]
    timings: dict[str, Timing] = {}


def _selects(command: str) -> bool:
    """Whether a command line of pytest chooses a part of the suite."""
    try:
        words = shlex.split(command)
    except ValueError:  # quotes that do not pair
        words = command.split()
    return any(_SELECTING.match(word) for word in words[1:])


def run_of_report(report: Path) -> Run:
    """The run whose report.json lies in the folder `report`, or is that file.

    Raises:
        InputError: there is none, it is no report of this suite, or it is of a rehearsal.
    """
    path = report / "report.json" if report.is_dir() else report
    try:
        run = run_of_content(path.read_bytes())
    except OSError as error:
        left = (path.parent / JOURNAL).is_file()
        cure = f"; what a killed run left there: python -m sdbench.report {path.parent}" if left else ""
        raise InputError(
            f"no report at {path} ({error.strerror}); expected report.json of a run, as nox -s reproduce writes{cure}"
        ) from None
    except ValidationError as error:
        raise InputError(
            f"{path} is not a report of this suite ({faults(error)[0]}); expected what nox -s reproduce writes"
        ) from None
    if run.environment.get("rehearsal"):
        raise InputError(
            f"{path} is of a {MARK}, whose weights and data are stand-ins: no history keeps it; add a run of real ones"
        )
    return run


def run_of_content(content: bytes) -> Run:
    """The run that the content of a report.json tells of.

    Raises:
        ValidationError: it is no report of this suite.
    """
    read = _Report.model_validate_json(content)
    return Run(
        id=hashlib.sha256(content).hexdigest()[:12],
        added=now(),
        environment=read.environment,
        cases={case.id: CaseRecord(**case.model_dump()) for case in read.cases},
        timings=read.timings,
    )


def now() -> datetime:
    """The time in UTC, to the second."""
    return datetime.now(timezone.utc).replace(microsecond=0)
