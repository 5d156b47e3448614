"""The page in a real browser: Chromium, driven by Playwright, and looked over by axe-core.

Playwright starts the browser that is installed (Debian's, say) and downloads none of its own; axe-core comes with
axe-playwright-python. Where one of them is not here, these tests are skipped; with SDBENCH_REQUIRE_BROWSER they fail.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from sdbench.report import measurements_page
from sdbench.report.comparing import compare
from sdbench.report.html import anchor
from tests.report import pages
from tests.report.test_measured_page import measured

pytestmark = pytest.mark.slow

REQUIRED = "SDBENCH_REQUIRE_BROWSER"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (360, 768, 1280, 2560)

OVER_THE_EDGE = """() => [...document.querySelectorAll("main *, header *")].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width && (box.right > innerWidth + 1 || box.left < -1) && !e.closest(".wide, svg");
}).map(e => e.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacking("playwright is not installed: pip install -e .[test]")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        lacking(f"no browser is here ({', '.join(BROWSERS)}): apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


def lacking(what: str) -> NoReturn:
    if os.environ.get(REQUIRED):
        pytest.fail(f"{REQUIRED} is set, and {what}")
    pytest.skip(what)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    return {
        "full": pages.written(pages.full(), folder / "full"),
        "hostile": pages.written(pages.hostile(), folder / "hostile"),
        "many": pages.written(pages.many(2000), folder / "many"),
        "own": own(folder / "own.html"),
    }


def own(path: Path) -> Path:
    """The page of a measurement of one's own, beside itself untrained, compared with another."""
    found = measured()
    other = measured("other", notes=("untrained: the architecture with fresh weights of seed 0",))
    measurements_page([found, other], path, [pages.full().shown[0]], compare(found, other))
    return path


Open = Callable[..., Any]


@pytest.fixture
def opened(browser: Any, files: dict[str, Path]) -> Iterator[Open]:
    """Open a page: opened(name, width=1280, behind="#anchor", ...); what it says on its console fails the test."""
    said: list[str] = []
    contexts = []

    def open_page(name: str, width: int = 1280, behind: str = "", **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("dialog", refuse)
        page.on("request", lambda request: said.append(request.url) if asks_outside(request.url) else None)
        page.goto(files[name].as_uri() + behind)
        return page

    def refuse(dialog: Any) -> None:
        said.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def asks_outside(url: str) -> bool:
        return not url.startswith(("file:", "data:"))

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def seen(page: Any) -> list[str]:
    """The names of the cases in the list, as they are seen."""
    return page.locator("ol.cases > li:visible .case-name").all_text_contents()


def open_all(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["full", "hostile", "own"])
def test_nothing_is_off_screen(opened: Open, name: str, width: int) -> None:
    page = opened(name, width)
    for _ in range(2):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(OVER_THE_EDGE) == []
        open_all(page)


def test_hostile_names_do_nothing(opened: Open) -> None:
    page = opened("hostile")
    open_all(page)
    page.mouse.move(400, 400)
    assert page.title() == "sdbench report"
    assert page.evaluate("document.scripts.length") == 1


def test_the_list_is_searched_filtered_and_sorted(opened: Open) -> None:
    page = opened("full")
    names = [case.id for case in pages.CASES]
    assert sorted(seen(page)) == sorted(names)
    assert page.locator(".filters output").inner_text() == "8 of 8 cases"
    page.get_by_label("Search").fill("NET 20.0>")  # what a row opens to is searched too
    assert seen(page) == ["action/layerwise/net/clips/first"]
    assert page.locator(".filters output").inner_text() == "1 of 8 cases"
    page.get_by_label("Search").fill("")
    page.get_by_label("Verdict").select_option("not run")
    assert len(seen(page)) == 4
    page.get_by_label("Kind").select_option("published claim")
    assert seen(page) == ["claim/paper/dynamic"]
    page.get_by_label("Verdict").select_option("holds")
    assert seen(page) == []
    for label in ("Verdict", "Kind"):
        page.get_by_label(label).select_option("")
    page.locator("select[name=network]").select_option("net")
    page.get_by_label("Sort by").select_option("seconds")
    assert seen(page)[0] == "packaged/net/second/shares"
    page.get_by_label("Sort by").select_option("name")
    assert seen(page) == sorted(names)


def test_a_network_of_a_hostile_name_is_found(opened: Open) -> None:
    page = opened("hostile")  # whose labels hold the names of networks
    page.locator("select[name=network]").select_option(pages.HOSTILE[0])
    found = len(seen(page))
    assert 0 < found < len(pages.CASES) * len(pages.HOSTILE)
    page.get_by_label("Search").fill(pages.HOSTILE[4].lower())
    assert 0 < len(seen(page)) < found


def test_the_anchor_of_a_case_opens_it(opened: Open) -> None:
    name = pages.CASES[-1].id
    page = opened("full", behind=f"#{anchor(name)}")
    row = page.locator(f'[id="{anchor(name)}"]')
    assert row.locator("dl").is_visible()
    assert row.evaluate("row => row.getBoundingClientRect().top < innerHeight")
    page.get_by_label("Search").fill("no case is called so")
    assert seen(page) == []
    page.locator(f'.claims a[href="#{anchor(pages.CASES[-2].id)}"]').click()
    assert seen(page) == [pages.CASES[-2].id]


def test_a_case_is_opened_with_the_keyboard(opened: Open) -> None:
    page = opened("full")
    page.get_by_label("Search").focus()
    for _ in range(5):  # the three filters, the order, the first case
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    row = page.locator("ol.cases > li").first
    assert row.locator("dl").is_visible()
    assert row.locator("summary").evaluate("summary => getComputedStyle(summary).outlineStyle") == "solid"


def test_without_javascript_every_case_can_be_read(opened: Open) -> None:
    page = opened("full", java_script_enabled=False)
    assert page.locator(".filters").is_hidden()
    assert len(seen(page)) == len(pages.CASES)
    row = page.locator("ol.cases > li").first
    row.locator("summary").click()
    assert row.get_by_text("outside the band: dynamic <20.0>").is_visible()


def test_on_paper_there_is_nothing_to_click(opened: Open) -> None:
    page = opened("full", 794, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.locator(".filters").is_hidden()
    assert page.locator("nav").is_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 794


def test_pictures_are_drawn_in_the_colours_of_light_and_dark(opened: Open) -> None:
    drawn = []
    for scheme in ("light", "dark"):
        page = opened("full", color_scheme=scheme)
        text = page.locator("svg.curves text").first
        drawn.append([text.evaluate("e => getComputedStyle(e).fill"), page.evaluate(STROKES)])
    assert drawn[0][0] != drawn[1][0]
    assert drawn[0][1] != drawn[1][1]


STROKES = (
    """[...new Set([...document.querySelectorAll("svg.curves path")].map(e => getComputedStyle(e).stroke))].sort()"""
)


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [
        ("full", 1280, "light"),
        ("full", 1280, "dark"),
        ("full", 390, "dark"),
        ("hostile", 390, "light"),
        ("own", 390, "dark"),
    ],
)
def test_axe_finds_no_violation(opened: Open, name: str, width: int, scheme: str) -> None:
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        lacking("axe-playwright-python is not installed: pip install -e .[test]")
    page = opened(name, width, color_scheme=scheme)
    open_all(page)
    found = Axe().run(page).response
    assert [(rule["id"], [node["html"][:200] for node in rule["nodes"][:3]]) for rule in found["violations"]] == []
    assert len(found["passes"]) > 10, "it looked"


def test_two_thousand_cases_are_searched(opened: Open) -> None:
    page = opened("many")
    page.get_by_label("Search").fill("packaged/net/second/shares/1500")
    assert seen(page) == ["packaged/net/second/shares/1500"]
    assert page.evaluate("document.querySelectorAll('*').length") < 20 * 2000, "what takes time to open is elements"
