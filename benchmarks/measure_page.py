"""How large a report's page is, how long a browser takes to open it, and to search it.

    python benchmarks/measure_page.py reports/latest/report.html [--rounds 5]
    python benchmarks/measure_page.py --cases 2000          # a made-up run of so many cases

Needs what the tests need: `pip install -e .[test]`, and Chromium. Prints medians over fresh browser windows, in
milliseconds from the request: when the first words are seen, when all is there and drawn, what of that the page's own
thread computed (which other work of the machine does not lengthen much), and how long one search takes.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.report import pages
from tests.report.test_browser import BROWSERS

_DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"

_SEARCH = """async () => {
    const drawn = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    const started = performance.now();
    const field = document.querySelector("input[type=search]");
    if (field) {
        field.value = "static stage5";
        field.dispatchEvent(new Event("input", { bubbles: true }));
        await drawn();
    }
    return {
        first: performance.getEntriesByName("first-contentful-paint")[0].startTime,
        search: performance.now() - started,
        elements: document.querySelectorAll("*").length,
    };
}"""


def main() -> None:
    """Open the page a few times, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, nargs="?", help="the page (default: a made-up run)")
    parser.add_argument("--cases", type=int, default=2000, help="of the made-up run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = options.page or pages.written(pages.many(options.cases), Path(folder))
        found = opened(page, options.rounds)
        print(f"{page.name}: {page.stat().st_size / 1e6:.2f} MB, {found[0]['elements']} elements")
    for name in ("first", "all", "computed", "search"):
        print(f"{name}: {statistics.median(each[name] for each in found):.0f} ms")


def opened(page: Path, rounds: int) -> list[dict[str, Any]]:
    """What each opening took."""
    program = next(filter(None, map(shutil.which, BROWSERS)))
    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(rounds):
            window = browser.new_context(viewport={"width": 1280, "height": 800})
            tab = window.new_page()
            counter = window.new_cdp_session(tab)
            counter.send("Performance.enable", {"timeDomain": "threadTicks"})
            tab.goto(page.resolve().as_uri())
            all_drawn = tab.evaluate(_DRAWN)
            counted = {one["name"]: one["value"] for one in counter.send("Performance.getMetrics")["metrics"]}
            found.append({"all": all_drawn, "computed": 1000 * counted["TaskDuration"], **tab.evaluate(_SEARCH)})
            window.close()
        browser.close()
    return found


if __name__ == "__main__":
    main()
