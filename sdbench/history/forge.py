"""The forge that the repository lies on (GitHub's REST API): issues and checks; and a webhook."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from sdbench.base.errors import SdbenchError

LABEL = "nightly-regression"
"""Of the issues that the nightly opens: only who may label issues can make another one look like them."""

_TIMEOUT = 30
"""Seconds."""

_TRIES = 3
_TEMPORARY = (429, 500, 502, 503, 504)
_PAGE = 100


class TellingError(SdbenchError):
    """Somebody could not be told."""


@dataclass(frozen=True)
class Issue:
    """An open issue of the nightly."""

    number: int
    title: str
    body: str


class Forge:
    """Issues and checks of one repository.

    Args:
        api: the address of the REST API.
        repository: OWNER/NAME.
        token: what may write issues (and, for checks, checks).
    """

    def __init__(self, api: str, repository: str, token: str) -> None:
        self._root = f"{api.rstrip('/')}/repos/{repository}"
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}

    @classmethod
    def of_environment(cls, variables: Mapping[str, str] = os.environ) -> Forge | None:
        """The one that a workflow's variables name; None where one of them is missing."""
        api, repository, token = (variables.get(f"GITHUB_{name}") for name in ("API_URL", "REPOSITORY", "TOKEN"))
        return cls(api, repository, token) if api and repository and token else None

    def issues(self) -> list[Issue]:
        """The open issues of the nightly.

        Raises:
            TellingError: they cannot be read.
        """
        found: list[Issue] = []
        page = 1
        while True:
            query = {"state": "open", "labels": LABEL, "per_page": _PAGE, "page": page}
            listed = self._ask("GET", "issues", "issues: write", params=query)
            found += [
                Issue(int(each["number"]), str(each["title"]), str(each["body"] or ""))
                for each in listed
                if "pull_request" not in each
            ]
            if len(listed) < _PAGE:
                return found
            page += 1

    def open(self, title: str, body: str) -> int:
        """Open an issue; its number."""
        asked = {"title": title, "body": body, "labels": [LABEL]}
        return int(self._ask("POST", "issues", "issues: write", json=asked)["number"])

    def change(self, issue: int, **fields: str) -> None:
        """Change title, body or state of an issue."""
        self._ask("PATCH", f"issues/{issue}", "issues: write", json=fields)

    def comment(self, issue: int, body: str) -> None:
        """Comment on an issue."""
        self._ask("POST", f"issues/{issue}/comments", "issues: write", json={"body": body})

    def check(self, commit: str, name: str, conclusion: str, title: str, summary: str) -> None:
        """Make a check of a commit."""
        output = {"title": title, "summary": summary}
        asked = {"name": name, "head_sha": commit, "status": "completed", "conclusion": conclusion, "output": output}
        self._ask("POST", "check-runs", "checks: write", json=asked)

    def _ask(self, method: str, path: str, permission: str, **more: Any) -> Any:
        what = f"{method} {path} of the forge"
        answer = _send(method, f"{self._root}/{path}", what, headers=self._headers, **more)
        if answer.status_code in (401, 403, 404):
            raise TellingError(
                f"{what}: HTTP {answer.status_code}; the job needs the permission `{permission}`, and the repository "
                "its issues switched on"
            )
        if not answer.ok:
            raise TellingError(f"{what}: HTTP {answer.status_code} {answer.text[:200]}")
        return answer.json()


def post_webhook(address: str, text: str, **fields: str | None) -> None:
    """Post a message as JSON: `text`, as Slack and what is compatible with it shows it, and fields for programs.

    Raises:
        TellingError: it did not arrive. The address, which is a secret, is not in the sentence.
    """
    what = f"the webhook at {urlsplit(address).hostname}"
    answer = _send("POST", address, what, json={"text": text, **fields})
    if not answer.ok:
        raise TellingError(f"{what}: HTTP {answer.status_code}; see that NIGHTLY_WEBHOOK holds its whole address")


def _send(method: str, address: str, what: str, **more: Any) -> requests.Response:
    """Send a request; what is only for a moment in the way is tried again."""
    for last in (*[False] * (_TRIES - 1), True):
        try:
            answer = requests.request(method, address, timeout=_TIMEOUT, **more)
        except requests.RequestException as error:  # its words may hold the address
            # A post that may have arrived is not sent twice: two issues of one regression are worse than none tonight.
            if last or not isinstance(error, requests.ConnectionError):
                raise TellingError(f"{what} does not answer ({type(error).__name__})") from None
        else:
            if last or answer.status_code not in _TEMPORARY:
                return answer
        time.sleep(float(os.environ.get("SDBENCH_RETRY_SECONDS", "5")))
    raise AssertionError


def in_code(text: str) -> str:
    """Text between backticks, in one line."""
    plain = " ".join(text.replace("`", " ").split())
    return f"`{plain}`"
