"""Three nights: a library is raised between the first and the second, and moves a number that lies in a cache."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdbench.base import cache_keys, environment
from sdbench.base.cache_folders import Cache
from sdbench.base.cache_keys import cache_key
from sdbench.base.cache_log import cache_log
from sdbench.base.kept import empty_cache, kept_arrays
from sdbench.history.file import HistoryFile
from sdbench.history.record import Run, run_of_report
from sdbench.history.standing import Standing, standings
from sdbench.history.text import comparison_text, issue_text
from sdbench.history.thresholds import Thresholds
from tests.history.conftest import RECORDED, case

LIBRARY = "raised_library"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, float], None]]:
    """Install the library in some version, whose outputs are so many times what they were."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))

    def installed(version: str, scale: float) -> None:
        shutil.rmtree(site, ignore_errors=True)
        about = site / f"{LIBRARY}-{version}.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {LIBRARY}\nVersion: {version}\n")
        (site / f"{LIBRARY}.py").write_text(f"def stylise(values):\n    return values * {scale}\n")
        forget()

    yield installed
    forget()


def forget() -> None:
    """What a new process does not know."""
    sys.modules.pop(LIBRARY, None)
    importlib.invalidate_caches()
    for cached in (cache_keys.library, cache_keys._software, environment.installed_packages):
        cached.cache_clear()


@pytest.fixture
def night(report: Callable[..., Path], tmp_path: Path) -> Callable[[int, Cache], tuple[Run, Standing]]:
    """Measure with what is installed, and add the run to the history."""
    history = HistoryFile(tmp_path / "history.jsonl")

    def ran(day: int, cache: Cache) -> tuple[Run, Standing]:
        def change(content: dict[str, Any]) -> None:
            with cache_log() as log:
                library = importlib.import_module(LIBRARY)
                key = cache_key("stylised clips", "clip 1", code=LIBRARY)
                found = kept_arrays(cache.painted, key, lambda: {"frames": library.stylise(np.full(4, 12.0))})
                case(content, RECORDED)["measured"]["dynamic"] = float(found["frames"].mean())
                here = environment.describe_environment(tmp_path, ["pytest"])
                content["environment"] |= {name: here[name] for name in ("packages", "packages_sha256")}
                content["environment"]["taken from a cache"] = log.taken() or "nothing"

        run = run_of_report(report(day, change))
        assert history.add(run)
        content = history.read()
        return run, list(standings(content.runs, content.accepted, Thresholds()))[-1]

    return ran


def test_the_second_night_is_red_and_names_the_library(install: Callable, night: Callable, tmp_path: Path) -> None:
    kept = Cache(tmp_path / "cache")
    install("1.32.0", 1.0)
    first, _ = night(1, kept)
    install("1.33.0", 1.03)
    second, standing = night(2, kept)
    assert first.environment["taken from a cache"] == second.environment["taken from a cache"] == "nothing"
    assert standing.comparison.is_regression
    assert not standing.is_good
    assert standing.comparison.changed == ["raised-library: 1.32.0 -> 1.33.0"]
    assert [finding.name for finding in standing.comparison.worse] == [RECORDED]
    with empty_cache(kept.root) as fresh:
        _, standing = night(3, fresh)
    assert standing.comparison.reference is not None
    assert standing.comparison.reference.id == first.id
    for text in (comparison_text(standing.comparison), issue_text(standing.comparison)):
        assert "raised-library: 1.32.0 -> 1.33.0" in text
        assert "nothing else changed" not in text.lower()
    assert [path.name for path in (kept.root / "fresh").iterdir()] == [], "nothing is left of it"


def test_what_a_night_took_says_when_and_by_what_it_was_made(
    install: Callable, night: Callable, tmp_path: Path
) -> None:
    kept = Cache(tmp_path / "cache")
    install("1.32.0", 1.0)
    night(1, kept)
    second, standing = night(2, kept)
    (taken,) = second.environment["taken from a cache"].items()
    assert taken[0] == "stylised clips"
    assert taken[1].startswith("1, made 20")
    assert f" UTC by {LIBRARY} 1.32.0, sdbench " in taken[1]
    assert not standing.comparison.is_regression
    assert f"run {second.id} took from a cache stylised clips: 1, made" in comparison_text(standing.comparison)
    with empty_cache(kept.root) as fresh:
        third, _ = night(3, fresh)
    assert third.environment["taken from a cache"] == "nothing"


def test_what_a_killed_run_left_of_its_empty_cache_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / "fresh" / "0"
    (left / "painted").mkdir(parents=True)
    left.with_suffix(".lock").touch()
    with empty_cache(tmp_path) as own, empty_cache(tmp_path) as beside:
        assert not left.exists()
        assert own.root.is_dir(), "that of another run is not"
        assert beside.root.is_dir()


def test_every_night_is_fresh() -> None:
    """A workflow on a schedule computes everything anew, whatever lies on its machine."""
    folder = Path(__file__).parents[2] / ".github" / "workflows"
    texts = [text for path in folder.glob("*.yml") if "schedule:" in (text := path.read_text(encoding="utf-8"))]
    calls = [line for text in texts for line in text.splitlines() if "nox -s reproduce" in line]
    assert calls
    options = [line for text in texts for line in text.splitlines() if "options=(" in line]
    assert all("--fresh" in line for line in options), options
    assert all("--fresh" in line or (options and "options[@]" in line) for line in calls), calls
