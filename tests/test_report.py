"""The reports: what they say, and how they behave in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from math import isclose
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

import rankcast
from browsing import Visit
from rankcast.report.document import Report
from rankcast.report.lists import ListSample, Logs, sample_lists
from rankcast.report.markdown import MOST_CHARACTERS, markdown
from rankcast.report.write import html
from rankcast.runs.folder import Run
from tiny import World

HOSTILE = "<script>alert(1)</script>"
SHOWN = 10  # places of a list that a page shows
LISTED = 20  # items that steps removed, of a list
PAPER = 718  # pixels between the margins of a sheet of A4
FILTERS = ["changed", "drives", "gains", "losses", "all"]


# --- What is in the page, and what ought to be, from the run's own tables ---


def sample_of(page: Path) -> dict[str, Any]:
    """The lists that a page carries."""
    text = page.read_text(encoding="utf-8")
    (found,) = re.findall(r'<script type="application/json" id="sample">(.*?)</script>', text, re.DOTALL)
    carried: dict[str, Any] = json.loads(found, parse_constant=pytest.fail)
    return carried


Slates = Mapping[tuple[str, str], list[tuple[str, float | None]]]


def slates_of(run: Run) -> Slates:
    """By variant and request, the items and grades of the list."""
    found: dict[tuple[str, str], list[tuple[str, float | None]]] = {}
    for row in run.slates.sort("variant", "request_id", "rank").iter_rows(named=True):
        found.setdefault((row["variant"], row["request_id"]), []).append((row["item_id"], row["grade"]))
    return found


def trails_of(run: Run) -> dict[tuple[str, str], list[tuple[str, int, str]]]:
    """By variant and request that is told, the step, rank and item of what was removed."""
    found: dict[tuple[str, str], list[tuple[str, int, str]]] = {}
    for row in pl.read_parquet(run.folder / "trails" / "*.parquet").iter_rows(named=True):
        told = found.setdefault((row["variant"], row["request_id"]), [])
        if row["step"] is not None:
            told.append((row["step"], row["rank"], row["item_id"]))
    return found


def distance(ours: list[str], theirs: list[str]) -> int:
    """How far a list moved: over the items of either's first ranks, how far they are apart, at most so many ranks."""
    return sum(
        min(SHOWN, abs(ours.index(item) - theirs.index(item))) if item in ours and item in theirs else SHOWN
        for item in {*ours[:SHOWN], *theirs[:SHOWN]}
    )


def gains_of(run: Run, metric: str = "dcg@10", variant: str = "two_tower") -> dict[str, float]:
    """By target, the difference to production."""
    rows = run.values.select("variant", "request_id", metric).iter_rows()
    value = {(name, request): one for name, request, one in rows}
    requests = [request for name, request in value if name == "production"]
    return {request: value[variant, request] - value["production", request] for request in requests}


class Finder:
    """The part of a page that finds requests."""

    def __init__(self, visit: Visit) -> None:
        self.page = visit.page

    def find(self, words: str) -> Finder:
        self.page.locator("#find").fill(words)
        return self

    def show(self, what: str) -> Finder:
        self.page.locator("#filter").select_option(what)
        return self

    @property
    def offered(self) -> list[str]:
        """The ids of the requests that can be chosen."""
        told: list[str] = self.page.locator("#requests button > bdi").all_inner_texts()
        return told

    @property
    def current(self) -> str:
        """The request whose lists are shown."""
        told: str = self.page.locator("#panel h3").inner_text()
        return told.removeprefix("Request ").partition(" · user ")[0]

    def lists(self) -> dict[str, list[dict[str, str]]]:
        """By variant, the places that are shown."""
        told: list[tuple[str, list[dict[str, str]]]] = self.page.evaluate(
            """() => [...document.querySelectorAll("#panel .lists > div")].map((box) => [
              box.querySelector("h4").textContent,
              [...box.querySelectorAll("ol > li")].map((row) => ({
                rank: row.children[0].textContent,
                text: row.children[1].textContent,
                move: row.children[2].textContent,
              })),
            ])"""
        )
        return dict(told)

    def removed(self) -> dict[str, tuple[str | None, list[str]]]:
        """By variant, the summary of what steps removed, and its lines."""
        told: list[tuple[str, str | None, list[str]]] = self.page.evaluate(
            """() => [...document.querySelectorAll("#panel .lists > div")].map((box) => [
              box.querySelector("h4").textContent,
              box.querySelector("summary")?.textContent ?? null,
              [...box.querySelectorAll(".gone > li")].map((row) => row.textContent),
            ])"""
        )
        return {variant: (summary, lines) for variant, summary, lines in told}


# --- The page as a whole ---


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_opens_from_disk_quietly(browser: Any, demo: Any, width: int, scheme: Any) -> None:
    with Visit(browser, demo.run.report, width, color_scheme=scheme) as visit:
        visit.assert_quiet()
        visit.open_everything()
        visit.assert_quiet()
        assert visit.page.locator(".decision strong").first.inner_text().startswith("two_tower: ")


@pytest.mark.browser
def test_the_first_screen_has_decision_proposal_and_findings(browser: Any, demo: Any) -> None:
    with Visit(browser, demo.run.report) as visit:
        result = demo.run.result
        assert result.decision["two_tower"].because in visit.text("div.decision")
        for words in ("What is proposed, and why", "Findings"):
            box = visit.page.get_by_role("heading", name=words, exact=True).bounding_box()
            assert box is not None
            assert box["y"] < 900
        fired = [one for one in result.findings if one.status == "fired"]
        visit.open_everything()
        shown = visit.text("[aria-label='Decision']")
        assert [one.rule for one in fired if one.rule not in shown] == []
        assert demo.run.manifest["plan"]["study"]["why"].split(".")[0] in shown


@pytest.mark.browser
def test_links_of_the_navigation_lead_somewhere(browser: Any, demo: Any) -> None:
    with Visit(browser, demo.run.report, 390) as visit:
        links = visit.page.locator("nav a")
        for at in range(links.count()):
            links.nth(at).click()
            anchor = links.nth(at).get_attribute("href")
            heading = visit.page.locator(f"{anchor} h2").first.bounding_box()
            bar = visit.page.locator("nav").bounding_box()
            assert heading is not None
            assert bar is not None
            assert heading["y"] >= bar["y"] + bar["height"] - 1, f"{anchor} is hidden by the navigation"


@pytest.mark.browser
def test_dark(browser: Any, demo: Any) -> None:
    colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    with Visit(browser, demo.run.report, color_scheme="dark") as visit:
        paper, ink = ([int(one) for one in re.findall(r"\d+", text)] for text in visit.page.evaluate(colours))
        assert max(paper[:3]) < 60
        assert min(ink[:3]) > 180


@pytest.mark.browser
def test_print(browser: Any, demo: Any) -> None:
    """On paper everything is unfolded, and nothing scrolls, since paper does not."""
    with Visit(browser, demo.run.report, PAPER) as visit:
        page = visit.page
        assert page.locator("details:not([open])").count() > 3
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator("details:not([open])").count() == 0
        hidden = "[...document.querySelectorAll('nav, .controls, .chooser')].filter((one) => one.offsetParent).length"
        assert page.evaluate(hidden) == 0
        cut = page.evaluate(
            """() => [...document.querySelectorAll("main *")].filter((one) => {
                const style = getComputedStyle(one);
                return one.offsetParent && style.overflowX !== "visible" && one.scrollWidth > one.clientWidth + 1
                    && !one.classList.contains("unseen") && !one.closest("svg");
            }).map((one) => `${one.tagName}.${one.className} ${one.getAttribute("aria-label") ?? ""}`)"""
        )
        assert cut == []
        assert len(page.pdf()) > 10_000


@pytest.mark.browser
def test_paper_is_wide_enough(browser: Any, demo: Any) -> None:
    with Visit(browser, demo.run.report, PAPER) as visit:
        visit.page.emulate_media(media="print")
        visit.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        wide = visit.page.evaluate(
            """(width) => [...document.querySelectorAll("table")].filter((one) => one.getBoundingClientRect().right > width)
                .map((one) => `${one.caption.textContent}: ${Math.round(one.getBoundingClientRect().right)}`)""",
            PAPER,
        )
        assert wide == []


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_accessible(browser: Any, demo: Any, width: int, scheme: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with Visit(browser, demo.run.report, width, color_scheme=scheme) as visit:
        for unfolded in (False, True):
            if unfolded:
                visit.open_everything()
            found = Axe().run(visit.page).response["violations"]
            assert [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found] == []


@pytest.mark.browser
def test_without_a_script(browser: Any, demo: Any) -> None:
    first = sample_of(demo.run.report)["requests"][0]
    slates = slates_of(demo.run)
    with Visit(browser, demo.run.report, java_script_enabled=False) as visit:
        assert not visit.page.locator(".finder").is_visible()
        assert first["id"] in visit.text("#panel h3")
        for variant in ("production", "two_tower", "popular"):
            box = visit.page.locator("#panel .lists > div").filter(has=visit.page.get_by_text(variant, exact=True))
            lines = box.locator("li").all_inner_texts()
            wanted = [item for item, _ in slates[variant, first["id"]][:SHOWN]]
            assert len(lines) == len(wanted)
            assert [item for item, line in zip(wanted, lines, strict=True) if item not in line] == []
        visit.page.locator("summary").filter(has_text="References").click()
        assert visit.page.locator("details[open] table").first.is_visible()


def test_the_page_stands_alone(demo: Any) -> None:
    page = demo.run.report.read_text(encoding="utf-8")
    assert len(page.encode()) < 1_000_000
    addresses = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(\w+:)?//""", page)
    assert addresses == []
    assert page.count("<svg") == page.count('<figure class="chart"') + page.count('<div class="chart"') >= 10
    assert "default-src 'none'" in page
    assert re.search(r"\son\w+\s*=", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)) is None
    assert " style=" not in page.split("<main", 1)[1].split("<script", 1)[0]  # the policy would refuse it


# --- Lists side by side ---


def test_the_sample_is_what_the_run_did(demo: Any) -> None:
    """Items, grades, users, differences and distances of every list in the page."""
    sample, slates, gains = sample_of(demo.run.report), slates_of(demo.run), gains_of(demo.run)
    users = dict(demo.run.slates.select("request_id", "user_id").iter_rows())
    targets = dict(demo.run.slates.select("request_id", "target").iter_rows())
    drivers = {row.id for row in demo.run.results.influence if row.unit == "request"}
    assert sample["variants"][0] == "production"
    assert len(sample["requests"]) == len({one["id"] for one in sample["requests"]}) > 50
    for one in sample["requests"]:
        lists = {
            variant: [(sample["items"][item][0], grade) for item, grade, _ in places]
            for variant, places in zip(sample["variants"], one["lists"], strict=True)
        }
        assert lists == {name: slates.get((name, one["id"]), [])[:SHOWN] for name in lists}
        assert one["user"] == users[one["id"]]
        assert one["target"] == targets[one["id"]]
        assert one["drives"] == (one["id"] in drivers)
        assert one["difference"] == gains.get(one["id"])
        base, ours = ([item for item, _ in lists[name]] for name in ("production", "two_tower"))
        assert one["moved"] == distance(ours, base)
        for places in one["lists"]:
            for item, _, was in places:
                key = sample["items"][item][0]
                assert was == (base.index(key) + 1 if key in base else None)
    assert drivers <= {one["id"] for one in sample["requests"]}


def test_items_are_described_as_in_the_data(demo: Any) -> None:
    sample = sample_of(demo.run.report)
    items = pl.read_parquet(demo.folder / "data" / "items.parquet")
    known = {row["item_id"]: row for row in items.iter_rows(named=True)}
    for key, title, attributes in sample["items"]:
        row = known.get(key)
        assert title == (None if row is None else row["title"])
        assert attributes == [
            "" if row is None or row[name] is None else str(row[name]) for name in sample["attributes"]
        ]


def test_what_gained_lost_and_moved_most_is_in_the_page(demo: Any) -> None:
    """As the page says: of all targets, not of those whose steps happen to be told."""
    sample, slates, gains = sample_of(demo.run.report), slates_of(demo.run), gains_of(demo.run)
    shown = {one["id"] for one in sample["requests"]}
    for sign in (1, -1):
        most = sorted((request for request in gains if sign * gains[request] > 0), key=lambda one: -sign * gains[one])
        assert [request for request in most[:20] if request not in shown] == []
    apart = {
        request: distance(
            *([item for item, _ in slates.get((name, request), [])] for name in ("two_tower", "production"))
        )
        for request in gains
    }
    bound = sorted(apart.values(), reverse=True)[20]
    assert [request for request, moved in apart.items() if moved > bound and request not in shown] == []


def test_what_steps_removed_is_true(demo: Any) -> None:
    """It is what the trail says; and it is neither in the list nor out of the reach of production's list."""
    sample, slates, trails = sample_of(demo.run.report), slates_of(demo.run), trails_of(demo.run)
    told = 0
    for one in sample["requests"]:
        if one["removed"] is None:
            assert ("production", one["id"]) not in trails
            continue
        for variant, (counts, gone) in zip(sample["variants"], one["removed"], strict=True):
            trail = trails[variant, one["id"]]
            lines = [(sample["steps"][step], rank, sample["items"][item][0]) for item, rank, step in gone]
            assert set(lines) <= set(trail)
            assert len(lines) == min(LISTED, len(trail))
            assert {sample["steps"][step]: count for step, count in counts} == Counter(step for step, _, _ in trail)
            assert {item for _, _, item in lines}.isdisjoint(item for item, _ in slates.get((variant, one["id"]), []))
            assert all(1 <= rank <= 10 for _, rank, _ in lines)
            told += len(lines)
    assert told > 100


def test_what_the_cap_and_the_filters_removed_by_a_plain_recomputation(demo: Any) -> None:
    """An item of `match` has another type than was asked for; one of `cap` has two better ones of its company in the list; one of
    `where` is a test; one of `not_seen` was applied to before."""
    data = demo.folder / "data"
    items = {row["item_id"]: row for row in pl.read_parquet(data / "items.parquet").iter_rows(named=True)}
    requests = {row["request_id"]: row for row in pl.read_parquet(data / "requests.parquet").iter_rows(named=True)}
    applied = {
        (row["user_id"], row["item_id"]): row["timestamp"]
        for row in pl.read_parquet(data / "events.parquet").sort("timestamp", descending=True).iter_rows(named=True)
        if row["event"] == "apply"
    }
    open_at: dict[str, list[tuple[Any, Any]]] = {}
    for row in pl.read_parquet(data / "availability.parquet").iter_rows(named=True):
        open_at.setdefault(row["item_id"], []).append((row["open_at"], row["close_at"]))
    slates, seen = slates_of(demo.run), set()
    for (variant, request), gone in trails_of(demo.run).items():
        asked = requests[request]
        for step, _, item in gone:
            seen.add(step)
            about, now = items.get(item), asked["requested_at"].replace(tzinfo=ZoneInfo("Asia/Tokyo"))
            if step == "match":
                assert about is None or asked["job_type"] != about["job_type"]
            elif step == "match-2":
                assert about is None or about["employment"] not in asked["employment"]
            elif step == "where":
                assert about is None or about["is_test"]
            elif step == "not_seen":
                assert applied[asked["user_id"], item] < asked["requested_at"]
            elif step == "available":
                assert not any(start <= now and (end is None or now < end) for start, end in open_at.get(item, []))
            else:
                assert step == "cap"
                assert about is not None
                mine = [one for one, _ in slates[variant, request] if items[one]["company_id"] == about["company_id"]]
                assert len(mine) == 2
    assert seen == {"match", "match-2", "available", "not_seen", "where", "cap"}


@pytest.mark.browser
def test_ranks_moves_and_removals_in_the_page(browser: Any, demo: Any) -> None:
    slates, trails, sample = slates_of(demo.run), trails_of(demo.run), sample_of(demo.run.report)
    titles = {key: title for key, title, _ in sample["items"]}
    with Visit(browser, demo.run.report) as visit:
        finder = Finder(visit).show("all")
        recorded = [one["id"] for one in sample["requests"] if one["removed"] is not None]
        for request in recorded[:6] + recorded[-6:]:
            finder.find(request)
            assert finder.current == request
            base = [item for item, _ in slates["production", request]]
            for variant, places in finder.lists().items():
                wanted = slates.get((variant, request), [])[:SHOWN]
                assert [place["rank"] for place in places] == [str(rank) for rank in range(1, len(wanted) + 1)]
                for rank, (place, (item, grade)) in enumerate(zip(places, wanted, strict=True), 1):
                    assert item in place["text"]
                    assert (titles[item] or "") in place["text"]
                    assert ("· grade" in place["text"]) == bool(grade)
                    assert not grade or place["text"].find(f"· grade {grade:g}") > 0
                    assert place["move"] == told_move(variant, item, rank, base)
            for variant, (summary, lines) in finder.removed().items():
                gone = trails[variant, request]
                counts = Counter(step for step, _, _ in gone)
                told = dict(re.findall(r"([\w-]+) (\d+)", (summary or "").removeprefix("Removed by steps: ")))
                assert {step: int(count) for step, count in told.items()} == counts
                more = [f"and {len(gone) - LISTED} more"] if len(gone) > LISTED else []
                known = {f"{step} took rank {rank}: {told_item(item, titles)}" for step, rank, item in gone}
                assert lines[len(lines) - len(more) :] == more
                assert {" ".join(one.split()) for one in lines[: len(lines) - len(more)]} <= known
                assert len(lines) == min(len(gone), LISTED) + len(more)


def told_move(variant: str, item: str, rank: int, base: list[str]) -> str:
    """What stands beside an item."""
    if variant == "production":
        return ""
    if item not in base:
        return "new"
    was = base.index(item) + 1
    return "=" if was == rank else f"▲ {was - rank}" if was > rank else f"▼ {rank - was}"


def told_item(item: str, titles: Mapping[str, str | None]) -> str:
    """An item with its title."""
    title = titles[item]
    return f"{title} {item}" if title else item


@pytest.mark.browser
def test_search_and_filters(browser: Any, demo: Any) -> None:
    sample = sample_of(demo.run.report)
    gains = {one["id"]: one["difference"] or 0 for one in sample["requests"]}
    moved = {one["id"]: one["moved"] for one in sample["requests"]}
    kept = {
        "changed": {request for request, by in moved.items() if by},
        "drives": {row.id for row in demo.run.results.influence if row.unit == "request"},
        "gains": {request for request, by in gains.items() if by > 0},
        "losses": {request for request, by in gains.items() if by < 0},
        "all": set(moved),
    }
    with Visit(browser, demo.run.report) as visit:
        finder = Finder(visit)
        assert visit.page.locator("#filter").input_value() == "changed"
        offered = {what: finder.show(what).offered for what in FILTERS}
        assert {what: set(found) for what, found in offered.items()} == kept
        assert all(len(found) == len(set(found)) for found in offered.values())
        assert all(gains[one] >= gains[other] for one, other in pairwise(offered["gains"]))
        assert all(gains[one] <= gains[other] for one, other in pairwise(offered["losses"]))
        targets = [one["id"] for one in sample["requests"] if one["target"]]
        changed = [request for request in offered["changed"] if request in targets]
        assert all(moved[one] >= moved[other] for one, other in pairwise(changed))
        assert offered["changed"][: len(changed)] == changed  # what counts comes first
        finder.show("all")
        for one in sample["requests"][::40]:
            assert finder.find(one["id"]).offered == [one["id"]]
            assert finder.current == one["id"]
            assert finder.find(f" {one['id'].upper()} ").offered == [one["id"]]
            mine = {other["id"] for other in sample["requests"] if other["user"] == one["user"]}
            assert set(finder.find(one["user"]).offered) == mine
        assert finder.find("no such request").offered == []
        assert "not among the" in visit.text("#found")  # that the page does not have it is no word about the run
        finder.find("")
        assert set(finder.offered) == kept["all"]
        visit.assert_quiet()


@pytest.mark.browser
def test_a_search_is_not_hidden_by_a_filter(browser: Any, demo: Any) -> None:
    """Who types the id of a request that is there finds it, whatever is filtered; or is told of the filter."""
    same = next(one["id"] for one in sample_of(demo.run.report)["requests"] if one["moved"] == 0)
    with Visit(browser, demo.run.report) as visit:
        finder = Finder(visit).show("changed").find(same)
        assert finder.offered == [same] or "all" in visit.text("#found")


@pytest.mark.browser
def test_previous_and_next(browser: Any, demo: Any) -> None:
    with Visit(browser, demo.run.report) as visit:
        finder, before, after = Finder(visit), visit.page.locator("#before"), visit.page.locator("#after")
        offered = finder.show("losses").offered
        assert len(offered) > 3
        assert (before.is_disabled(), after.is_enabled()) == (True, True)
        seen = [finder.current]
        while after.is_enabled():
            after.click()
            seen.append(finder.current)
        assert seen == offered
        before.click()
        assert finder.current == offered[-2]
        current = visit.page.locator("#requests [aria-current=true]")
        assert current.count() == 1
        assert offered[-2] in current.inner_text()
        assert current.evaluate(SEEN), "the chosen line is scrolled out of sight"


SEEN = """(one) => {
  const line = one.getBoundingClientRect(), box = document.querySelector(".chooser").getBoundingClientRect();
  return line.top >= box.top - 1 && line.bottom <= box.bottom + 1;
}"""


@pytest.mark.browser
def test_by_keyboard_alone(browser: Any, demo: Any) -> None:
    """Tab goes from the search to the lines of requests; Enter chooses."""
    target = [one for one in sample_of(demo.run.report)["requests"] if one["removed"] and one["removed"][0][0]][3]
    with Visit(browser, demo.run.report) as visit:
        page, finder, keys = visit.page, Finder(visit), visit.page.keyboard
        keys.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        keys.press("Enter")
        press_until(page, "find")
        keys.press("Tab")
        assert page.evaluate("document.activeElement.id") == "filter"
        keys.type("all")
        assert page.locator("#filter").input_value() == "all"
        keys.press("Shift+Tab")
        keys.type(target["user"])
        offered = finder.offered
        for _ in range(12):
            keys.press("Tab")
            if target["id"] in page.evaluate("document.activeElement.textContent") and page.evaluate(
                "document.activeElement.tagName === 'BUTTON'"
            ):
                break
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"
        keys.press("Enter")
        assert finder.current == target["id"]
        assert target["id"] in offered
        for _ in range(12):
            keys.press("Tab")
            if page.evaluate("document.activeElement.tagName") == "SUMMARY":
                break
        keys.press("Enter")
        assert page.locator("#panel details[open]").count() >= 1
        visit.assert_quiet()


def press_until(page: Any, name: str) -> None:
    """Tab until an element has the focus."""
    for _ in range(400):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == name:
            return
    pytest.fail(f"Tab never comes to #{name}")


# --- Lists that the demo does not have ---


def longer(folder: Path) -> World:
    """A service whose lists have 20 places: `new` turns production's order round, so that all items are in both lists."""
    world = World(folder)
    items = [f"i{number:02}" for number in range(20)]
    world.tables["items"] = pl.DataFrame({"item_id": items, "kind": "a", "wage": range(20), "is_test": False})
    requests = world.tables["requests"]["request_id"].to_list()
    for name, sign in (("scores", -1.0), ("new", 1.0)):
        rows = [(request, item, sign * at) for request in requests for at, item in enumerate(items)]
        world.tables[name] = pl.DataFrame(rows, schema=["request_id", "item_id", "score"], orient="row")
    world.service("production", "steps", to=[]).service("production", "served", to=20)
    return world.study("variants", "popular", to={"builtin": "random"})


@pytest.mark.browser
def test_an_item_from_further_down_is_not_new(browser: Any, tmp_path: Path) -> None:
    world = longer(tmp_path).write()
    assert world.run().code in (0, 3, 4)
    with Visit(browser, next(tmp_path.glob("runs/*/*/report.html"))) as visit:
        places = Finder(visit).lists()["new"]
        assert [place["text"][:3] for place in places] == [f"i{number}" for number in range(19, 9, -1)]
        assert [place["move"] for place in places] == [f"▲ {by}" for by in range(19, 0, -2)]


@pytest.mark.browser
def test_an_item_that_stands_in_a_list_twice_is_at_its_better_rank(browser: Any, tmp_path: Path) -> None:
    world = World(tmp_path)
    shown = [
        (one, item, rank) for one in ("r00", "r01", "r02") for rank, item in enumerate(("i1", "i2", "i3", "i1"), 1)
    ]
    world.tables["impressions"] = pl.DataFrame(shown, schema=["request_id", "item_id", "rank"], orient="row")
    world.service("production", "steps", to=[]).service("production", "served", to=5)
    world.study("variants", to={"logged": {"builtin": "logged"}, "new": {"scores": {"path": "data/new.parquet"}}})
    world.study("baseline", to="logged").study("metrics", "guardrails", to=[]).study(
        "treatment", to=["scores", "candidates"]
    )
    world.table("new", lambda frame: frame.filter(pl.col("item_id").is_in(["i1", "i2", "i3"])))
    answer = world.write().run()
    assert answer.code in (0, 3, 4, 5), answer.text
    with Visit(browser, next(tmp_path.glob("runs/*/*/report.html"))) as visit:
        finder = Finder(visit).show("all").find("r00")
        lists = finder.lists()
        assert [place["text"][:2] for place in lists["logged"]] == ["i1", "i2", "i3", "i1"]
        base = ["i1", "i2", "i3"]
        for rank, place in enumerate(lists["new"], 1):
            assert place["move"] == told_move("new", place["text"][:2], rank, base)


@pytest.mark.browser
def test_the_page_says_of_which_variant_the_changes_are(browser: Any, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.study("variants", "newer", to={"scores": {"path": "data/newer.parquet"}})
    world.tables["newer"] = world.tables["scores"].with_columns(pl.col("score") * -1)
    answer = world.write().run()
    assert answer.code in (0, 3, 4), answer.text
    page = next(tmp_path.glob("runs/*/*/report.html"))
    assert len(json.loads((page.parent / "result.json").read_text())["decision"]) == 2
    with Visit(browser, page) as visit:
        told = visit.page.locator("#lists > p, .finder, #panel > p").all_inner_texts()
        assert any(re.search(r"\bnew\b", one) for one in told)


def test_no_lists_at_all(demo: Any) -> None:
    page = html(Report(demo.run.result, demo.run.manifest, ListSample((), (), 0)))
    assert "No replayed request has a list to show." in page


def sample_from(folder: Path, slates: pl.DataFrame, values: pl.DataFrame) -> ListSample:
    """The sample of lists that nothing was removed from, by `production` and `new`."""
    slates.write_parquet(folder / "slates.parquet")
    told = slates.select("variant", "request_id").unique().with_columns(moved=pl.lit(0))
    told.write_parquet(folder / "replays.parquet")
    nothing = told.with_columns(step=None, rank=None, item_id=None)
    nothing.cast({"step": pl.String, "rank": pl.Int64, "item_id": pl.String}).write_parquet(folder / "trails.parquet")
    items = slates.select("item_id").unique()
    moment = pl.lit(datetime(2023, 10, 2, tzinfo=UTC)).alias("timestamp")
    requests = slates.select("request_id", "user_id", moment).unique()
    paths = [[folder / f"{name}.parquet"] for name in ("slates", "replays", "trails")]
    return sample_lists(Logs(*paths, values, items, requests, "UTC"), ["production", "new"], ["new"], "dcg@10", [])


def three_items(request: str, user: str, item: str) -> pl.DataFrame:
    """Lists of three items by either variant."""
    rows = [(name, rank, f"{rank}{item}") for name in ("production", "new") for rank in (1, 2, 3)]
    return pl.DataFrame(rows, schema=["variant", "rank", "item_id"], orient="row").with_columns(
        request_id=pl.lit(request), user_id=pl.lit(user), grade=pl.lit(1.0), target=pl.lit(True)
    )


def test_lists_show_long_ids_in_part(tmp_path: Path) -> None:
    slates = three_items("r" * 5_000, "u" * 5_000, "i" * 5_000)
    values = slates.select("variant", "request_id").unique().with_columns(pl.lit(1.0).alias("dcg@10"))
    (one,) = sample_from(tmp_path, slates, values).requests
    shown = [one.request, one.user, *(place.item.id for place in one.lists["production"])]
    assert len(shown) == 5
    assert all(len(text) <= 120 and text.endswith("…") for text in shown)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), None, 1e308])
def test_a_sample_is_json_whatever_the_numbers_are(value: float | None, tmp_path: Path) -> None:
    """A difference that cannot be measured is nothing, and no word that JSON does not have."""
    slates = three_items("r1", "u1", "i")
    numbers = pl.DataFrame({"variant": ["production", "new"], "request_id": "r1", "dcg@10": [1.0, value]})
    text = sample_from(tmp_path, slates, numbers).text(["production", "new"])
    carried = json.loads(text, parse_constant=pytest.fail)
    assert carried["requests"][0]["difference"] == (1e308 if value == 1e308 else None)


# --- Pictures and tables ---


@pytest.fixture(scope="module")
def unfolded(browser: Any, demo: Any) -> Iterator[Visit]:
    """The demo's page, everything unfolded."""
    with Visit(browser, demo.run.report) as visit:
        visit.open_everything()
        yield visit


def number_in(text: str) -> float:
    """The first number of a cell, a percentage as a share."""
    found = re.search(r"[+−-]?[\d,]+\.?\d*", text)
    assert found is not None, text
    value = float(found.group().replace(",", "").replace("−", "-"))
    return value / 100 if "%" in text else value


@pytest.mark.browser
def test_every_picture_has_a_name_and_a_table(unfolded: Visit) -> None:
    lonely = unfolded.page.evaluate(
        """() => [...document.querySelectorAll(".chart")].filter((one) => {
            const tables = [...one.closest("section").querySelectorAll("table")];
            return !one.getAttribute("aria-label") || one.getAttribute("role") !== "img"
                || !tables.some((table) => one.compareDocumentPosition(table) & Node.DOCUMENT_POSITION_FOLLOWING);
        }).map((one) => one.getAttribute("aria-label"))"""
    )
    assert lonely == []


@pytest.mark.browser
def test_the_forest_in_numbers(unfolded: Visit, demo: Any) -> None:
    rows = [row for row in demo.run.results.comparisons if row.segment is None and row.variant == "two_tower"]
    told = {cells[0].split()[0]: cells for cells in unfolded.rows("Differences") if cells[3] == "two_tower"}
    assert set(told) == {row.metric for row in rows}
    for row in rows:
        cells = told[row.metric]
        assert isclose(number_in(cells[4]), row.baseline_value, rel_tol=1e-3, abs_tol=5.1e-5)
        assert cells[2] == row.verdict
        if row.relative is None or row.shown_bounds is None:
            assert cells[1].startswith("–")
            continue
        assert isclose(number_in(cells[1]), row.relative, abs_tol=5.1e-5)
        low, high = cells[5].split(" to ")
        assert isclose(number_in(low), row.shown_bounds[0], abs_tol=5.1e-5)
        assert isclose(number_in(high), row.shown_bounds[1], abs_tol=5.1e-5)


@pytest.mark.browser
def test_segments_in_numbers(unfolded: Visit, demo: Any) -> None:
    columns = demo.run.manifest["plan"]["study"]["segments"]
    for column in columns:
        rows = [
            row
            for row in demo.run.results.comparisons
            if row.segment is not None
            and (row.segment.column, row.variant, row.metric) == (column, "two_tower", "dcg@10")
        ]
        told = {cells[0]: cells for cells in unfolded.rows(f"Differences by {column}")}
        assert len(rows) == len(told) > 1
        for row in rows:
            cells = told["(null)" if row.segment.value is None else str(row.segment.value)]
            if row.relative is not None:
                assert isclose(number_in(cells[3]), row.relative, abs_tol=5.1e-5)
            assert number_in(cells[6]) == row.n_requests


@pytest.mark.browser
def test_ledger_and_steps_in_numbers(unfolded: Visit, demo: Any) -> None:
    ledger = unfolded.rows("The ledger of targets")
    for cells, row in zip(ledger, demo.run.results.targets, strict=True):
        assert (cells[1], *map(number_in, cells[2:5])) == (row.step, row.in_, row.out, row.lost)
    steps = unfolded.rows("Steps of every variant")
    for cells, row in zip(steps, demo.run.results.steps, strict=True):
        assert (cells[0], cells[1]) == (row.variant, row.step)
        assert (number_in(cells[2]), number_in(cells[3])) == (row.in_, row.removed)


@pytest.mark.browser
def test_spread_and_exposure_in_numbers(unfolded: Visit, demo: Any) -> None:
    bins = {(cells[0], cells[1], cells[2]): number_in(cells[4]) for cells in unfolded.rows("Bins")}
    rows = [row for row in demo.run.results.distributions if row.metric == "dcg@10"]
    assert sum(bins.values()) == sum(sum(row.counts) for row in rows)
    assert len(bins) == sum(count > 0 for row in rows for count in row.counts)
    spread = {(cells[0], cells[1], cells[2]): cells for cells in unfolded.rows("Distributions")}
    for row in demo.run.results.distributions:
        cells = spread[row.metric, row.of, row.variant]
        assert (number_in(cells[3]), number_in(cells[4])) == (row.zero, sum(row.counts))
        assert isclose(number_in(cells[6]), row.quantiles[1], rel_tol=1e-3, abs_tol=5.1e-5)
    exposure = {cells[0]: cells for cells in unfolded.rows("Exposure")}
    curve = unfolded.rows("Share of all places that go to the least shown items")
    for at, row in enumerate(demo.run.results.exposure, 1):
        for cells, share in zip(curve, row.lorenz, strict=True):
            assert isclose(number_in(cells[at]), share, abs_tol=5.1e-4)
        cells = exposure[row.variant]
        assert (number_in(cells[1]), number_in(cells[3])) == (row.items, row.places)
        assert isclose(number_in(cells[4]), row.top_1, abs_tol=5.1e-4)
    moved = {(cells[0], cells[1]): cells for cells in unfolded.rows("Items that moved")}
    for one in demo.run.results.items:
        if one.variant == "two_tower":
            cells = moved[one.variant, one.item_id]
            assert (number_in(cells[2]), number_in(cells[3])) == (one.shown, one.shown_by_baseline)


@pytest.mark.browser
def test_days_in_numbers(browser: Any, tmp_path: Path, demo: Any) -> None:
    """Days have a section of their own where they are no segment."""
    result = demo.run.result
    kept = tuple(row for row in result.results.comparisons if row.segment is None or row.segment.column != "day")
    results = result.results.model_copy(update={"comparisons": kept})
    shown = Report(result.model_copy(update={"results": results}), demo.run.manifest, ListSample((), (), 0))
    (tmp_path / "report.html").write_text(html(shown), encoding="utf-8")
    with Visit(browser, tmp_path / "report.html") as visit:
        visit.assert_quiet()
        visit.open_everything()
        told = {(cells[0], cells[1]): cells for cells in visit.rows("Differences by day")}
        rows = [row for row in demo.run.results.days if row.variant == "two_tower"]
        assert len(told) == len(rows) > 7
        for row in rows:
            cells = told[row.day, row.variant]
            assert isclose(number_in(cells[2]), row.difference or 0, abs_tol=5.1e-5)
            assert number_in(cells[4]) == row.n_requests


@pytest.mark.browser
def test_labels_of_pictures_can_be_read(unfolded: Visit) -> None:
    """Letters are at least 9 pixels high, and no two labels of an axis overlap."""
    small = unfolded.page.evaluate(
        """() => [...document.querySelectorAll(".chart svg")].filter((one) =>
            [...one.querySelectorAll("text")].some((text) => {
              const height = parseFloat(getComputedStyle(text).fontSize) * one.getScreenCTM().a;
              return text.textContent && height < 9;
            })).map((one) => one.closest(".chart").getAttribute("aria-label"))"""
    )
    assert small == []
    crowded = unfolded.page.evaluate(
        """() => [...document.querySelectorAll(".chart svg .role-axis-label")].filter((axis) => {
            const boxes = [...axis.querySelectorAll("text")].filter((one) => getComputedStyle(one).opacity !== "0")
                .map((one) => one.getBoundingClientRect()).filter((one) => one.width);
            return boxes.some((one, at) => boxes.slice(at + 1).some((other) => one.left < other.right && other.left < one.right
                && one.top < other.bottom - 2 && other.top < one.bottom - 2));
        }).map((one) => one.closest(".chart").getAttribute("aria-label") + ": " + one.textContent.trim().slice(0, 60))"""
    )
    assert crowded == []


# --- Text that is not kind ---


@pytest.mark.browser
def test_hostile_text_is_shown_as_text(browser: Any, demo: Any, tmp_path: Path) -> None:
    shutil.copytree(demo.folder, tmp_path / "demo")
    items = tmp_path / "demo" / "data" / "items.parquet"
    pl.read_parquet(items).with_columns(title=pl.lit(HOSTILE)).write_parquet(items)
    study = tmp_path / "demo" / "studies" / "two-tower.yaml"
    study.write_text(study.read_text().replace("owner: feed-team", 'owner: "<img src=x onerror=alert(2)>"'))
    with Visit(browser, rankcast.run(study, tmp_path / "runs").report) as visit:
        visit.assert_quiet()
        assert HOSTILE in visit.text("#lists")
        assert "<img src=x onerror=alert(2)>" in visit.text("header")


def test_markdown_fits_a_comment_and_leads_with_the_decision(demo: Any) -> None:
    text = (demo.run.folder / "report.md").read_text(encoding="utf-8")
    assert len(text) < MOST_CHARACTERS
    assert text.splitlines()[0].startswith("## two-tower: two\\_tower **")
    assert text.count("<details>") == text.count("</details>") >= 3
    assert "| two\\_tower | dcg@10 | primary |" in text


def test_markdown_of_hostile_names_is_text(demo: Any) -> None:
    result = demo.run.result
    named = {HOSTILE + "|**x**": result.decision["two_tower"]}
    report = Report(result.model_copy(update={"decision": named}), demo.run.manifest, ListSample((), ()))
    text = markdown(report)
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text


def test_markdown_of_a_hostile_reason_is_text(demo: Any) -> None:
    result = demo.run.result
    reason = f"{HOSTILE} by @someone, **now** " + "and so on " * 20
    decision = {"two_tower": result.decision["two_tower"].model_copy(update={"because": reason})}
    text = markdown(Report(result.model_copy(update={"decision": decision}), demo.run.manifest, ListSample((), ())))
    assert "&lt;script&gt;alert(1)&lt;/script&gt; by @<!-- -->someone, \\*\\*now\\*\\*" in text
    assert "and so on and so on" in text  # a sentence is not cut like a cell
    assert "dcg@10" in text


def test_a_run_shows_itself(demo: Any) -> None:
    run: Run = demo.run
    assert run.id in repr(run)
    assert run.values.columns[:4] == ["variant", "request_id", "user_id", "weight"]
    assert set(run.slates["variant"].unique()) == {"production", "two_tower", "popular"}
    assert run.labels["reason"].is_in(["counted", "no request to count for", "outside the horizon"]).all()


def test_the_page_stays_small_whatever_the_data_hold(demo: Any, tmp_path: Path) -> None:
    shutil.copytree(demo.folder, tmp_path / "demo")
    long = "x" * 100_000
    for table, column in (("items", "title"), ("users", "tenure")):
        path = tmp_path / "demo" / "data" / f"{table}.parquet"
        frame = pl.read_parquet(path)
        numbered = pl.int_range(len(frame)).cast(pl.String).str.slice(-1)  # ten long values
        frame.with_columns((numbered + pl.lit(long)).alias(column)).write_parquet(path)
    study = tmp_path / "demo" / "studies" / "two-tower.yaml"
    done = rankcast.run(study, tmp_path / "runs")
    assert done.report.stat().st_size < 1_000_000
    assert (done.folder / "report.md").stat().st_size < 65_536
