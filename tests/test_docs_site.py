"""The site that `nox -s docs` builds: it holds every page, and its reference every public name."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import sdbench
from sdbench import runners, studies

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def test_the_contents_hold_every_page() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```$", index, re.MULTILINE | re.DOTALL)
    listed = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
    assert sorted(listed) == sorted(page.stem for page in DOCS.glob("*.md") if page.stem != "index")


def test_every_public_name_is_in_the_reference() -> None:
    reference = (DOCS / "reference.md").read_text(encoding="utf-8")
    described = set(re.findall(r"^\.\. auto\w+:: ([\w.]+)", reference, re.MULTILINE))
    modules = {"runners": runners, "studies": studies}
    names = {f"sdbench.{name}" for name in sdbench.__all__ if name not in modules}
    names |= {
        f"sdbench.studies.{name}"
        for name in studies.__all__
        if name[0].islower() and name not in ("shot_finder", "study_of")
    }
    names |= {"sdbench.runners.OnRay", "sdbench.runners.OneProcess"}
    assert names <= described, sorted(names - described)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("sphinx") is None, reason="Sphinx is not installed; nox -s docs builds the pages")
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    missing = "image.not_readable,download.not_readable,myst.xref_missing"  # pictures and pages that commands make
    without = ["-D", "pictures=0", "-D", f"suppress_warnings={missing}"]
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", *without, "docs"]
    done = subprocess.run([*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "reference.html").read_text(encoding="utf-8")
    assert "sdbench history compare" in page
    assert 'id="sdbench.measure"' in page
