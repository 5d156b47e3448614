"""What a terminal shows: a run of the suite on one screen, and the layers of a network as bars of characters."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from sdbench.cases.verdicts import Case, Verdict
from sdbench.report.causes import causes
from sdbench.report.table import Totals, in_order, reasons, summary_lines

SCREEN = 40
"""Lines that a run is told in where nothing is wrong."""

_MOST_CAUSES = 6
_FEWEST_ROWS = 5
_SEVERAL = "several networks"

_BLOCKS, _PLAIN = "█▒·", "#=."
"""What a bar is drawn with: static, dynamic, the rest."""

_SHORTEST_BAR, _LONGEST_BAR = 10, 60


@dataclass(frozen=True)
class _Row:
    """Cases of one network, or of several, in one group."""

    group: str
    network: str
    cases: tuple[Case, ...]

    @property
    def wrong(self) -> bool:
        return any(_is_told(case.verdict) for case in self.cases)

    @property
    def idle(self) -> bool:
        return all(case.verdict is Verdict.NOT_RUN for case in self.cases)


def suite_lines(
    cases: Sequence[Case], about: Mapping[str, tuple[str, Sequence[str]]], totals: Totals, width: int
) -> list[str]:
    """A run in few lines: counts for each network, what is wrong or undecided in full, what did not run by cause.

    With a title above and a line below no more than `SCREEN` lines, but where more is wrong than there is room for.

    Args:
        cases: the outcomes.
        about: id of a case -> its group, and the networks that it is about.
        totals: what was published.
        width: of the terminal, in cells; a line of counts or of commands is not longer. Sentences may be.
    """
    told = [
        f"{verdict.value}: {', '.join(map(plain, ids))}: {plain(reason)}"
        for verdict in dict.fromkeys(case.verdict for case in in_order(cases))
        if _is_told(verdict)
        for reason, ids in reasons(cases, [verdict])
    ]
    idle = _idle_lines(cases, width)
    ending = ["", *summary_lines(cases, totals)]
    rows = _fewer(_rows(cases, about), max(_FEWEST_ROWS, SCREEN - len(told) - len(idle) - len(ending) - 4))
    lines = _counts(rows, width)
    for part in (told, idle):
        if part:
            lines += ["", *part]
    return lines + ending


def _is_told(verdict: Verdict) -> bool:
    """Whether each such case is told with its sentence: it is bad, or undecided."""
    return verdict.is_bad or verdict is Verdict.INCONCLUSIVE


def _rows(cases: Sequence[Case], about: Mapping[str, tuple[str, Sequence[str]]]) -> list[_Row]:
    """By group and network, in the order of the cases; of each group, what did not run at all is one row."""
    found: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        group, networks = about.get(case.id, ("", ()))
        network = networks[0] if len(networks) == 1 else _SEVERAL
        found.setdefault((group, network), []).append(case)
    rows = [_Row(group, network, tuple(of)) for (group, network), of in found.items()]
    listed = []
    for group in dict.fromkeys(row.group for row in rows):
        ours = [row for row in rows if row.group == group]
        listed += [row for row in ours if not row.idle]
        listed += _together([row for row in ours if row.idle], group)
    return listed


def _together(rows: Sequence[_Row], group: str, said: str = "{} networks") -> list[_Row]:
    if len(rows) < 2:
        return list(rows)
    return [_Row(group, said.format(len(rows)), tuple(case for row in rows for case in row.cases))]


def _fewer(rows: list[_Row], most: int) -> list[_Row]:
    """No more than `most` rows: those of the fewest cases, none of them wrong, stand together where there are more."""
    if len(rows) <= most:
        return rows
    ranked = sorted(rows, key=lambda row: (not row.wrong, row.idle, -len(row.cases)))
    kept = ranked[: most - 1]
    rest = [row for row in rows if row not in kept]
    return [row for row in rows if row in kept] + _together(rest, "others", "{} more")


def _counts(rows: Sequence[_Row], width: int) -> list[str]:
    """A line for each row: group, network, number of cases, and how many of them ended how."""
    if not rows:
        return []
    group = max(cell_len(plain(row.group)) for row in rows)
    network = min(max(cell_len(plain(row.network)) for row in rows), max(width // 3, 8))
    number = max(len(str(len(row.cases))) for row in rows)
    lines = []
    for row in rows:
        counts = Counter(case.verdict for case in in_order(row.cases))
        said = ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items())
        start = f"{'!' if row.wrong else ' '} {padded(row.group, group)}  {padded(row.network, network)}"
        lines.append(clipped(f"{start}  {len(row.cases):>{number}}: {said}", width))
    return lines


def _idle_lines(cases: Sequence[Case], width: int) -> list[str]:
    """What did not run, by cause, each with what gets it."""
    found = causes(cases)
    lines = []
    for cause in found[:_MOST_CAUSES]:
        lines.append(clipped(f"{len(cause.cases)} not run: {plain(cause.says)}", width))
        wanted = _wanted(cause.commands, cause.sentences, width - 4)
        if wanted:
            lines.append(f"    {wanted}")
        # Weights alone help nobody whose data no command fetches.
        by_hand = [sentence for sentence in cause.sentences if sentence.startswith("data: ")]
        if cause.commands and by_hand:
            lines.append(f"    {clipped(plain(by_hand[0]), width - 4)}")
    if more := sum(len(cause.cases) for cause in found[_MOST_CAUSES:]):
        lines.append(clipped(f"{more} not run for {len(found) - _MOST_CAUSES} more causes", width))
    if found:
        lines.append(clipped("-v tells every case; report.md and report.html what each takes", width))
    return lines


def _wanted(commands: Sequence[str], sentences: Sequence[str], width: int) -> str:
    """The commands that get something in one line; names that have no room are counted. Else the first sentence."""
    bare = [plain(command.partition(": ")[2] or command) for command in commands]
    if not bare:
        return clipped(plain(sentences[0]), width) if sentences else ""
    if cell_len(" && ".join(bare)) <= width:
        return " && ".join(bare)
    words = bare[0].split()
    left = len(bare) - 1
    for count in range(len(words), 2, -1):
        more = [f"{len(words) - count} more names"] if count < len(words) else []
        more += [f"{left} more command{'s' if left > 1 else ''}"] if left else []
        line = " ".join(words[:count])
        if more:
            line += f"  # and {', '.join(more)}"
        if cell_len(line) <= width:
            return line
    return clipped(bare[0], width)


def bar_lines(layers: Mapping[str, Mapping[str, float]], width: int, encoding: str | None) -> list[str]:
    """Static and dynamic of each layer as a bar that is 100 % long, and what the characters mean.

    Args:
        layers: name -> "static" and "dynamic" in percent, in order.
        width: of the terminal, in cells.
        encoding: of where the bars go; where that has no blocks, plain characters are drawn.
    """
    marks = _BLOCKS if _takes(encoding, _BLOCKS) else _PLAIN
    name = min(max(map(cell_len, map(plain, layers)), default=0), max(width // 3, 4))
    room = max(min(width - name - 2, _LONGEST_BAR), _SHORTEST_BAR)
    lines = [f"{padded(layer, name)}  {_bar(shares, room, marks)}" for layer, shares in layers.items()]
    legend = f"{marks[0]} static  {marks[1]} dynamic  {marks[2]} residual"
    return [*lines, f"{' ' * (name + 2)}{legend}" if cell_len(legend) + name + 2 <= width else legend]


def _bar(shares: Mapping[str, float], room: int, marks: str) -> str:
    static, dynamic = shares["static"], shares["dynamic"]
    if not (math.isfinite(static) and math.isfinite(dynamic)):
        return "?"
    ends = [max(0, min(room, round(share * room / 100))) for share in (static, static + dynamic)]
    return marks[0] * ends[0] + marks[1] * (ends[1] - ends[0]) + marks[2] * (room - ends[1])


def _takes(encoding: str | None, text: str) -> bool:
    try:
        text.encode(encoding or "utf-8")
    except (UnicodeError, LookupError):
        return False
    return True


def plain(text: str) -> str:
    """A text in which nothing moves the cursor, changes a colour or turns the direction of what follows."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def clipped(text: str, width: int) -> str:
    """A line that is no longer than so many cells."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(width - 3, 0)).rstrip() + "..."[: max(width, 0)]


def padded(name: str, width: int) -> str:
    """A name of exactly so many cells."""
    return set_cell_size(clipped(plain(name), width), width)


def fitting(tables: Iterable[str], width: int) -> str:
    """The first of some tables that is not wider than so many cells, or the last."""
    table = ""
    for table in tables:
        if max(map(cell_len, table.splitlines())) <= width:
            break
    return table
