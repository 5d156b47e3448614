"""The blocks of a page: its commands, its snippets, the files that it writes, and what it says is printed.

A page that holds a file tells a story: all of its blocks belong to one folder and are run in their order. The commands
of a page that shows pictures which they draw are run when the pages are built, those of every page by the tests.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^(?P<ticks>```+)(?P<info>[^`\n]*)\n(?P<text>.*?)^(?P=ticks)`*$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)((?:    \S.*\n)+)")
_PYTHON_FILE = re.compile(r"# (\w+\.py)\n")


@dataclass(frozen=True)
class Block:
    """A fenced or indented block of a document.

    Attributes:
        document: name of the document.
        line: where its text begins, from 1.
        language: "sh", "python", "json", or "text" for what the block before it prints.
        text: what is in it.
        file: name of the file that it is, where it is one: of a module, by a comment in its first line; of JSON, behind
            the language.
    """

    document: str
    line: int
    language: str
    text: str
    file: str | None = None

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def commands(self) -> Iterator[str]:
        """Its commands, without what a shell does with them."""
        for line in self.text.replace("\\\n", " ").splitlines():
            yield from (shlex.join(part) for part in _split(shlex.split(line, comments=True)))

    @property
    def last_line(self) -> str:
        """Its last line, the comment left out."""
        return self.text.strip().splitlines()[-1].partition("  #")[0].rstrip()


def _split(words: list[str]) -> Iterator[list[str]]:
    while "&&" in words:
        place = words.index("&&")
        yield words[:place]
        words = words[place + 1 :]
    if words:
        yield words


def blocks_of(path: Path, document: str) -> list[Block]:
    """The blocks of a document in their order; the site's own directives are none.

    Args:
        path: of the Markdown file.
        document: how it is called.
    """
    text = path.read_text(encoding="utf-8")
    found = []
    for fence in _FENCE.finditer(text):
        language, _, named = fence["info"].strip().partition(" ")
        if language.startswith("{"):
            continue
        module = _PYTHON_FILE.match(fence["text"]) if language == "python" else None
        file = module[1] if module else named or None
        found.append(Block(document, _line(text, fence.start("text")), language, fence["text"], file))
    # Blank lines in place of the fenced ones: what is indented in those is no block of its own.
    outside = _FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), text)
    for indented in _INDENTED.finditer(outside):
        commands = re.sub("^    ", "", indented[1], flags=re.MULTILINE)
        found.append(Block(document, _line(outside, indented.start()), "sh", commands))
    return sorted(found, key=lambda block: block.line)


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def is_story(blocks: list[Block]) -> bool:
    """Whether the blocks of a document belong together, in one folder."""
    return any(block.file for block in blocks)
