"""Warnings: the user's line in a library, one sentence in a command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sdbench.base.warned import SdbenchWarning, warn_caller


def test_the_line_outside_the_package_is_named() -> None:
    with pytest.warns(SdbenchWarning, match="few") as caught:
        warn_caller("few videos")
    assert caught[0].filename == __file__


def test_a_command_prints_the_sentence_alone() -> None:
    program = "from sdbench.base.warned import *\nwith sentences(): warn_caller('few videos')\nwarn_caller('many')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    first, second, *_ = done.stderr.splitlines()
    assert first == "sdbench: few videos"
    assert second.endswith(": SdbenchWarning: many")


def test_warnings_of_others_stay_as_they_are() -> None:
    program = "import warnings\nfrom sdbench.base.warned import sentences\nwith sentences(): warnings.warn('old')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ": UserWarning: old" in done.stderr.splitlines()[0]
