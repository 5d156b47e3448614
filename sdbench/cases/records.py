"""The files in `expected/`: what was published, claimed or recorded, and how far a measurement may lie from it.

A file is JSON. Every field is checked, an unknown one is refused, and a value without a source cannot be written down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from sdbench.base.errors import InputError
from sdbench.cases.subject import Subject
from sdbench.statistics.quantities import QUANTITIES

Text = Annotated[str, Field(min_length=3)]
Name = Annotated[str, Field(min_length=1)]
Percent = Annotated[float, Field(allow_inf_nan=False)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+/-]+$")]

Kind = Literal["published", "unpublished", "recorded"]
"""Whether others published a number or a claim, published none, or this suite recorded it."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Record):
    """Where a value comes from.

    `reading` says how it was got: printed as a number, digitised from a picture, or recorded by running this suite; a
    recorded value names the command, the commit, the machine and the day.
    """

    reading: Literal["printed", "digitised", "recorded"]
    where: Text
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    command: str | None = None
    commit: str | None = None
    machine: str | None = None

    @model_validator(mode="after")
    def _recorded_is_traceable(self) -> Source:
        if self.reading == "recorded":
            lacking = [name for name in ("date", "command", "commit", "machine") if not getattr(self, name)]
            if lacking:
                raise ValueError(f"a recorded value must name its {', '.join(lacking)}")
        return self


class ExpectedValue(_Record):
    """One published or recorded result: a few numbers that are measured together.

    Attributes:
        id: unique, the name of the pytest case.
        quantity: one of `sdbench.statistics.quantities.QUANTITIES`, or another that a case knows how to measure.
        network, trained_on, dataset, layer: what is measured.
        options: what else decides the number.
        values: name -> expected number, in percent.
        source: where the values come from.
        uncertainty: how well they could be read, in percentage points.
        tolerance: name -> how far a measurement may lie from the value, in percentage points, beside `uncertainty`.
        tolerance_reason: why that far and no farther.
        withdrawn: name of a value that is held against nothing -> why: it was published, but no measurement can tell
            whether it is right. It is measured and shown all the same.
        needs: what it takes to measure this beside sdbench itself, and how to get it; one sentence each.
    """

    id: Identifier
    task: Text
    quantity: Text
    network: Name
    trained_on: Name
    dataset: Name
    layer: Name | None = None
    options: dict[str, int | float | bool | str] = {}
    values: dict[str, Percent]
    source: Source
    uncertainty: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    tolerance: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]]
    tolerance_reason: Annotated[str, Field(min_length=20)]
    withdrawn: dict[str, Annotated[str, Field(min_length=20)]] = {}
    needs: tuple[str, ...] = ()

    _subject: Subject | None = PrivateAttr(None)

    @property
    def subject(self) -> Subject | None:
        """What its file says of how to open network and data set; None where this suite knows both."""
        return self._subject

    def about(self, subject: Subject) -> ExpectedValue:
        """The same value, of a network and a study that are opened as `subject` says."""
        copy = self.model_copy()
        copy._subject = subject
        return copy

    @model_validator(mode="after")
    def _complete(self) -> ExpectedValue:
        if not self.values:
            raise ValueError("values must hold at least one number")
        if self.values.keys() != self.tolerance.keys():
            raise ValueError(f"tolerance must name {', '.join(self.values)}; it names {', '.join(self.tolerance)}")
        if not self.withdrawn.keys() < self.values.keys():
            raise ValueError(f"withdrawn must name some of {', '.join(self.values)}, and not all of them")
        return self

    @property
    def judged(self) -> dict[str, float]:
        """The values that a measurement is held against: all that are not withdrawn."""
        return {name: value for name, value in self.values.items() if name not in self.withdrawn}

    @property
    def kind(self) -> Kind:
        """Whether the value was published, or recorded by this suite."""
        return "recorded" if self.source.reading == "recorded" else "published"

    @property
    def is_published(self) -> bool:
        """Whether the value was published, not recorded here."""
        return self.kind == "published"


class Unpublished(_Record):
    """A result of the paper's study whose number was never published: measured and reported, held against nothing.

    Attributes:
        options: what else decides the number, as of an `ExpectedValue`.
        note: what a reader of the measured number should know.
    """

    id: Identifier
    task: Text
    quantity: Text
    network: Name
    trained_on: Name
    dataset: Name
    layer: Name | None = None
    options: dict[str, int | float | bool | str] = {}
    note: Text | None = None
    needs: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """No number was published, and none is recorded."""
        return "unpublished"


class Quantity(_Record):
    """One measured number that a claim speaks of: `name` is "shares.dynamic", "units.residual", ..."""

    network: Name
    trained_on: Name
    dataset: Name
    layer: Name
    name: Annotated[str, Field(pattern=r"^(shares|units)\.[a-z]+$")]


class Comparison(_Record):
    """`greater` is measured to be greater than `lesser`."""

    greater: Quantity
    lesser: Quantity


class Claim(_Record):
    """A statement in words and the inequalities that it comes down to; it holds if all of them do.

    An inequality holds where the 95 % interval of its margin lies above 0. With `each_seed` it must hold for every one
    of several networks that were trained alike.
    """

    id: Identifier
    task: Text
    statement: Text
    source: Text
    published: bool
    comparisons: Annotated[tuple[Comparison, ...], Field(min_length=1)]
    each_seed: bool = False
    needs: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """Whether the claim was published, or recorded by this suite."""
        return "published" if self.published else "recorded"


Record = ExpectedValue | Unpublished | Claim


@dataclass(frozen=True)
class Asked:
    """One measurement that a record asks for: of a network, trained on something, on a data set.

    With a subject, the three are what these are called, and the subject says how both are opened.
    """

    network: str
    trained_on: str
    dataset: str
    subject: Subject | None = None


def asked(record: Record) -> tuple[Asked, ...]:
    """What a record asks to be measured: its own network and data set, or all that a claim compares.

    Each stands once, in the order in which the record names it.
    """
    if isinstance(record, Claim):
        sides: Sequence[ExpectedValue | Unpublished | Quantity] = [
            side for comparison in record.comparisons for side in (comparison.greater, comparison.lesser)
        ]
    else:
        sides = [record]
    subject = record.subject if isinstance(record, ExpectedValue) else None
    return tuple(dict.fromkeys(Asked(side.network, side.trained_on, side.dataset, subject) for side in sides))


class ExpectedFile(_Record):
    """One file of `expected/`.

    With a `subject`, all of its values are shares or units of that network on that study, and it holds nothing else.
    """

    schema_version: Literal[1] = Field(alias="schema")
    about: Text
    subject: Subject | None = None
    values: tuple[ExpectedValue, ...] = ()
    claims: tuple[Claim, ...] = ()
    unpublished: tuple[Unpublished, ...] = ()

    @model_validator(mode="after")
    def _of_its_subject(self) -> ExpectedFile:
        if self.subject is None:
            return self
        if self.claims or self.unpublished:
            raise ValueError("a file with a subject holds values only; write claims and the unpublished into another")
        for value in self.values:
            if (value.network, value.dataset) != (self.subject.network, self.subject.study):
                raise ValueError(
                    f"{value.id} is of {value.network} on {value.dataset}; the file's subject is "
                    f"{self.subject.network} on {self.subject.study}"
                )
            if value.quantity not in (*QUANTITIES, "variance"):
                raise ValueError(
                    f"{value.id} is of {value.quantity}; of a subject, {', '.join(QUANTITIES)} and variance are known"
                )
        return self


def read_expected(path: Path) -> ExpectedFile:
    """Read and check one file.

    Raises:
        InputError: it is missing, is no JSON, has an unknown field or lacks one; all faults are named.
    """
    try:
        return ExpectedFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"expected values cannot be read from {path}: {error.strerror}") from None
    except ValidationError as error:
        raise InputError(f"{path} is not a file of expected values: {'; '.join(faults(error))}") from None


def faults(error: ValidationError) -> list[str]:
    """What is wrong with a file that was refused, in words: each field with its fault."""
    return [f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}" for fault in error.errors()]


def _records(file: ExpectedFile, folder: Path) -> tuple[Record, ...]:
    """What a file of this folder holds."""
    values = file.values
    if file.subject is not None:
        subject = file.subject.read_from(folder)
        values = tuple(value.about(subject) for value in values)
    return (*values, *file.unpublished, *file.claims)


def read_all(*folders: Path) -> list[Record]:
    """All records below `folders`, by file name: values, claims, and results whose number was never published.

    Raises:
        InputError: a file cannot be used, a folder has none, or an id is given twice.
    """
    records: list[Record] = []
    seen: dict[str, Path] = {}
    for folder in folders:
        paths = sorted(folder.rglob("*.json"))
        found = [(path, record) for path in paths for record in _records(read_expected(path), path.parent)]
        if not found:
            raise InputError(f"no expected values below {folder}; expected .json files there")
        for path, record in found:
            if record.id in seen:
                raise InputError(f"{record.id} stands in {seen[record.id]} and in {path}; an id must be unique")
            seen[record.id] = path
            records.append(record)
    return records
