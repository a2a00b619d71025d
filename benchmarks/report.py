"""What a report costs its reader: bytes of the page and milliseconds until it is there, for few and for many requests.

    python benchmarks/report.py [--requests 1000 1000000] [--times 15] [--keep FOLDER]

Runs the demo's study over so many requests each, opens the reports from disk in Chromium, in turns, and prints the
medians and their ratios to the smallest. Load: the load event's end; paint: the first contentful paint.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import rankcast
from rankcast.study import schema_files
from rankcast.testing.demo import write_demo

SEED = 7
TIMES = """
() => new Promise((done) => {
  const told = () => {
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    const load = performance.getEntriesByType("navigation")[0].loadEventEnd;
    if (paint && load) done([load, paint.startTime]);
    else setTimeout(told, 10);
  };
  told();
})
"""


@dataclass
class Opened:
    """A report, and how long it took each time."""

    requests: int
    page: Path
    load: list[float] = field(default_factory=list)
    paint: list[float] = field(default_factory=list)


def report_of(folder: Path, requests: int) -> Path:
    """Make a service with so many requests, run its first study, and keep nothing but the page."""
    page = folder / f"{requests}.html"
    place = folder / str(requests)
    write_demo(place, requests, SEED, schema_files())
    shutil.copyfile(rankcast.run(place / "studies" / "two-tower.yaml", place / "runs").report, page)
    shutil.rmtree(place)
    return page


def open_in_turns(reports: Sequence[Opened], times: int) -> None:
    """Open every report so many times; the first round, in which the browser itself warms up, does not count."""
    from playwright.sync_api import sync_playwright

    path = next(found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for turn in range(times + 1):
            for one in reports:
                load, paint = _open(browser, one.page)
                if turn:
                    one.load.append(load)
                    one.paint.append(paint)
        browser.close()


def _open(browser: Any, page: Path) -> tuple[float, float]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.goto(page.as_uri())
    load, paint = tab.evaluate(TIMES)
    context.close()
    return load, paint


def main() -> None:
    """Make the runs, open their reports, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, nargs="*", default=[1_000, 1_000_000])
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--keep", type=Path, help="where the pages stay, and are taken from if they are there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        reports = []
        for requests in given.requests:
            page = folder / f"{requests}.html"
            reports.append(Opened(requests, page if page.exists() else report_of(folder, requests)))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        open_in_turns(reports, given.times)
        _print(reports, given.times)
        print(f"\npeak memory of making services and runs: {peak:,.0f} MB")


def _print(reports: Sequence[Opened], times: int) -> None:
    first = reports[0]
    print(
        f"| requests | bytes of the page | load, ms (median of {times}) | first paint, ms | load, ratio | paint, ratio |"
    )
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for one in reports:
        load, paint = median(one.load), median(one.paint)
        print(
            f"| {one.requests:,} | {one.page.stat().st_size:,} | {load:.0f} | {paint:.0f} "
            f"| {load / median(first.load):.2f} | {paint / median(first.paint):.2f} |"
        )


if __name__ == "__main__":
    main()
