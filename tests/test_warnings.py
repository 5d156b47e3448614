"""Whose warnings are errors: this package's own, in its tests and nowhere else."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("module", ["sdbench.report.pictures", "tests.report", "benchmarks.conftest"])
def test_ours_are_errors_in_tests(module: str) -> None:
    with pytest.raises(DeprecationWarning):
        warnings.warn_explicit("old", DeprecationWarning, "file.py", 1, module=module)


def test_what_a_library_tells_itself_is_none() -> None:
    with warnings.catch_warnings(record=True) as said:  # filters stay as they are: an error would be raised
        warnings.warn_explicit("old", DeprecationWarning, "file.py", 1, module="matplotlib.mathtext")
    assert len(said) <= 1


def test_no_warning_fails_a_case_of_the_suite(request: pytest.FixtureRequest) -> None:
    written = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("filterwarnings = [")[2].partition("]")[0]
    assert "error" not in written
    assert any(line.startswith("error") for line in request.config.getini("filterwarnings"))
