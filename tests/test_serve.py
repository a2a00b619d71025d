"""`rankcast serve`: a real process, asked over HTTP and by a real browser."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import pytest

from browsing import Visit
from rankcast.progress import Progress
from rankcast.runs.store import open_store
from rankcast.runs.summary import Change, example
from rankcast.serving.looking import trend_points
from rankcast.study import run as run_study
from tiny import rankcast

HOSTILE = "<script>alert(1)</script>"
FRESH = 8.0  # seconds within which a change is seen


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    headers: dict[str, str]
    body: str


class Server:
    """`rankcast serve` on a free port."""

    def __init__(self, out: Path, *more: str, **environment: str) -> None:
        command = [sys.executable, "-m", "rankcast", "serve", "--out", str(out), "--port", "0", *more]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, env={**os.environ, **environment}
        )
        assert self.process.stderr is not None
        self.said = self.process.stderr.readline().decode()  # unbuffered: the rest is for `end`
        found = re.search(r"http://[^ ]*:(\d+)/", self.said)
        assert found, self.said + self.end()[1]
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}"
        while not self.answers():
            assert self.process.poll() is None
            time.sleep(0.05)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5):
            return True
        return False

    def ask(self, path: str, method: str = "GET", host: str | None = None) -> Answer:
        """The path goes out as it is, with no dot taken away."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host or f"127.0.0.1:{self.port}")
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read().decode("utf-8", "replace")
        connection.close()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)

    def until(self, path: str, good: Callable[[Answer], bool]) -> Answer:
        """The first good answer."""
        ends = time.monotonic() + FRESH
        while not good(answer := self.ask(path)):
            assert time.monotonic() < ends, answer.body[-1000:]
            time.sleep(0.3)
        return answer

    def end(self, how: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Exit code, and what was said on both streams since the address."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, (out + err).decode()


class Tab(Visit):
    """A page of the server in Chromium."""

    def __init__(self, browser: Any, server: Server, path: str = "/", width: int = 1280, **more: Any) -> None:
        self.server = server
        super().__init__(browser, self, width, **more)  # type: ignore[arg-type]
        self.go(path)

    def as_uri(self) -> str:
        return "about:blank"

    def go(self, path: str) -> Tab:
        self.page.goto(self.server.url + path)
        return self

    def press(self, words: str) -> None:
        self.page.get_by_role("button", name=words).click()

    def assert_quiet(self) -> None:
        assert self.complaints == []
        assert self.dialogs == []
        home = (f"{self.server.url}/", "data:", "about:blank")
        assert [url for url in self.requests if not url.startswith(home)] == []
        assert self.overflow() == 0


class Links(HTMLParser):
    """The addresses of a page's links, by their text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.href: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.href = dict(attributes).get("href") if tag == "a" else None

    def handle_data(self, data: str) -> None:
        if self.href is not None:
            self.found.append((data, self.href))
            self.href = None


def write(out: Path, study: str, run: str, **changed: Any) -> Path:
    """A run that is nothing but its summary."""
    folder = out / study / run
    folder.mkdir(parents=True)
    told = example(**{"study": study, "run": run, **changed})
    (folder / "summary.json").write_text(told.model_dump_json(), encoding="utf-8")
    (folder / "result.json").write_text("{}", encoding="utf-8")
    return folder


def change_of(metric: str = "dcg@10", variant: str = "two_tower", relative: float | None = 0.1) -> Change:
    low, high = (None, None) if relative is None else (relative - 0.05, relative + 0.05)
    return Change(
        variant=variant, metric=metric, difference=0.01, relative=relative, low=0.005, high=0.015, relative_low=low,
        relative_high=high, baseline_value=0.1, verdict="better",
    )  # fmt: skip


def listing(folder: Path) -> list[tuple[str, int, int]]:
    """Everything below a folder, with its size and time."""
    found = [folder, *folder.rglob("*")] if folder.exists() else []
    return sorted((str(one), one.lstat().st_size, one.lstat().st_mtime_ns) for one in found)


@pytest.fixture(scope="module")
def out(demo: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three real runs: the demo's, one with another seed, one of another study."""
    folder = tmp_path_factory.mktemp("served") / "runs"
    shutil.copytree(demo.run.folder, folder / "two-tower" / demo.run.id)
    for name, words in (("two-tower", "two-tower"), ("again", "study: two-tower")):
        study = demo.folder / "studies" / f"served-{name}.yaml"
        text = demo.study("two-tower").read_text(encoding="utf-8").replace(words, words.replace("two-tower", name))
        study.write_text(re.sub(r"^seed:.*$", "", text, flags=re.MULTILINE) + "\nseed: 99\n", encoding="utf-8")
        run_study(study, folder, Progress())
        study.unlink()
    return folder


@pytest.fixture(scope="module")
def server(out: Path) -> Iterator[Server]:
    before = listing(out)
    with Server(out) as started:
        yield started
    assert listing(out) == before, "something was written below the folder of runs"


@pytest.fixture(scope="module")
def names(out: Path) -> list[str]:
    """The real runs, newest first, as `study/run`."""
    found = sorted(open_store(out).find(), key=lambda one: one.started, reverse=True)
    return [f"{one.study}/{one.run}" for one in found]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """250 runs of five studies, and nobody's names."""
    out = tmp_path_factory.mktemp("many")
    words = ("go", "no-go", "undecided", "invalid")
    for at in range(250):
        write(
            out, f"study-{at % 5}", f"{at:012x}", started=f"2024-01-01T{at // 60:02}:{at % 60:02}:00+00:00",
            decision={"two_tower": words[at % 4]}, owner=f"owner-{at % 7}", changes=(change_of(relative=at / 1000),),
        )  # fmt: skip
    with Server(out) as started:
        yield started


def shown(tab: Visit) -> list[str]:
    """The keys of the runs that are listed, in order."""
    boxes = tab.page.locator("input[name=run]")
    return [str(boxes.nth(at).get_attribute("value")) for at in range(boxes.count())]


# --- In a browser ---


@pytest.mark.browser
def test_the_newest_is_first(browser: Any, server: Server, names: list[str]) -> None:
    with Tab(browser, server) as tab:
        assert shown(tab) == names
        assert len(names) == 3
        tab.assert_quiet()


@pytest.mark.browser
def test_search_filters_and_pages(browser: Any, many: Server) -> None:
    with Tab(browser, many) as tab:
        seen = [shown(tab)]
        assert seen[0][0] == f"study-4/{249:012x}"
        assert len(seen[0]) == 100
        for _ in range(2):
            tab.page.get_by_role("link", name="older").click()
            seen.append(shown(tab))
        assert tab.page.get_by_role("link", name="older").count() == 0
        assert [int(one.partition("/")[2], 16) for page in seen for one in page] == list(range(249, -1, -1))
        tab.page.get_by_role("link", name="newer").click()
        assert shown(tab) == seen[1]
        tab.go("/").page.locator("select[name=study]").select_option("study-3")
        tab.page.locator("select[name=decision]").select_option("no-go")
        tab.page.locator("input[name=q]").fill("owner-1 ")
        tab.press("Show")
        expected = [at for at in range(249, -1, -1) if (at % 5, at % 4, at % 7) == (3, 1, 1)]
        assert [int(one.partition("/")[2], 16) for one in shown(tab)] == expected
        assert tab.page.locator("select[name=study]").input_value() == "study-3"
        assert tab.page.locator("input[name=q]").input_value().strip() == "owner-1"
        tab.page.locator("input[name=q]").fill("nothing like it")
        tab.press("Show")
        assert "No run matches" in tab.text()
        tab.assert_quiet()


@pytest.mark.browser
def test_filters_survive_a_page(browser: Any, many: Server) -> None:
    with Tab(browser, many, "/?q=owner&decision=") as tab:
        tab.page.get_by_role("link", name="older").click()
        assert "q=owner" in tab.page.url
        assert len(shown(tab)) == 100


@pytest.mark.browser
def test_two_are_compared(browser: Any, server: Server, out: Path, names: list[str]) -> None:
    with Tab(browser, server) as tab:
        for name in (names[0], names[2]):
            tab.page.get_by_label(f"compare {name}", exact=True).check()
        tab.press("Compare the two")
        told = tab.text("main")
        for name in (names[0], names[2]):
            assert name.partition("/")[2] in told
        ids = [name.partition("/")[2] for name in (names[0], names[2])]
        wanted = json.loads(rankcast("compare", *ids, "--out", str(out), "--anyway", "--json").out)
        rows = tab.rows("The first against the second")
        assert [row[:3] for row in rows] == [
            [one["variant"], one["baseline"], one["metric"]] for one in wanted["comparisons"]
        ]
        assert f"{wanted['n_requests']:,} requests" in told
        for line in wanted["differs"]:
            assert line in told
        tab.assert_quiet()
        tab.go("/").press("Compare the two")
        assert "expected two runs, found 0" in tab.text()


@pytest.mark.browser
def test_a_trend(browser: Any, many: Server) -> None:
    with Tab(browser, many, "/trend") as tab:
        assert tab.page.locator("figure svg").count() == 1
        rows = tab.rows("Trend of dcg@10")
        assert len(rows) == 250
        assert rows[0][3] == "+24.90 %"
        assert rows[0][4] == "+19.90 % to +29.90 %"
        tab.page.locator("select[name=study]").select_option("study-2")
        tab.press("Show")
        assert {row[1] for row in tab.rows("Trend of dcg@10")} == {"study-2"}
        tab.assert_quiet()


def test_a_trend_is_one_of_what_is_decided() -> None:
    changes = (change_of(relative=0.1), change_of(variant="popular", relative=-0.5))
    points = trend_points([example(changes=changes)], "dcg@10", "")
    assert [(one.variant, one.value) for one in points] == [("two_tower", 0.1)]


@pytest.mark.browser
def test_a_picture_of_some_runs_says_so(browser: Any, many: Server) -> None:
    """60 of 250 runs are drawn."""
    with Tab(browser, many, "/trend") as tab:
        assert re.search(r"\b60\b", tab.text("main").partition("started")[0])


@pytest.mark.browser
def test_the_report_works_in_its_sandbox(browser: Any, server: Server, demo: Any) -> None:
    with Tab(browser, server, f"/runs/two-tower/{demo.run.id}") as tab:
        tab.page.get_by_role("link", name="Open the report").click()
        some = tab.page.locator("#requests button > bdi").first.inner_text()
        tab.page.locator("#find").fill(some)
        assert tab.page.locator("#requests button > bdi").all_inner_texts() == [some]
        assert tab.page.evaluate("self.origin") == "null"
        tab.open_everything()
        tab.assert_quiet()


@pytest.mark.browser
def test_lists_of_a_request_and_of_a_user(browser: Any, server: Server, demo: Any) -> None:
    slates = demo.run.slates.sort("variant", "request_id", "rank")
    request, user = slates["request_id"][100], slates["user_id"][0]
    with Tab(browser, server, f"/runs/two-tower/{demo.run.id}") as tab:
        tab.page.get_by_label("Lists of a request").fill(f" {request} ")
        tab.press("Show")
        mine = slates.filter(pl.col("request_id") == request)
        for (variant,), rows in mine.group_by("variant", maintain_order=True):
            box = tab.page.locator(".lists > div").filter(has=tab.page.get_by_role("heading", name=str(variant)))
            assert box.locator("bdi").all_inner_texts() == rows["item_id"].to_list()
            assert box.locator("li.hit").count() == rows.filter(pl.col("grade") > 0).height
        tab.page.get_by_label("Lists of a request").fill(user)
        tab.press("Show")
        told = tab.page.locator("main h2 bdi:first-child").all_inner_texts()
        asked = slates.filter(pl.col("user_id") == user)["request_id"].unique().to_list()
        assert set(told) <= set(asked)
        assert len(told) == min(10, len(asked))
        assert ("more requests" in tab.text()) == (len(asked) > 10)
        tab.page.get_by_label("Lists of a request").fill("nobody")
        tab.press("Show")
        assert "no user has this id" in tab.text()
        tab.assert_quiet()


def all_pages(names: list[str], request: str) -> list[str]:
    run, other = names[0], names[1]
    return [
        "/", "/?q=nothing-like-it", "/trend", "/trend?metric=nonsense", f"/compare?run={run}&run={other}",
        "/compare", f"/runs/{run}", f"/runs/{run}/lists?find={request}", f"/runs/{run}/lists?find=nobody", "/nowhere",
    ]  # fmt: skip


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_accessible(browser: Any, server: Server, names: list[str], demo: Any, width: int, scheme: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    wrong = []
    with Tab(browser, server, "/", width, color_scheme=scheme) as tab:
        for path in all_pages(names, demo.run.slates["request_id"][0]):
            tab.go(path)
            found = Axe().run(tab.page).response["violations"]
            wrong += [(path, one["id"], [node["html"][:150] for node in one["nodes"][:2]]) for one in found]
            assert tab.overflow() == 0, path
        told = [one for one in tab.complaints if "status of 404" not in one and "status of 400" not in one]
        assert told == []
    assert wrong == []


@pytest.mark.browser
def test_by_keyboard_alone(browser: Any, server: Server, names: list[str]) -> None:
    with Tab(browser, server) as tab:
        keys = tab.page.keyboard

        def reach(is_it: str) -> None:
            """Go on with the tabulator until the focus is where it should be, and can be seen."""
            for _ in range(80):
                keys.press("Tab")
                if tab.page.evaluate(f"(() => {{ const one = document.activeElement; return {is_it}; }})()"):
                    style = "getComputedStyle(document.activeElement)"
                    assert tab.page.evaluate(f"{style}.outlineStyle") != "none", is_it
                    return
            raise AssertionError(f"not reached: {is_it}")

        keys.press("Tab")
        assert tab.page.evaluate("document.activeElement.textContent") == "To the content"
        for name in names[:2]:
            reach(f"one.value === {json.dumps(name)}")
            keys.press("Space")
        reach("one.tagName === 'BUTTON' && one.textContent.startsWith('Compare')")
        keys.press("Enter")
        tab.page.wait_for_url("**/compare?*")
        reach(f"one.tagName === 'A' && one.getAttribute('href').endsWith({json.dumps(names[0].partition('/')[2])})")
        keys.press("Enter")
        tab.page.wait_for_url("**/runs/*/*")
        reach("one.name === 'find'")
        keys.type("nobody")
        keys.press("Enter")
        tab.page.wait_for_url("**/lists?find=nobody")


@pytest.mark.browser
def test_hostile_text_is_text(browser: Any, out: Path, demo: Any, tmp_path: Path) -> None:
    image = "<img src=x onerror=alert(2)>"
    folder = tmp_path / "evil" / "0123456789ab"
    shutil.copytree(demo.run.folder, folder)
    told = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    told |= {"study": "evil", "run": folder.name, "owner": HOSTILE, "service": image, "errors": [HOSTILE]}
    told |= {"decision": {image: "go"}, "because": {image: f"{HOSTILE} ]]> {{{{ 7*7 }}}}"}, "primary": HOSTILE}
    told["changes"] = [{**one, "variant": image, "metric": HOSTILE} for one in told["changes"][:1]]
    (folder / "summary.json").write_text(json.dumps(told), encoding="utf-8")
    for path in folder.glob("slates/*.parquet"):
        rows = pl.read_parquet(path).with_columns(item_id=pl.lit(HOSTILE), user_id=pl.lit(image), variant=pl.lit(image))
        rows.write_parquet(path)
    with Server(tmp_path) as server, Tab(browser, server) as tab:
        paths = ["/", f"/runs/evil/{folder.name}", "/trend", f"/runs/evil/{folder.name}/lists?find={quote(image)}"]
        paths += [f"/?q={quote(HOSTILE)}&study={quote(image)}", f"/{quote(HOSTILE)}", f"/compare?run={quote(image)}"]
        for path in paths:
            tab.go(path)
            assert tab.page.locator("main img, main script").count() == 0, path
            assert tab.dialogs == []
        assert HOSTILE in tab.go(paths[3]).text("main")
        assert [one for one in tab.complaints if "status of 40" not in one] == []
