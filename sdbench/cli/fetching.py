"""The command `sdbench fetch`: assets."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sdbench.base.errors import AssetError, InputError


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    fetching = commands.add_parser("fetch", help="download and verify assets")
    fetching.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="assets as `sdbench list assets` names them, or groups of them: packaged (the default), action, vos",
    )
    fetching.add_argument(
        "--from", dest="file", type=Path, help="take the one asset NAME from this local file or archive"
    )
    fetching.set_defaults(run=_fetch)


def _fetch(options: argparse.Namespace) -> None:
    from sdbench.assets import AssetStore

    store = AssetStore()
    if options.file is not None:
        if len(options.names) != 1:
            raise InputError(
                f"--from takes exactly one asset; got {len(options.names)}: sdbench fetch NAME --from FILE"
            )
        store.add(options.names[0], options.file)
    groups = [name for name in options.names or ["packaged"] if name in store.manifest.groups]
    names = [name for name in options.names if name not in groups]
    store.fetch(names)
    lacking: dict[str, str] = {}
    for group in groups:
        lacking |= store.fetch_group(group)
        names += [name for name in store.manifest.group(group) if name not in lacking]
    for name in dict.fromkeys(names):
        print(f"{name}: {store.path(name)}")
    for name, reason in lacking.items():
        print(f"{name}: not here: {reason}")
    failed = [name for name in lacking if not store.why_by_hand(name)]
    if failed:
        raise AssetError(
            f"{', '.join(failed)} could not be fetched (why is said above); retry: sdbench fetch {' '.join(failed)}"
        )
