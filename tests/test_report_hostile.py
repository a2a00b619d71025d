"""Reports of data that mean harm, or are merely too much: the page stays small, and text stays text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from browsing import Visit
from tiny import ITEMS, World

MOST_BYTES = 1_000_000
ANSWERED = (0, 3, 4, 5)
STRUCK = "document.title = 'struck'; window.struck = true; alert(1)"
TITLES = [
    f"<script>{STRUCK}</script>",
    f"</script><script>{STRUCK}</script>",
    f"<!--<script>{STRUCK}</script>",
    "<!-- --> <![CDATA[ x ]]> <?php ?> &lt;b&gt; &amp; {{ 7 * 7 }} {% raw %} ${7 * 7}",
    f'" onmouseover="{STRUCK}" x=\'{STRUCK}\' <img src=x onerror="{STRUCK}">',
    "\u202egnihton si siht\u202c \u200f\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u2067right to left",
    "emoji \U0001f469\u200d\U0001f680 \U0001f1ef\U0001f1f5 \u2028 line \u2029 paragraph \ufeff mark",
    "NUL \x00 bell \x07 escape \x1b[31m vertical \x0b delete \x7f next \x85 \ufffe \uffff",
]
IDS = [
    "a/b\\c'd\"e",
    "</script>",
    "<!--",
    "../../etc/passwd",
    "`id`|$(id)",
    "\u202ediesrever",
    "nul\x00id",
    "   ",
]


def page_of(world: World, code: tuple[int, ...] = ANSWERED, *more: str) -> Path:
    """Run a world and return its page, which is small."""
    outcome = world.write().run(*more)
    assert outcome.code in code, outcome.text
    (page,) = world.folder.glob("runs/*/*/report.html")
    size = page.stat().st_size
    assert size < MOST_BYTES, f"{size:,} bytes"
    assert (page.parent / "report.md").stat().st_size < 4 * 65_536
    assert len((page.parent / "report.md").read_text(encoding="utf-8")) <= 65_536
    return page


def assert_harmless(browser: Any, page: Path) -> str:
    """The page opens quietly at either width, nothing of the data has run, no element came from the data; its text."""
    for width in (1280, 390):
        with Visit(browser, page, width) as visit:
            visit.assert_quiet()
            visit.open_everything()
            visit.assert_quiet()
            for what in ("all", "gains", "losses", "drives", "changed"):
                if visit.page.locator("#filter").count():
                    visit.page.locator("#filter").select_option(what)
            visit.page.locator("#filter").select_option("all")
            after = visit.page.locator("#after")
            for _ in range(12):
                if after.is_enabled():
                    after.click()
            visit.page.mouse.move(300, 300)
            visit.page.wait_for_timeout(100)
            visit.assert_quiet()
            assert visit.page.evaluate("window.struck") is None
            assert visit.page.title() != "struck"
            assert visit.page.locator("img, iframe, object, embed, form, b > script, li script").count() == 0
            assert visit.page.locator("script").count() == 2  # the page's own, and the lists
            assert visit.page.evaluate("document.compatMode") == "CSS1Compat"
            text: str = visit.page.evaluate("document.querySelector('main').innerText")
    return text


def rename(world: World, columns: Mapping[str, pl.Expr]) -> None:
    """Change columns wherever they occur."""
    for name, frame in world.tables.items():
        world.tables[name] = frame.with_columns(change for column, change in columns.items() if column in frame.columns)


def hostile(folder: Path) -> World:
    """Titles, ids, contexts, segments, names and reasons that are not kind, all at once."""
    world = World(folder)
    ids = dict(zip(ITEMS, IDS, strict=True))
    renamed = {
        "item_id": pl.col("item_id").replace(ids),
        "user_id": pl.col("user_id") + "</script>'\"\\/",
        "request_id": pl.col("request_id") + "/\\\"'<b>\u202e",
    }
    rename(world, renamed)
    world.table("items", lambda items: items.with_columns(title=pl.Series(TITLES)))
    world.table("requests", lambda one: one.with_columns(keyword=pl.Series([TITLES[at % 8] for at in range(len(one))])))
    world.table("users", lambda users: users.with_columns(tenure=pl.Series(TITLES[:4])))
    world.study("segments", to=["user.tenure", "request.keyword"])
    world.study("owner", to=TITLES[0]).study("why", to=TITLES[1]).study("expect", to=TITLES[2])
    world.study("study", to="st\u00fcdy'&`-x")
    variants = world.study_document["variants"]
    variants['<b>bold</b> & "x" \'</script>'] = variants.pop("new")
    world.service("production", "steps", 1, to={"where": "true", "name": "<i onclick=alert(1)>step</i>"})
    world.service("service", to="<u>tiny</u></title><script>alert(1)</script>")
    return world


@pytest.mark.browser
def test_hostile_text_everywhere(browser: Any, tmp_path: Path) -> None:
    page = page_of(hostile(tmp_path))
    text = assert_harmless(browser, page)
    for words in ("<b>bold</b>", "</script><script>", "<!--<script>"):
        assert words in text
    source = page.read_text(encoding="utf-8")
    assert not set(source) & {"\x00", "\x07", "\x0b", "\x1b", "\ufffe", "\uffff"}
    (carried,) = re.findall(r'<script type="application/json" id="sample">(.*?)</script>', source, re.DOTALL)
    assert not set(carried) & {"<", "\u2028", "\u2029"}


@pytest.mark.browser
def test_all_titles_are_shown_as_they_are(browser: Any, tmp_path: Path) -> None:
    page = page_of(hostile(tmp_path))
    with Visit(browser, page) as visit:
        visit.page.locator("#filter").select_option("all")
        shown: set[str] = set()
        for number in range(visit.page.locator("#requests button").count()):
            visit.page.locator("#requests button").nth(number).click()
            shown |= set(visit.page.locator("#panel li").all_text_contents())
        for title in TITLES[:5]:
            assert any(title[:70] in one for one in shown), title


@pytest.mark.browser
def test_a_title_turns_nothing_else_round(browser: Any, tmp_path: Path) -> None:
    """U+202E ends with the title: the id beside it reads from left to right."""
    world = World(tmp_path)
    world.table("items", lambda items: items.with_columns(title=pl.lit("\u202eabc")))
    with Visit(browser, page_of(world)) as visit:
        turned = visit.page.evaluate(
            """() => [...document.querySelectorAll("#panel ol li small")].filter((one) => {
              const node = one.firstChild, range = document.createRange();
              if (!node || node.textContent.length < 2) return false;
              const box = (at) => {
                range.setStart(node, at);
                range.setEnd(node, at + 1);
                return range.getBoundingClientRect();
              };
              const first = box(0), second = box(1);
              return first.top === second.top && first.left > second.left;
            }).map((one) => one.textContent)"""
        )
        assert turned == []


@pytest.mark.browser
@pytest.mark.slow
def test_titles_of_ten_megabytes(browser: Any, tmp_path: Path) -> None:
    world = World(tmp_path)
    long = "<b>" + "x" * 10_000_000
    world.table("items", lambda items: items.with_columns(title=pl.lit(long), kind=pl.col("kind") + pl.lit(long)))
    world.service("production", "steps", 0, to="available")
    assert_harmless(browser, page_of(world))


@pytest.mark.browser
@pytest.mark.slow
def test_ids_of_a_megabyte(browser: Any, tmp_path: Path) -> None:
    world = World(tmp_path)
    long = {"request_id": pl.col("request_id") + "<" * 1_000_000, "user_id": pl.col("user_id") + "&" * 1_000_000}
    rename(world, long)
    assert_harmless(browser, page_of(world))


def many(folder: Path, requests: int) -> World:
    """The tiny service with more requests, each by a user of their own."""
    world = World(folder)
    times = (pl.datetime(2023, 10, 1, time_zone="UTC") + pl.duration(seconds=pl.col("n") % 1_000_000)).cast(
        pl.Datetime("us", "UTC")
    )
    base = pl.DataFrame({"n": range(requests)}).with_columns(
        request_id=pl.format("r{}", "n"), user_id=pl.format("u{}", "n"), timestamp=times
    )
    world.tables["requests"] = base.select(
        "request_id", "user_id", "timestamp", surface=pl.lit("home"), wanted=pl.lit(None, dtype=pl.String), bot=False
    )
    world.tables["users"] = base.select("user_id", tenure=pl.format("value {}", "n"))
    for name, column in (("scores", pl.lit(1.0)), ("new", pl.lit(-1.0))):
        rows = base.select("request_id").join(pl.DataFrame({"item_id": ITEMS[:4], "at": range(4)}), how="cross")
        world.tables[name] = rows.select("request_id", "item_id", score=column * pl.col("at"))
    shown = base.select("request_id").join(pl.DataFrame({"item_id": ITEMS[:3], "rank": [1, 2, 3]}), how="cross")
    world.tables["impressions"] = shown
    world.tables["events"] = base.select(
        "user_id",
        pl.format("i{}", pl.col("n") % 4 + 1).alias("item_id"),
        timestamp=pl.col("timestamp") + pl.duration(minutes=5),
        event=pl.lit("click"),
        request_id="request_id",
    )
    world.service("production", "steps", to=["available"]).service("production", "served", to=4)
    world.service("tables", "events", "complete_until", to="2023-11-30").service("labels", "horizon", to="1d")
    return world


@pytest.mark.browser
@pytest.mark.slow
def test_a_segment_with_a_million_values(browser: Any, tmp_path: Path) -> None:
    world = many(tmp_path, 1_000_000)
    page = page_of(world)
    text = assert_harmless(browser, page)
    assert "more stand in result.json" in text or "fewer than" in text


def named_at_length(folder: Path, variants: int, columns: int) -> World:
    """Variants, segments and steps with names as long as may be, and reasons too."""
    world = many(folder, 400)
    segments = [f"s{number:02}" + "x" * 90 for number in range(columns)]
    halves = [(pl.format("{}" + "v" * 200, pl.int_range(pl.len()) % 2)).alias(name) for name in segments]
    world.table("requests", lambda one: one.with_columns(halves))
    world.study("segments", to=[f"request.{name}" for name in segments])
    steps = [{"where": f"true OR {at} = 0", "name": f"{at:02}<b>" + "S" * 95} for at in range(20)]
    world.service("production", "steps", to=steps)
    world.study("variants", to={"production": {"scores": {"path": "data/scores.parquet"}}})
    for number in range(variants - 1):
        noise = pl.concat_str("request_id", "item_id").hash(number) % 1_000 / 300
        world.tables[f"new{number}"] = world.tables["new"].with_columns(score=pl.col("score") + noise)
        world.study("variants", f"{number:02}<i>" + "V" * 95, to={"scores": {"path": f"data/new{number}.parquet"}})
    return world.study("why", to="because " * 1_200).study("expect", to="much " * 190)


@pytest.mark.browser
@pytest.mark.slow
def test_sixty_segment_columns_and_thirty_variants(browser: Any, tmp_path: Path) -> None:
    world = named_at_length(tmp_path, 30, 60)
    world.study("metrics", to={"primary": "dcg@3"})
    page = page_of(world)
    assert_harmless(browser, page)
    assert page.read_text(encoding="utf-8").count("Differences by request.s") >= 1


@pytest.mark.browser
@pytest.mark.slow
def test_thirty_variants_and_forty_metrics(browser: Any, tmp_path: Path) -> None:
    world = named_at_length(tmp_path, 30, 1)
    metrics = [f"{name}@{cut}" for name in ("ndcg", "recall", "precision", "hit", "rr") for cut in range(1, 9)]
    world.study("metrics", to={"primary": "dcg@3", "also": metrics[:39]})
    assert_harmless(browser, page_of(world))


@pytest.mark.browser
@pytest.mark.parametrize("what", ["variants", "metrics", "segments", "steps"])
@pytest.mark.slow
def test_much_of_one_thing(browser: Any, tmp_path: Path, what: str) -> None:
    world = many(tmp_path, 300)
    if what == "variants":
        for number in range(60):
            world.study("variants", f"variant {number}", to={"scores": {"path": "data/new.parquet"}})
    elif what == "metrics":
        world.study("metrics", "also", to=[f"ndcg@{cut}" for cut in range(1, 101)])
    elif what == "segments":
        world.table("users", lambda users: users.with_columns(**{f"s{at}": pl.col("tenure") for at in range(100)}))
        world.study("segments", to=[f"user.s{at}" for at in range(100)])
    else:
        world.service("production", "steps", to=[{"where": f"{at} = {at}"} for at in range(150)])
    assert_harmless(browser, page_of(world))


def test_result_and_page_say_the_same_names(tmp_path: Path) -> None:
    """No name is lost on the way: every decided variant stands in the page as escaped text."""
    page = page_of(hostile(tmp_path))
    decided = json.loads((page.parent / "result.json").read_text(encoding="utf-8"))["decision"]
    assert len(decided) == 1
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; &#34;x&#34; &#39;&lt;/script&gt;" in page.read_text(encoding="utf-8")
