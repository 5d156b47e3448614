"""Whether the package index and the publishers of weights and data answer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

from sdbench.assets.manifest import Manifest, Url
from sdbench.assets.store import OFFLINE_VARIABLE
from sdbench.doctor.finding import Finding

PATIENCE = 4.5
"""Seconds that an address has to answer: on a busy machine one may take three."""

_SERVER_ERROR = 500
_LOCAL = ("file:", "/")


@dataclass(frozen=True)
class PipFacts:
    """What pip is configured to.

    Attributes:
        index: the address of its package index; None where it has none.
        proxy: the proxy that it is told to use; None where it is told none.
        cert: the certificates that it trusts; None for the usual ones.
    """

    index: str | None
    proxy: str | None = None
    cert: str | None = None


def pip_facts(ask: Callable[[Sequence[str]], str] | None = None) -> PipFacts:
    """Ask pip for its index, proxy and certificates: of its files, of variables, or its default.

    Args:
        ask: what pip says when given these arguments.

    Raises:
        OSError: pip cannot be run, or says something else.
    """
    ask = ask or _pip
    settings = dict(re.findall(r"^\S*?\.([\w-]+)='(.*)'$", ask(["config", "list"]), re.MULTILINE))
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        return PipFacts(None)
    index = settings.get("index-url")
    if index is None:  # its help names the default
        said = ask(["download", "--help"])
        found = re.search(r"--index-url <url>.*?\(default (\S+?)\)", said, re.DOTALL)
        if found is None:
            raise OSError("pip does not name its index")
        index = found.group(1)
    return PipFacts(index, settings.get("proxy"), settings.get("cert"))


def _pip(arguments: Sequence[str]) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "pip", *arguments, "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
        env={**os.environ, "COLUMNS": "500"},
    )
    if run.returncode:
        raise OSError(" ".join(run.stderr.split())[-200:] or "pip does not run")
    return run.stdout


def answers(address: str, pip: PipFacts | None = None) -> str | None:
    """Why an address does not answer, in a few words; None where it does: also to say that it wants a password."""
    import requests  # noqa: PLC0415 - slow to import

    proxies = {"http": pip.proxy, "https": pip.proxy} if pip and pip.proxy else None
    verify = pip.cert if pip and pip.cert else True
    try:
        with requests.head(address, timeout=PATIENCE, allow_redirects=False, proxies=proxies, verify=verify) as answer:
            return f"HTTP {answer.status_code}" if answer.status_code >= _SERVER_ERROR else None
    except requests.exceptions.ProxyError:
        return "refused by the proxy"
    except requests.exceptions.SSLError:
        return "its certificate is not trusted"
    except requests.exceptions.Timeout:
        return "no answer in time"
    except requests.RequestException:
        return "no connection"
    except OSError as error:  # certificates that are not there
        return str(error)


def ask_all(
    addresses: Iterable[str], ask: Callable[[str], str | None], patience: float = PATIENCE
) -> dict[str, str | None]:
    """Ask all addresses at once; one that keeps silent for longer than `patience` is not waited for."""
    said: SimpleQueue[tuple[str, str | None]] = SimpleQueue()

    def work(address: str) -> None:
        try:
            said.put((address, ask(address)))
        except Exception as error:
            said.put((address, str(error)))

    import requests  # noqa: F401, PLC0415 - takes a second on a busy machine, which is not the addresses' fault

    wanted = list(dict.fromkeys(addresses))
    for address in wanted:
        threading.Thread(target=work, args=(address,), daemon=True).start()
    found: dict[str, str | None] = {}
    until = time.monotonic() + patience
    while len(found) < len(wanted):
        try:
            address, why = said.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            break
        found[address] = why
    return {address: found.get(address, "no answer in time") for address in wanted}


def publishers(manifest: Manifest) -> list[str]:
    """The addresses from which a program fetches assets, one of each host."""
    found = [
        asset.source.address
        for asset in manifest.assets
        if isinstance(asset.source, Url) and asset.source.how == "direct" and asset.source.address
    ]
    return list({urlsplit(address).netloc: address for address in found}.values())


def internet_findings(
    manifest: Manifest,
    offline: bool,
    pip: Callable[[], PipFacts] = pip_facts,
    ask: Callable[[str, PipFacts | None], str | None] = answers,
) -> list[Finding]:
    """The package index, which the default run needs, and the publishers of what is fetched besides.

    Args:
        manifest: what there is to fetch.
        offline: whether internet access is forbidden: nothing is asked.
        pip: how pip is configured.
        ask: why an address does not answer, or None.
    """
    cure = "an environment that is installed already does without: nox -R -s reproduce"
    if offline:
        said = f"not asked: {OFFLINE_VARIABLE} is set"
        return [Finding("package index and publishers", "note", said, f"unset {OFFLINE_VARIABLE}, so that they are")]
    findings = []
    try:
        facts = pip()
    except (OSError, subprocess.SubprocessError) as error:
        said = f"pip cannot be asked for it ({error})"
        findings.append(Finding("package index", "fails", said, "python -m ensurepip", needed=True))
        facts = PipFacts(None)
    else:
        if facts.index is None:
            findings.append(Finding("package index", "note", "pip uses none (no-index): it installs from folders"))
    index = facts.index if facts.index and not facts.index.startswith(_LOCAL) else None
    if facts.index and index is None:
        findings.append(Finding("package index", "ok", f"{facts.index}, of this machine"))
    fetched = publishers(manifest)
    said_by = ask_all([*filter(None, [index]), *fetched], lambda each: ask(each, facts if each == index else None))
    if index:
        host, why = urlsplit(index).netloc.rpartition("@")[2], said_by[index]
        findings.append(
            Finding("package index", "ok", f"{host} answers")
            if why is None
            else Finding(
                "package index",
                "fails",
                f"{host}: {why}",
                f"check internet access and pip's configuration; {cure}",
                True,
            )
        )
    silent = {urlsplit(each).netloc: said_by[each] for each in fetched if said_by[each] is not None}
    here = f"{len(fetched) - len(silent)} of {len(fetched)} answer"
    if silent:
        named = ", ".join(f"{host} ({why})" for host, why in silent.items())
        cure = "bring files from another machine: sdbench fetch NAME --from FILE, or name a mirror in SDBENCH_MIRROR"
        findings.append(Finding("publishers", "missing", f"{here}; not: {named}", cure))
    else:
        findings.append(Finding("publishers", "ok", here))
    return findings
