"""One line of what was found out about this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["ok", "note", "missing", "fails"]
"""As it should be; worth knowing; something that only some work needs is not here; does not work."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what was looked at, in a few words.
        state: how it is.
        said: what was found.
        cure: what to do about it; "" where there is nothing to do.
        needed: whether the default run, `nox -s reproduce`, does not work while this fails.
        values: the numbers in it, for programs.
    """

    subject: str
    state: State
    said: str
    cure: str = ""
    needed: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stops(self) -> bool:
        """Whether the default run does not work because of this."""
        return self.needed and self.state == "fails"
