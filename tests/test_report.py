"""The reports: what they say, and how they behave in a real browser."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rankcast.report.write import MOST_CHARACTERS, markdown
from rankcast.runs.folder import Run

HOSTILE = "<script>alert(1)</script>"


def chromium() -> str | None:
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = chromium()
    if path is None:
        if os.environ.get("RANKCAST_NEED_BROWSER"):
            pytest.fail("no Chromium here, but RANKCAST_NEED_BROWSER is set")
        pytest.skip("no Chromium on this machine; on Debian `apt-get install chromium`")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield started
        started.close()


class Visit:
    """A page that was opened from disk, with everything that it tried to do."""

    def __init__(self, browser: Any, path: Path, width: int) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        self.page.goto(path.as_uri())


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_opens_from_disk_quietly(browser: Any, demo: Any, width: int) -> None:
    visit = Visit(browser, demo.run.report, width)
    assert visit.complaints == []
    assert visit.dialogs == []
    assert [url for url in visit.requests if not url.startswith(("file:", "data:"))] == []
    assert visit.page.locator(".decision strong").first.inner_text().startswith("two_tower: ")
    assert (
        visit.page.evaluate("document.documentElement.scrollWidth") <= width
    )  # tables scroll inside, the page does not


@pytest.mark.browser
def test_choosing_a_request_shows_its_lists_only(browser: Any, demo: Any) -> None:
    page = Visit(browser, demo.run.report, 1280).page
    panels = page.locator("[data-request]")
    assert panels.count() == 11  # five that drive the difference, six whose lists changed most
    assert [panels.nth(at).is_visible() for at in range(6)] == [True] + [False] * 5
    page.locator("#request").select_option("3")
    assert [panels.nth(at).is_visible() for at in range(11)] == [False, False, True] + [False] * 8
    assert panels.nth(2).locator("ol").count() == 3  # production, two_tower, popular


@pytest.mark.browser
def test_hostile_text_is_shown_as_text(browser: Any, demo: Any, tmp_path: Path) -> None:
    import polars as pl

    from rankcast.study import run

    shutil.copytree(demo.folder, tmp_path / "demo")
    items = tmp_path / "demo" / "data" / "items.parquet"
    pl.read_parquet(items).with_columns(title=pl.lit(HOSTILE)).write_parquet(items)
    study = tmp_path / "demo" / "studies" / "two-tower.yaml"
    study.write_text(study.read_text().replace("owner: feed-team", 'owner: "<img src=x onerror=alert(2)>"'))
    visit = Visit(browser, run(study, tmp_path / "runs").report, 1280)
    assert visit.dialogs == []
    assert visit.complaints == []
    assert HOSTILE in visit.page.locator("#lists").inner_text()
    assert "<img src=x onerror=alert(2)>" in visit.page.locator("header").inner_text()


def test_the_page_stands_alone(demo: Any) -> None:
    page = demo.run.report.read_text(encoding="utf-8")
    assert len(page) < 1_000_000
    addresses = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(\w+:)?//""", page)
    assert addresses == []
    assert page.count("<svg") == 9  # differences, three segments, four ledgers, how far users look
    assert "default-src 'none'" in page


def test_markdown_fits_a_comment_and_leads_with_the_decision(demo: Any) -> None:
    text = (demo.run.folder / "report.md").read_text(encoding="utf-8")
    assert len(text) < MOST_CHARACTERS
    assert text.splitlines()[0].startswith("## two-tower: two\\_tower **")
    assert text.count("<details>") == text.count("</details>") == 3
    assert "| two\\_tower | dcg@10 | primary |" in text


def test_markdown_of_hostile_names_is_text(demo: Any) -> None:
    from rankcast.report.document import Report

    result = demo.run.result
    named = {HOSTILE + "|**x**": result.decision["two_tower"]}
    report = Report(result.model_copy(update={"decision": named}), demo.run.manifest, ())
    text = markdown(report)
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text


def test_markdown_of_a_hostile_reason_is_text(demo: Any) -> None:
    from rankcast.report.document import Report

    result = demo.run.result
    reason = f"{HOSTILE} by @someone, **now** " + "and so on " * 20
    decision = {"two_tower": result.decision["two_tower"].model_copy(update={"because": reason})}
    text = markdown(Report(result.model_copy(update={"decision": decision}), demo.run.manifest, ()))
    assert "&lt;script&gt;alert(1)&lt;/script&gt; by \\@someone, \\*\\*now\\*\\*" in text
    assert "and so on and so on" in text  # a sentence is not cut like a cell
    assert "dcg@10" in text


def test_lists_show_long_ids_in_part(tmp_path: Path) -> None:
    import polars as pl

    from rankcast.report.document import sample_slates

    long = "i" * 5_000
    rows = [("production", rank, f"{rank}{long}") for rank in (1, 2, 3)]
    slates = pl.DataFrame(rows, schema=["variant", "rank", "item_id"], orient="row").with_columns(
        request_id=pl.lit("r" * 5_000), user_id=pl.lit("u" * 5_000), grade=pl.lit(1.0), target=pl.lit(True)
    )
    slates.write_parquet(tmp_path / "slates.parquet")
    (sample,) = sample_slates([tmp_path / "slates.parquet"], ["production"], pl.DataFrame({"item_id": [f"1{long}"]}))
    shown = [sample.request, sample.user, *(item.item for item in sample.lists["production"])]
    assert len(shown) == 5
    assert all(len(text) == 120 for text in shown)


def test_a_run_shows_itself(demo: Any) -> None:
    run: Run = demo.run
    assert run.id in repr(run)
    assert run.values.columns[:4] == ["variant", "request_id", "user_id", "weight"]
    assert set(run.slates["variant"].unique()) == {"production", "two_tower", "popular"}
    assert run.labels["reason"].is_in(["counted", "no request to count for", "outside the horizon"]).all()


def test_the_page_stays_small_whatever_the_data_hold(demo: Any, tmp_path: Path) -> None:
    import polars as pl

    from rankcast.study import run

    shutil.copytree(demo.folder, tmp_path / "demo")
    long = "x" * 100_000
    for table, column in (("items", "title"), ("users", "tenure")):
        path = tmp_path / "demo" / "data" / f"{table}.parquet"
        frame = pl.read_parquet(path)
        numbered = pl.int_range(len(frame)).cast(pl.String).str.slice(-1)  # ten long values
        frame.with_columns((numbered + pl.lit(long)).alias(column)).write_parquet(path)
    study = tmp_path / "demo" / "studies" / "two-tower.yaml"
    done = run(study, tmp_path / "runs")
    assert done.report.stat().st_size < 1_000_000
    assert (done.folder / "report.md").stat().st_size < 65_536
