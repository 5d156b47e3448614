"""Environments with exactly the packages of a set, made in seconds of files that lie on the disk once.

pip installs each of two sets into a folder of its own. The environment of a mixture holds hard links to the files of
each package, by its own list of them, so that nothing is downloaded or copied again and no package sees two versions.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from packaging.utils import canonicalize_name

from sdbench.base.errors import InputError
from sdbench.history.package_sets import PackageSet

_LAST_LINES = 6
"""So many lines of a program's output are shown where it failed."""


class Installer:
    """Resolves, installs and mixes packages, with all it makes in one folder.

    Args:
        folder: where; what is whole there is used again.
        root: the checkout whose requirements are resolved and whose code the environments import.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder, self._root = folder.resolve(), root.resolve()  # trials run in another folder

    def resolve(self, constraints: str) -> str:
        """The report of pip on the packages that it would install for the benchmarks under constraints.

        Raises:
            InputError: there is no such set.
        """
        with tempfile.TemporaryDirectory() as folder:
            report, held = Path(folder) / "report.json", Path(folder) / "constraints.txt"
            held.write_text(constraints, encoding="utf-8")
            wanted = ("--constraint", str(held), f"{self._root}[benchmark]")
            self._pip("install", "--dry-run", "--ignore-installed", "--report", str(report), *wanted)
            return report.read_text(encoding="utf-8")

    def installed(self, packages: PackageSet) -> Path:
        """The folder into which packages are installed, and nothing else.

        Raises:
            InputError: one of them cannot be installed.
        """
        wanted = "".join(f"{name} @ {package.url}\n" for name, package in packages.items())
        with _whole(self._folder / "packages" / _digest(wanted)) as made:
            if made is not None and wanted:
                listed = made.with_name(f"{made.name}.txt")
                listed.write_text(wanted, encoding="utf-8")
                try:
                    self._pip(
                        "install", "--no-deps", "--no-compile", "--target", str(made), "--requirement", str(listed)
                    )
                finally:
                    listed.unlink()
        return self._folder / "packages" / _digest(wanted)

    def environment(self, good: PackageSet, bad: PackageSet, changed: Collection[str]) -> Path:
        """The interpreter of an environment with the good set, but for some packages that are as in the bad one.

        Raises:
            InputError: a package cannot be installed.
        """
        raised = {name: bad[name] for name in bad if good.get(name) != bad[name]}
        homes = (self.installed(good), self.installed(raised))
        key = _digest(f"{sorted(changed)}{homes}{self._root}{sys.version}")
        with _whole(self._folder / "environments" / key) as made:
            if made is not None:
                _run([sys.executable, "-m", "venv", "--without-pip", str(made)])
                packages = next(made.glob("lib/python*/site-packages"), made / "Lib" / "site-packages")
                _link(homes[0], packages, set(good) - set(changed))
                _link(homes[1], packages, set(raised) & set(changed))
                (packages / "sdbench-checkout.pth").write_text(f"{self._root}\n", encoding="utf-8")
        return self._folder / "environments" / key / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def _pip(self, *arguments: str) -> None:
        python = sys.executable
        if find_spec("pip") is None:  # as in an environment that uv made
            with _whole(self._folder / "pip") as made:
                if made is not None:
                    _run([sys.executable, "-m", "venv", str(made)])
            python = str(self._folder / "pip" / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
        _run([python, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet", *arguments])


@contextlib.contextmanager
def _whole(folder: Path) -> Iterator[Path | None]:
    """A folder to fill, which takes its name when the block ends well; None where it is there already."""
    if folder.is_dir():
        yield None
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = folder.with_name(f".unfinished-{folder.name}")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    try:
        yield made
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _link(home: Path, into: Path, names: Collection[str]) -> None:
    """Link the files of packages that are installed in `home`, by the list that each has of its own."""
    for each in metadata.distributions(path=[str(home)]):
        if canonicalize_name(each.metadata["Name"]) not in names:
            continue
        for file in each.files or ():
            if ".." in file.parts or not (home / file).is_file():  # a program, which nothing here calls
                continue
            place = into / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)  # of two packages with one file the later one has it, as with pip
            try:
                os.link(home / file, place)
            except OSError:  # a file system without hard links
                shutil.copy2(home / file, place)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise InputError(f"{' '.join(command[1:5])} failed: {last_lines(done.stderr or done.stdout)}")


def last_lines(text: str) -> str:
    """The end of what a program said, in one line; what it only warns of is left out."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("WARNING")]
    return " / ".join(lines[-_LAST_LINES:]) or "it says nothing"


def environment_variables(cache: Path) -> Mapping[str, str]:
    """The variables of a trial: no packages but those of its environment, and a cache of its own."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return {**kept, "PYTHONNOUSERSITE": "1", "SDBENCH_CACHE": str(cache)}
