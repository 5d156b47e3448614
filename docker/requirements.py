"""The packages of the image: which they are, and how they are installed. Only the standard library and pip are there.

requirements.py print GIVEN                 what is wanted, by pyproject.toml
requirements.py select GIVEN FOLDER         what deciding and installing them takes, from the files in GIVEN
requirements.py install FOLDER              install them with pip
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    from pip._vendor import tomli as tomllib

Hashes = dict[tuple[str, str], set[str]]
"""Name and version of a package -> SHA-256 of its files."""

LOCK = "requirements.lock"

_OLDEST_PIP = 23
"""It says what it would install before it does."""


def wanted(content: str) -> list[str]:
    """What the image needs before the code comes, as pip's requirements, read from pyproject.toml."""
    given = tomllib.loads(content)
    project = given["project"]
    # The last two so that the code can be installed without a network afterwards.
    last = [*given["build-system"]["requires"], "editables"]
    return [*project["dependencies"], *project["optional-dependencies"]["benchmark"], *last]


def read_hashes(content: str) -> Hashes:
    """The hashes of a lock file of pip's form."""
    joined = content.replace("\\\n", " ")
    found: Hashes = {}
    for line in joined.splitlines():
        if pin := re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line):
            key = (_plain(pin[1]), pin[2])
            found.setdefault(key, set()).update(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
    return found


def select(given: Path, folder: Path) -> None:
    """Write into `folder` all that the installation depends on: a change of anything else in `given` changes none."""
    folder.mkdir(parents=True)
    (folder / "wanted.txt").write_text("\n".join(wanted((given / "pyproject.toml").read_text())) + "\n")
    pins = [line for line in (given / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    if (given / LOCK).is_file():
        shutil.copy(given / LOCK, folder)
        names = {name for name, _ in read_hashes((given / LOCK).read_text())}
        pins = [line for line in pins if _plain(line.partition("==")[0]) in names]
    (folder / "constraints.txt").write_text("\n".join(pins) + "\n")
    shutil.copy(given / "requirements.py", folder)


def install(folder: Path) -> None:
    """Install what the base does not bring; each file has one of the lock's hashes, where there is a lock."""
    pip = [sys.executable, "-m", "pip", "install", "--only-binary=:all:"]
    resolved = ["--constraint", str(folder / "constraints.txt"), "--requirement", str(folder / "wanted.txt")]
    if not (folder / LOCK).is_file():
        sys.stderr.write("no hashes are asked for: there is no docker/requirements.lock\n")
        _run([*pip, *resolved])
        return
    hashes = read_hashes((folder / LOCK).read_text())
    hashed = folder / "hashed.txt"
    only_these = [*pip, "--no-deps", "--require-hashes", "--requirement", str(hashed)]
    version = subprocess.run([*pip[:3], "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    if int(version.partition(".")[0]) < _OLDEST_PIP:
        hashed.write_text("".join(_line(*key, hashes[key]) for key in hashes if key[0] == "pip"))
        _run(only_these)
    report = folder / "report.json"
    _run([*pip, "--dry-run", "--report", str(report), *resolved])
    planned = json.loads(report.read_text())["install"]
    hashed.write_text("".join(locked(item, hashes) for item in planned))
    if planned:
        shown = subprocess.run([*pip, "--help"], capture_output=True, text=True, check=True).stdout
        _run([*only_these, *(["--progress-bar=raw"] if "raw" in shown else [])])
    report.unlink()


def locked(item: dict, hashes: Hashes) -> str:
    """The line that installs one package of pip's plan, with its hashes."""
    name, version = _plain(item["metadata"]["name"]), item["metadata"]["version"]
    key = (name, version if (name, version) in hashes else version.partition("+")[0])
    if key not in hashes:
        sys.exit(f"{name}=={version} has no hash in docker/requirements.lock; write it anew with: nox -s lock")
    archive = item["download_info"].get("archive_info", {})
    found = archive.get("hashes", {}).get("sha256") or archive.get("hash", "").partition("sha256=")[2]
    if found and found not in hashes[key]:
        sys.exit(
            f"{name}=={version}: this package index has a file of SHA-256 {found}, which docker/requirements.lock does "
            "not name. For an index with builds of its own, write a lock of its own (nox -s lock -- --output-file FILE "
            "--index-url URL) and name it with --lock FILE"
        )
    return _line(name, version, hashes[key])


def _line(name: str, version: str, hashes: set[str]) -> str:
    return " ".join([f"{name}=={version}", *(f"--hash=sha256:{value}" for value in sorted(hashes))]) + "\n"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _run(command: list[str]) -> None:
    status = subprocess.run(command, check=False).returncode
    if status:
        sys.exit(status)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["print", given]:
            sys.stdout.write("\n".join([*wanted((Path(given) / "pyproject.toml").read_text()), "pip"]) + "\n")
        case ["select", given, folder]:
            select(Path(given), Path(folder))
        case ["install", folder]:
            install(Path(folder))
        case _:
            sys.exit(__doc__)
