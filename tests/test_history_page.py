"""The page of `rankcast history report` and the section of a study's report, in a real browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from browsing import Visit
from rankcast.testing.past import TESTS, write_past
from tiny import rankcast

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the demo's past."""
    folder = tmp_path_factory.mktemp("past")
    write_past(folder / "history")
    done = rankcast(
        "history", "report", str(folder / "history"), "--to", str(folder / "page"), "--out", str(folder / "none")
    )
    assert done.code == 0, done.text
    return folder / "page" / "history.html"


def test_the_page_is_quiet_and_says_what_it_found(browser: Any, page: Path) -> None:
    with Visit(browser, page) as visit:
        visit.open_everything()
        visit.assert_quiet()
        text = visit.text()
        assert "has earned the right to decide" in text
        assert visit.page.locator("figure.chart svg").count() == 2  # pairs, and past forecasts
        rows = visit.page.get_by_role("table", name="Pairs of dcg@10 and applications_per_request").locator("tbody tr")
        assert rows.count() == len(TESTS)
        for one in TESTS:
            line = rows.filter(has_text=one.start).inner_text()
            assert one.name in line
            assert f"{one.online:+.1%}" in line
            assert f"{one.offline:+.1%}" in line


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_accessible(browser: Any, page: Path, width: int, scheme: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with Visit(browser, page, width, color_scheme=scheme) as visit:
        visit.open_everything()
        found = Axe().run(visit.page).response["violations"]
        assert [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found] == []
        assert visit.overflow() == 0


def test_a_study_shows_its_forecast_beside_the_decision(browser: Any, demo: Any) -> None:
    told = json.loads((demo.run.folder / "result.json").read_text(encoding="utf-8"))["history"]
    with Visit(browser, demo.run.report) as visit:
        assert told["forecasts"][0]["says"] in visit.text("section[aria-label=Decision]")
        visit.page.get_by_role("link", name="What that rests on").click()
        assert told["links"][0]["says"] in visit.text("#history")
        visit.assert_quiet()
