"""How the pages become a site: `nox -s docs` writes docs/_site.

Sphinx, with MyST for Markdown and furo to look at: plain Python packages that are maintained, under permissive
licences. It makes the reference from docstrings and holds every link of a page against what is there. Material for
MkDocs, which looks as good, is in maintenance mode, and has neither by itself.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sphinx.errors import ExtensionError

HERE = Path(__file__).parent
MADE = HERE / "_made"
"""What the build makes and the pages show: the help of every command, and in a folder for each page the pictures that
its commands draw."""

sys.path[:0] = [str(HERE), str(HERE.parent)]

from blocks import Block, blocks_of  # noqa: E402

from sdbench import cli  # noqa: E402

project = "sdbench"
author = "the authors of sdbench"
html_title = "sdbench"
html_theme = "furo"
html_theme_options = {"navigation_with_keys": True}
html_show_copyright = False
html_copy_source = False

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_site", "_made/*.md"]
highlight_language = "text"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# Docstrings have code between single backticks, Google's sections, and types in the signature alone.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]
napoleon_use_rtype = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

nitpicky = True
# There is no network while pages are built: types of other libraries, and of rooms that are not public, lead nowhere.
nitpick_ignore_regex = [("py:.*", r"(?!sdbench\.\w+$).*")]


def _commands() -> str:
    """The help of every command as Markdown."""
    os.environ["COLUMNS"] = "112"
    os.environ["NO_COLOR"] = "1"
    told = []

    def tell(parser: argparse.ArgumentParser) -> None:
        groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if not groups or parser.prog == "sdbench":
            told.append(f"### {parser.prog}\n\n```text\n{parser.format_help().rstrip()}\n```\n")
        for group in groups:
            for child in group.choices.values():
                tell(child)

    tell(cli._parser())
    return "\n".join(told)


def _run(blocks: list[Block], folder: Path) -> None:
    """Run the commands of a page in a folder; nothing is downloaded and nothing of the user's cache is used.

    Raises:
        ExtensionError: a command fails.
    """
    own = {"SDBENCH_CACHE": str(folder / "cache"), "SDBENCH_OFFLINE": "1", "PYTHONPATH": str(HERE.parent)}
    for block in blocks:
        if block.file:
            (folder / block.file).write_text(block.text, encoding="utf-8")
        for command in block.commands if block.language == "sh" else ():
            words = shlex.split(command)
            done = subprocess.run(
                [sys.executable, "-m", "sdbench", *words[1:]],
                cwd=folder,
                env={**os.environ, **own},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode or not words[0].endswith("sdbench"):
                raise ExtensionError(f"{block}: {command!r} ends with status {done.returncode}: {done.stderr}")


def _make(app: Any) -> None:
    MADE.mkdir(exist_ok=True)
    (MADE / "commands.md").write_text(_commands(), encoding="utf-8")
    for page in sorted(HERE.glob("*.md")) if app.config.pictures else ():
        pictures = re.findall(rf"\]\(_made/{page.stem}/([\w.]+)\)", page.read_text(encoding="utf-8"))
        if not pictures:
            continue
        (MADE / page.stem).mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            _run(blocks_of(page, page.name), Path(folder))
            for picture in pictures:
                shutil.copyfile(Path(folder, picture), MADE / page.stem / picture)


def _sentences(app: Any, what: str, name: str, of: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001
    """See that no beginning of a sentence is taken for a type: what stands before a first colon would be."""
    if what == "property" and lines:
        lines[0] = f": {lines[0]}"
    for place, line in enumerate(lines[:-1]):
        if line.strip() in ("Returns:", "Yields:"):
            following = lines[place + 1]
            lines[place + 1] = following.replace(following.lstrip(), f": {following.lstrip()}")


def setup(app: Any) -> None:
    """Make what the pages show before they are read, and read docstrings before napoleon does."""
    app.add_config_value("pictures", True, "", description="whether the pictures of commands are drawn anew")
    app.connect("builder-inited", _make)
    app.connect("autodoc-process-docstring", _sentences, priority=400)
