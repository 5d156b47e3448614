"""What there is to run: nox -s reproduce, tests, lint. Each session sets itself up."""

from __future__ import annotations

import nox

nox.options.sessions = ["lint", "tests"]
nox.options.reuse_existing_virtualenvs = True
nox.needs_version = ">=2024.4.15"


def _install(session: nox.Session, extra: str) -> None:
    session.install("--editable", f".[{extra}]", "--constraint", "constraints.txt")


@nox.session
def reproduce(session: nox.Session) -> None:
    """Run the benchmark suite and write the report; arguments go to pytest (-k vos, --seed 1, --strict, ...)."""
    _install(session, "benchmark")
    session.run("pytest", "benchmarks", "--benchmark-quiet", "-rfE", *session.posargs)


@nox.session(name="train-calibration")
def train_calibration(session: nox.Session) -> None:
    """Train the small networks of the calibration from nothing; --processes 2 and others go to the trainer."""
    _install(session, "benchmark")
    session.run("python", "-m", "sdbench.calibration", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; arguments go to pytest."""
    _install(session, "test")
    session.run("pytest", "tests", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types."""
    _install(session, "test,lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
