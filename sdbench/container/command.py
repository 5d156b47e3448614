"""The options of `python -m sdbench.container`; what is none of them goes to pytest."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import docker

from sdbench.assets.lock import LOCK_VARIABLE
from sdbench.assets.store import AssetStore
from sdbench.base.errors import InputError, SdbenchError
from sdbench.base.journal import JOURNAL, set_aside
from sdbench.base.supervisor import named_signal
from sdbench.container.assets import bring_assets
from sdbench.container.base import default_base, pin_base
from sdbench.container.engine import EngineError, check_gpu, connect, remove_orphans
from sdbench.container.image import Image, image_for
from sdbench.container.pruning import KEPT, prune_images
from sdbench.container.run import DATA, EXPECTED, GIB, REPORT, Job, Stopped, run
from sdbench.container.source import DOCKERFILE, NO_LOCK, source_state
from sdbench.report.from_lines import rescue

ROOT = Path(__file__).parents[2]

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""Build arguments that every builder knows and keeps out of the image."""

_WRITTEN = ("--junitxml", "--junit-xml", "--benchmark-json")
"""Options of pytest whose files can be written into the report's folder only."""

_ONLY_LISTS = {"--collect-only", "--collectonly", "--co", "--help", "-h"}

_STATUSES = {
    0: "ended well",
    1: "ended with cases that failed",
    2: "was told to end",
    3: "ended since pytest itself broke",
    4: "was given options that pytest does not take",
    5: "had no case to run: none is selected",
}
"""What pytest's exit statuses say."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks in a container; returns pytest's exit status.

    1 is also returned after an error that the user can act on, 130 after Ctrl-C, and 128 and its number after another
    signal.
    """
    try:
        return _run(sys.argv[1:] if arguments is None else list(arguments))
    except SdbenchError as error:
        print(f"sdbench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("sdbench: interrupted", file=sys.stderr)
        return 130
    except Stopped as stopped:
        print(f"sdbench: told to end by {named_signal(stopped.number)}", file=sys.stderr)
        return 128 + stopped.number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sdbench.container",
        description="Run the benchmarks in a container. Other arguments go to pytest (-k vos, --seed 1, ...).",
        allow_abbrev=False,
    )
    parser.add_argument("--base", metavar="IMAGE", help="base image with Python (default: as docker/Dockerfile says)")
    parser.add_argument(
        "--build-network", metavar="NAME", help="network of the build: host, none, ... (default: engine's)"
    )
    parser.add_argument(
        "--build-arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="PIP_INDEX_URL=..., PIP_EXTRA_INDEX_URL=...",
    )
    parser.add_argument(
        "--lock",
        type=Path,
        metavar="FILE",
        help="hashes of the packages of another index; none: install without (default: docker/requirements.lock)",
    )
    parser.add_argument(
        "--keep-images",
        type=_count,
        default=KEPT,
        metavar="N",
        help=f"images of newest states to keep (default: {KEPT})",
    )
    parser.add_argument("--build-only", action="store_true", help="see that the image is there, and end")
    parser.add_argument(
        "--pin-base",
        action="store_true",
        help="write the base (--base NAME:TAG) with its digest into docker/Dockerfile",
    )
    parser.add_argument("--memory", type=_size, help="most memory, as 16g (default: nine tenths of the engine's)")
    parser.add_argument("--shared-memory", type=_size, default=GIB, help="size of /dev/shm (default: 1g)")
    parser.add_argument(
        "--fallback",
        type=Path,
        metavar="FILE",
        help="where no container can be had, write why, and pytest's arguments, to FILE and end well",
    )
    parser.add_argument("--report", type=Path, default=ROOT / "reports" / "latest", help="folder of the report")
    parser.add_argument("--data", type=Path, default=os.environ.get("SDBENCH_DATA"), help="folder of your data sets")
    parser.add_argument(
        "--expected", type=Path, default=os.environ.get("SDBENCH_EXPECTED"), help="folder of your own expected values"
    )
    parser.add_argument("--device", default="cpu", help="cpu, or cuda for all GPUs (default: cpu)")
    parser.add_argument("--ray", metavar="ADDRESS", help="not in a container: with --where host only")
    return parser


def _run(arguments: list[str]) -> int:
    started = time.monotonic()
    options, rest = _parser().parse_known_args(arguments)
    if options.ray is not None:
        why = "a container has no network, and the workers of a Ray cluster run outside of it"
        if options.fallback is None:
            raise InputError(f"--ray does not go with --where container: {why}; use --where host")
        return _elsewhere(options, rest, why)
    if options.pin_base:
        print(pin_base(connect(), ROOT / DOCKERFILE, options.base))
        return 0
    if options.build_only:
        image = _image(connect(), options)
        print(f"{image.name} {image.id} from {image.base} ({image.base_digest})")
        return 0
    store = AssetStore()
    job = _job(options, rest, store)
    if not _ONLY_LISTS & set(rest):
        _set_old_report_aside(job.report)
    try:
        client = connect()
        for sentence in remove_orphans(client):
            print(f"sdbench: {sentence}", file=sys.stderr)
        image = _image(client, options)
        if options.device.partition(":")[0] == "cuda":
            check_gpu(client, image.id)
    except EngineError as error:
        if options.fallback is None:
            raise
        return _elsewhere(options, rest, str(error))
    bring_assets(client, image, job, store, ROOT)
    state = "built just now" if image.built else "was there"
    print(f"sdbench: running in a container: an engine answers, and its image {image.name} {state}", file=sys.stderr)
    try:
        outcome = run(client, image, job, ROOT)
    except (EngineError, KeyboardInterrupt, Stopped) as error:
        why = str(error).partition(";")[0] if isinstance(error, EngineError) else ""
        print(f"sdbench: {_report_of(job.report, why)}", file=sys.stderr)
        raise
    why = f"its container {_STATUSES.get(outcome.status) or _ended(outcome.status)}"
    told = _report_of(job.report, why)
    around = time.monotonic() - started - outcome.seconds
    if outcome.status > 1:
        print(f"sdbench: exit status {outcome.status}: {why}", file=sys.stderr)
    print(f"sdbench: {outcome.seconds:.1f} s in the container, {around:.1f} s around it; {told}", file=sys.stderr)
    return outcome.status


def _set_old_report_aside(folder: Path) -> None:
    """See that no report of another run lies where this one's will; one that a killed run could not write is made."""
    try:
        before = set_aside(folder)
    except OSError as error:
        raise InputError(f"the old report in {folder} cannot be moved aside ({error.strerror})") from None
    if before is not None and not (before / "report.json").exists():
        _report_of(before, "")


def _report_of(folder: Path, why: str) -> str:
    """Where the report of a run is, made now of what it had finished where it could not write one itself."""
    try:
        rescued = rescue(folder, why)
    except (SdbenchError, OSError) as error:
        return f"no report could be written ({error}); {folder / JOURNAL} holds what was finished"
    if not (folder / "report.json").is_file():
        return "no report: no case has ended"
    return f"report: {folder}" + ("" if rescued is None else f", of the {rescued} cases that had ended")


def _ended(status: int) -> str:
    return f"was ended by {named_signal(status - 128)}" if status > 128 else f"ended with status {status}"


def _elsewhere(options: argparse.Namespace, rest: Sequence[str], why: str) -> int:
    """Say why another place has to do, and with which arguments."""
    elsewhere = {"why": why, "arguments": _for_pytest(options, rest)}
    options.fallback.write_text(json.dumps(elsewhere), encoding="utf-8")
    return 0


def _for_pytest(options: argparse.Namespace, rest: Sequence[str]) -> list[str]:
    """The arguments of the same run without a container."""
    named = [
        ("--report", options.report),
        ("--data", options.data),
        ("--expected", options.expected),
        ("--device", options.device),
        ("--ray", options.ray),
    ]
    return [*rest, *(part for name, value in named if value is not None for part in (name, str(value)))]


def _image(client: docker.DockerClient, options: argparse.Namespace) -> Image:
    dockerfile = ROOT / DOCKERFILE
    if not dockerfile.is_file():
        raise InputError(f"{dockerfile} is not there; expected a checkout of sdbench, or use --where host")
    arguments = {"BASE": options.base or default_base(dockerfile.read_text(encoding="utf-8"))}
    for given in options.build_arg:
        name, equals, value = given.partition("=")
        if not equals:
            raise InputError(f"--build-arg takes NAME=VALUE; got {given!r}")
        arguments[name] = value
    proxies = {name: os.environ[name] for name in _PROXIES if name in os.environ}
    if options.lock is not None and options.lock != NO_LOCK and not options.lock.is_file():
        raise InputError(f"no file of hashes at {options.lock} (--lock); `nox -s lock` writes one")
    image = image_for(client, source_state(ROOT, arguments, options.lock), proxies, options.build_network)
    if image.built:
        prune_images(client, image, options.keep_images)
    return image


def _job(options: argparse.Namespace, rest: Sequence[str], store: AssetStore) -> Job:
    """What to run: paths of this machine become those inside."""
    report = options.report.resolve()
    passed = [*_written_inside(rest, report), "--report", REPORT, "--device", options.device]
    data = None
    if options.data is not None:
        data = Path(options.data).resolve()
        if not data.is_dir():
            raise InputError(f"no folder at {data}; expected the folder of your data sets (--data, or SDBENCH_DATA)")
        passed += ["--data", DATA]
    expected = None
    if options.expected is not None:
        expected = Path(options.expected).resolve()
        if not expected.is_dir():
            raise InputError(f"no folder at {expected}; expected one of your own expected values (--expected)")
        passed += ["--expected", EXPECTED]
    for folder in (report, store.folder.resolve() / "assets"):
        try:
            folder.mkdir(parents=True, exist_ok=True)  # by the caller, before the engine makes it as root
        except OSError as error:
            raise InputError(f"{folder} cannot be made ({error.strerror}); name another folder") from None
    lock = Path(os.environ[LOCK_VARIABLE]).expanduser().resolve() if os.environ.get(LOCK_VARIABLE) else None
    return Job(
        arguments=passed,
        cache=store.folder.resolve(),
        report=report,
        data=data,
        expected=expected,
        lock=lock if lock is not None and lock.is_file() else None,
        device=options.device,
        memory=options.memory,
        shared_memory=options.shared_memory,
    )


def _written_inside(rest: Sequence[str], report: Path) -> list[str]:
    """Pytest's arguments, with the files that it is to write named as they are inside."""
    changed = list(rest)
    for number, argument in enumerate(rest):
        option, equals, value = argument.partition("=")
        if option not in _WRITTEN:
            continue
        place = number if equals else number + 1
        if place >= len(rest):
            raise InputError(f"{option} takes a file")
        file = Path(value if equals else rest[place]).resolve()
        if not file.is_relative_to(report):
            raise InputError(
                f"{option} {file}: from a container only the report's folder can be written; name a file in {report}"
            )
        inside = f"{REPORT}/{file.relative_to(report).as_posix()}"
        changed[place] = f"{option}={inside}" if equals else inside
    return changed


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgt]?)b?", text.strip().lower())
    if found is None or not float(found.group(1)):
        raise argparse.ArgumentTypeError(f"expected a size like 512m or 16g; got {text!r}")
    return int(float(found.group(1)) * 1024 ** " kmgt".index(found.group(2) or " "))


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a number of images, at least 1; got {text!r}")
    return int(text)
