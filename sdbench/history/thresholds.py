"""How much slower a timed loop may become before a run is called worse: benchmarks/thresholds.json."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sdbench.base.errors import InputError
from sdbench.cases.records import faults


class Threshold(BaseModel):
    """`ratio`: the median may become so many times what it was, for loops whose name matches `loop`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    loop: Annotated[str, Field(min_length=1)]
    ratio: Annotated[float, Field(gt=1, allow_inf_nan=False)]
    because: Annotated[str, Field(min_length=10)]


class Thresholds(BaseModel):
    """All thresholds; the first that matches counts, and a loop that none matches is not compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    times: tuple[Threshold, ...] = ()

    def ratio(self, loop: str) -> float | None:
        """How many times slower `loop` may become; None where nothing is said of it."""
        # Brackets are part of the names of parametrised loops, not of a pattern.
        return next(
            (known.ratio for known in self.times if fnmatchcase(loop, known.loop.replace("[", "[[]"))),
            None,
        )


def read_thresholds(path: Path) -> Thresholds:
    """Read and check a file of thresholds.

    Raises:
        InputError: it is missing, or something in it is not as it should be.
    """
    try:
        return Thresholds.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"thresholds cannot be read from {path}: {error.strerror}") from None
    except ValidationError as error:
        raise InputError(f"{path} is not a file of thresholds: {'; '.join(faults(error))}") from None
