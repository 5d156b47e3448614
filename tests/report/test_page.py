"""The page, without a browser: what it says, in which order, and that whatever comes from outside stays text."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from sdbench.cases.verdicts import Verdict
from sdbench.report import Report, Totals, write_report
from sdbench.report.causes import causes
from sdbench.report.forest import lanes
from sdbench.report.headline import verdict_line
from sdbench.report.html import render_html
from sdbench.report.panels import panels_of, streams
from tests.report import pages

VOID = {"meta", "link", "img", "br", "input", "wbr"}
OF_SVG = {"path", "rect", "line", "circle", "use", "stop"}


class Elements(HTMLParser):
    """Which elements a page has, with their attributes, and its text; refuses elements that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text, self.open = "", list[str]()
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def page() -> str:
    return render_html(pages.full())


@pytest.fixture(scope="module")
def elements(page: str) -> Elements:
    return Elements(page)


def test_the_first_lines_say_the_verdict_and_where(elements: Elements) -> None:
    text = " ".join(elements.text.split())
    verdict = (
        "1 deviates; 2 of 9 published results could be measured here, 3 need weights or data, 4 were not asked for."
    )
    where = "Revision aaaaaaaaaa, on A Processor, 2 cores, device cpu, 24 November 2026"
    assert text.index(verdict) < text.index(where) < text.index("What the layers hold")


def test_where_nothing_is_wrong_the_first_word_says_so() -> None:
    cases = [case for case in pages.CASES if not case.verdict.is_bad]
    assert verdict_line(cases, Totals(4, 1)).startswith("Nothing deviates; 1 of 4 published results")
    wrong = [pages.value(str(n), verdict) for n, verdict in enumerate([Verdict.ERROR, Verdict.CHANGED, Verdict.ERROR])]
    assert verdict_line(wrong, Totals(3, 0)).startswith("1 has changed, 2 errors; 3 of 3 ")


def test_its_parts_stand_in_the_order_in_which_they_are_asked_for(elements: Elements) -> None:
    sections = [section["id"] for section in elements.of("section")]
    assert sections == ["wrong", "answer", "shown", "published", "claims", "cases", "since", "how", "environment"]
    anchors = {link["href"] for link in elements.of("a")}
    known = {attributes["id"] for _, attributes in elements.found if "id" in attributes}
    assert anchors, "the page has a list of its parts"
    assert {unquote(anchor[1:]) for anchor in anchors} <= known


def test_each_network_has_a_picture_and_a_sentence_made_of_its_numbers(elements: Elements) -> None:
    assert (
        "At its last layer (second) net holds 34\N{NO-BREAK SPACE}% static and 21\N{NO-BREAK SPACE}% dynamic; "
        "88\N{NO-BREAK SPACE}% of the units of its first layer (first) are static. None of its 3 layers hold more "
        "dynamic than static."
    ) in elements.text
    assert "All of its 4 layers hold more dynamic than static." in elements.text
    pictures = [svg for svg in elements.of("svg") if svg.get("class") == "curves"]
    assert len(pictures) == 2, "made-up weights stand behind the trained ones, not beside"
    assert all("At its last layer" in svg["aria-label"] for svg in pictures)
    assert "No intervals: 7 shots, at least 8 needed." in elements.text
    assert "Behind, pale: net (filled) on packaged: made-up weights" in elements.text
    assert "slow: solid, round; fast: dashed, square; slow fused: dotted, triangular." in elements.text


def test_pictures_take_the_colours_of_the_page_and_touch_nothing_else(page: str) -> None:
    drawn = "".join(re.findall(r'<svg class="curves".*?</svg>', page, re.DOTALL))
    assert {"var(--static)", "var(--dynamic)", "var(--behind)", "var(--ink)"} <= set(re.findall(r"var\(--\w+\)", drawn))
    assert not re.search(r"#[0-9a-f]{6}\b", drawn), "a colour of its own would be wrong in the dark"
    assert "<style" not in drawn
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_an_untrained_network_that_was_shown_something_else_stands_for_itself() -> None:
    report = pages.full()
    other = [*report.measurements[:2], {**report.measurements[2], "dataset": "another"}]
    svgs = Elements(render_html(replace(report, measurements=other))).of("svg")
    assert sum(svg.get("class") == "curves" for svg in svgs) == 3


def test_paths_are_told_by_layers_that_differ_in_their_first_word_alone() -> None:
    fused = ["slow.stage1", "fast.stage1", "slow.stage1.fused", "slow.stage2", "fast.stage2"]
    assert streams(fused) == {
        "slow": ["slow.stage1", "slow.stage2"],
        "fast": ["fast.stage1", "fast.stage2"],
        "slow fused": ["slow.stage1.fused"],
    }
    blocks = ["stem", "blocks.0.mlp", "blocks.1.mlp", "layers.0", "norm"]
    assert streams(blocks) == {"": blocks}
    assert streams(["appearance.layer1", "motion.layer1", "decoder"])[""] == ["decoder"]


def test_what_was_shown_is_seen_or_it_is_said_why_not(elements: Elements) -> None:
    images = elements.of("img")
    assert [image["alt"] for image in images] == ["packaged: a clip", "packaged: one", "packaged: two"]
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in images)
    assert "No picture: its pictures are not here" in elements.text


def test_every_published_value_is_a_line_with_its_band_interval_and_number() -> None:
    first, second = lanes(pages.CASES[3])
    assert (first.band.start, first.band.length, first.published, first.measured) == (18.95, 4.1, 21.0, 20.04)
    assert first.interval is not None
    assert (first.interval.start, first.interval.length) == (19.5, 1.1)
    assert first.says == "published 21.0 ± 2.05, measured 20.0 [19.5, 20.6]"
    assert second.name == "static"
    count = pages.value("x", Verdict.REPRODUCED, measured={"gflops": 4.732}, expected={"gflops": 4.73}, interval=None)
    (lane,) = lanes(replace(count, tolerance={"gflops": 0.005}))
    assert lane.published == 50.0
    assert lane.band.start < lane.published < (lane.measured or 0) < lane.band.start + lane.band.length
    assert lane.says == "published 4.730 ± 0.005, measured 4.732"


def test_a_value_far_off_or_not_a_number_stays_on_its_axis() -> None:
    far = pages.value("x", Verdict.DEVIATES, measured={"static": 140.0, "dynamic": float("nan")}, interval=None)
    dynamic, static = lanes(far)
    assert static.measured == 100.0
    assert dynamic.measured is None


def test_what_did_not_run_stands_by_cause_with_its_commands_once(elements: Elements) -> None:
    found = causes(pages.CASES[:3])
    assert [(cause.says, len(cause.cases)) for cause in found] == [
        ("data set stylized_ssv2 is not here", 2),
        ("weights that were never published: nobody but their makers can run these", 1),
    ]
    assert found[0].commands == ("weights: sdbench fetch slow_ssv2 fast_ssv2",)
    assert found[0].sentences == ("data: stylised videos; register, then paint them in four styles",)
    assert found[1].sentences == ("i3d trained on diving48",)
    assert elements.text.count("sdbench fetch slow_ssv2 fast_ssv2") == 1
    (other,) = causes([pages.idle("x", "the moon is not full")])
    assert (other.says, other.commands, other.sentences) == ("the moon is not full", (), ())


def test_the_causes_of_the_whole_suite_name_every_command() -> None:
    reason = (
        "data set moca is not here (name the folder that holds it with --data); data set davis2016 is not here: "
        "sdbench fetch davis2016. It takes fusionseg on davis: weights: sdbench fetch vos_checkpoints; data: "
        "sdbench fetch davis2016 stylized_davis (or put them into DATA); flow pictures are made by sdbench flow"
    )
    (cause,) = causes([pages.idle("x", reason)])
    assert cause.says == "data sets moca and davis2016 are not here"
    assert cause.commands == (
        "weights: sdbench fetch vos_checkpoints",
        "data: sdbench fetch davis2016 stylized_davis",
    )
    assert cause.sentences == ("or put them into DATA", "flow pictures are made by sdbench flow")


def test_claims_are_sentences_with_their_margin(elements: Elements) -> None:
    text = " ".join(elements.text.split())
    assert (
        "holds The statement of claim/net/static Margin +20.0 points [+18.0, +22.5], the least of 2: static share in "
        "second > dynamic share."
    ) in text
    assert "The statement of claim/paper/dynamic" in text


def test_every_case_has_an_anchor_and_opens_to_what_is_known_of_it(elements: Elements, page: str) -> None:
    rows = [item for item in elements.of("li") if item.get("id", "").startswith("case-")]
    assert rows[0]["id"] == "case-action/layerwise/net/clips/first", "what is wrong comes first"
    assert sorted(row["id"] for row in rows) == sorted(f"case-{case.id}" for case in pages.CASES)
    assert {row["data-network"] for row in rows} == {"net"}
    for case in pages.CASES:
        row = page[page.index(f'id="case-{case.id}"') :].partition("</li>")[0]
        assert "<details>" in row
        of_record = "the paper, section 5" if "claim" in case.kind else f"the reason for the tolerance of {case.id}"
        assert of_record in row
    assert "99.0" in elements.text


def test_a_network_that_no_record_names_can_be_looked_for() -> None:
    rows = Elements(render_html(replace(pages.full(), records={}))).of("li")
    assert {row["data-network"] for row in rows if "data-network" in row} == {"not known"}


def test_what_changed_since_the_last_run_and_how_long_it_took(elements: Elements) -> None:
    for said in ("Run b is worse than run a.", "case: moved by +3", "loop: faster", "torch: 1 -> 2", "A note."):
        assert said in elements.text
    assert "test_loop: median 0.5 s, quarters 0.4 to 0.6 s, 3 rounds" in elements.text
    alone = Elements(render_html(replace(pages.full(), since=None)))
    assert "No earlier run is in the history." in alone.text


def test_it_needs_nothing_beside_it_and_says_all_without_its_script(page: str, elements: Elements) -> None:
    assert len(elements.of("script")) == 1
    addresses = re.findall(r"""(?:src|href)=["']([^"']+)|url\(([^)]+)\)|@import""", page)
    assert all(one.startswith(("data:", "#")) or two.startswith("#") for one, two in addresses)
    assert [form for form in elements.of("form") if "hidden" not in form] == [], "what needs the script is not seen"
    assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes)


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    page = pages.written(pages.hostile(), tmp_path).read_text(encoding="utf-8")
    plain = Elements(page)
    assert {tag for tag, _ in plain.found} <= {tag for tag, _ in Elements(render_html(pages.full())).found}
    assert len(plain.of("script")) == 1
    assert not any(name.startswith("on") for _, attributes in plain.found for name in attributes)
    for name in pages.HOSTILE:
        assert plain.text.count(name) >= 10, f"{name} is shown as it is"
    ids = [attributes["id"] for _, attributes in plain.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert not any(character.isspace() for name in ids for character in name)


def test_a_report_of_hostile_names_has_all_its_files(tmp_path: Path) -> None:
    written = write_report(pages.hostile(), tmp_path)
    assert len([path for path in written if path.suffix == ".png"]) == 3
    assert all(path.is_file() and path.parent == tmp_path for path in written)


def test_two_thousand_cases_are_a_page_of_at_most_three_megabytes(tmp_path: Path) -> None:
    page = pages.written(pages.many(2000), tmp_path)
    assert page.stat().st_size < 3_000_000
    assert page.read_text().count('<li id="case-') == 2000


def test_a_report_of_nothing_but_cases_has_a_page() -> None:
    page = Elements(render_html(Report({}, pages.CASES[:1], Totals(1, 0))))
    assert "No published value was measured in this run." in page.text
    assert "answer" not in {section["id"] for section in page.of("section")}


def test_panels_of_others_come_before_those_that_learned_nothing() -> None:
    assert [panel.title for panel in panels_of(pages.full())][-1] == "net (filled) on packaged"
