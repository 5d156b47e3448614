"""`sdbench history announce / overdue / sync`: tell people of a night, notice that none came, keep a second copy."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sdbench.base.errors import InputError, SdbenchError

SILENT = 3
"""Exit status of `overdue` where the last night is too long ago, as that of a regression."""

_HOURS = 26.0
"""A day, and two hours for a night that takes longer than the one before."""

_REPORT = Path("reports") / "latest"


def add_parts(parts: Any) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser, argparse.ArgumentParser]:
    """Add the parsers of announce, overdue and sync."""
    announcing = parts.add_parser(
        "announce",
        help="tell people of the newest run: issues, a check, a summary, a webhook",
        description=(
            "Who is told depends on variables: GITHUB_TOKEN, GITHUB_REPOSITORY and GITHUB_API_URL (issues; with "
            "GITHUB_SHA and --check also a check), GITHUB_STEP_SUMMARY (a summary), NIGHTLY_WEBHOOK (a message, where "
            "a night is bad and where it is good again). Exit status: 0; 1 where somebody could not be told; 2 a wrong "
            "command line."
        ),
    )
    announcing.add_argument(
        "report", nargs="?", type=Path, default=_REPORT, help="folder of the report (default: %(default)s)"
    )
    announcing.add_argument("--trouble", help="what went wrong, where there is no new run or beside it")
    announcing.add_argument("--check", action="store_true", help="also make a check of the commit from junit.xml")
    announcing.set_defaults(part=_announce)
    dead = parts.add_parser(
        "overdue",
        help="say whether the last run is too long ago",
        description="Tells people as announce does. Exit status: 0 it is not; 1 an error; 3 it is.",
    )
    dead.add_argument("--hours", type=float, default=_HOURS, help="that may pass (default: %(default)g)")
    dead.set_defaults(part=_overdue)
    for part in (announcing, dead):
        part.add_argument("--job", default="pinned", help="which nightly: issues say so (default: %(default)s)")
    syncing = parts.add_parser(
        "sync",
        help="keep a second copy of the history, and bring back what was lost",
        description="Both then hold the lines of both; nothing is ever removed.",
    )
    where = syncing.add_mutually_exclusive_group(required=True)
    where.add_argument("--folder", type=Path, help="the copy lies in this folder")
    where.add_argument("--branch", help="the copy lies on this branch of the repository")
    syncing.add_argument("--remote", default="origin", help="name or address of the repository (default: origin)")
    syncing.add_argument("--pull", action="store_true", help="only bring back: leave the copy as it is")
    syncing.set_defaults(part=_sync)
    return announcing, dead, syncing


def _announce(options: argparse.Namespace) -> int:
    from sdbench.history.announce import Night, summary, tell_check, tell_issues
    from sdbench.history.command import all_standings, read_history
    from sdbench.history.forge import Forge, post_webhook

    content = read_history(options.history)
    night = Night(
        options.job,
        all_standings(options, content),
        trouble=options.trouble,
        link=_link(),
        is_new=bool(content.runs) and _is_of(options.report, content.runs[-1].id),
    )
    text = summary(night, options.report)
    print(night.title)
    work: list[Callable[[], list[str]]] = []
    if place := os.environ.get("GITHUB_STEP_SUMMARY"):
        work.append(lambda: _append(Path(place), text))
    if (forge := Forge.of_environment()) is not None:
        known = forge
        work.append(lambda: tell_issues(night, known))
        if options.check:
            commit = os.environ.get("GITHUB_SHA", "")
            work.append(lambda: [tell_check(night, options.report, commit, text, known)])
    if (webhook := os.environ.get("NIGHTLY_WEBHOOK")) and (night.state != "good" or not night.was_good):
        work.append(lambda: _post(post_webhook, webhook, night.title, job=night.job, state=night.state))
    if not work:
        print(text, end="")
    return _all(work)


def _overdue(options: argparse.Namespace) -> int:
    from sdbench.history.announce import overdue, tell_overdue
    from sdbench.history.command import read_history
    from sdbench.history.forge import Forge, post_webhook
    from sdbench.history.record import now

    if not options.hours > 0:
        raise InputError(f"--hours takes a number above 0; got {options.hours:g}")
    why = overdue(read_history(options.history).runs, now(), options.hours)
    print(why or "the last night is not too long ago")
    work: list[Callable[[], list[str]]] = []
    if (forge := Forge.of_environment()) is not None:
        known = forge
        work.append(lambda: tell_overdue(options.job, why, known, _link()))
    if why is not None and (webhook := os.environ.get("NIGHTLY_WEBHOOK")):
        said = f"{options.job} nightly is overdue: {why}"
        work.append(lambda: _post(post_webhook, webhook, said, job=options.job, state="overdue"))
    return _all(work) or (SILENT if why else 0)


def _sync(options: argparse.Namespace) -> int:
    from sdbench.history.sync import sync_branch, sync_folder

    if options.folder is not None:
        print(sync_folder(options.history, options.folder, options.pull))
    else:
        print(sync_branch(options.history, options.branch, Path.cwd(), options.remote, options.pull))
    return 0


def _all(work: list[Callable[[], list[str]]]) -> int:
    """Do all of it, though a part fails; 1 where one did."""
    status = 0
    for each in work:
        try:
            print("\n".join(each()))
        except SdbenchError as error:
            print(f"sdbench: {error}", file=sys.stderr)
            status = 1
    return status


def _post(post: Callable[..., None], address: str, text: str, **fields: str) -> list[str]:
    link = _link()
    post(address, f"{text} {link}" if link else text, link=link, **fields)
    return ["posted to the webhook"]


def _append(place: Path, text: str) -> list[str]:
    try:
        with place.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"the summary {place} cannot be written ({error.strerror})") from None
    return ["wrote the summary"]


def _link() -> str | None:
    """Where this run of the workflow is seen."""
    parts = [os.environ.get(name) for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")]
    return "{}/{}/actions/runs/{}".format(*parts) if all(parts) else None


def _is_of(report: Path, run: str) -> bool:
    """Whether a run of the history is that of the report: else this night added nothing."""
    from sdbench.history.record import run_of_report

    try:
        return run_of_report(report).id == run
    except InputError:
        return False
