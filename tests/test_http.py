"""A variant behind an HTTP API, asked over a real server: questions, answers, patience, what is kept, what is refused."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

from rankcast.progress import Progress
from rankcast.study import run as run_study
from tiny import GONE, ITEMS, TABLES, Outcome, World, assert_refused, rankcast

ALL = tuple(TABLES["requests"]["request_id"].to_list())
HOME = ALL[::2]  # what targets.where admits


@dataclass(frozen=True)
class Reply:
    """What the server does with one request: bytes are sent as they are, anything else as JSON."""

    body: Any = ("i1", "i2", "i3")
    status: int = 200
    delay: float = 0.0
    headers: tuple[tuple[str, str], ...] = ()
    drip: float | None = None  # seconds between the bytes

    @property
    def content(self) -> bytes:
        """The body as bytes."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it."""

    id: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    at: float


@dataclass
class Server:
    """A recommendation API that follows a script: for each request id what it answers first, second, ...; the last one stays."""

    script: dict[str, list[Reply]] = field(default_factory=dict)
    default: Callable[[str], Reply] = lambda _: Reply()
    asked: list[Asked] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    most_at_once: int = 0
    _at_once: int = 0
    _port: int = 0
    _uvicorn: uvicorn.Server | None = None
    _thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address that recommends."""
        return f"http://127.0.0.1:{self._port}/recommend"

    @property
    def times_asked(self) -> Counter[str]:
        """How often each request was asked."""
        return Counter(one.id for one in self.asked)

    def forget(self) -> None:
        """As if nobody had asked yet; who still waits for an answer is waited for."""
        while self._at_once:
            time.sleep(0.005)
        self.asked, self.answered, self.most_at_once = [], [], 0

    def start(self) -> None:
        """Listen, unless it does; on the port of last time if there was one."""
        if self._uvicorn is not None:
            return
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        app = FastAPI()
        app.add_api_route("/recommend", self._recommend, response_model=None)
        config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        while not self._uvicorn.started:
            assert self._thread.is_alive(), "the server did not start"
            time.sleep(0.005)

    def stop(self) -> None:
        """Listen no more: connections are refused."""
        if self._uvicorn is not None and self._thread is not None:
            self._uvicorn.should_exit = True
            self._thread.join()
            self._uvicorn = None

    async def _recommend(self, request: Request) -> Response:
        query = tuple(request.query_params.multi_items())
        name = dict(query).get("request_id") or dict(query).get("rid", "?")
        self.asked.append(Asked(name, query, dict(request.headers), time.monotonic()))
        told = self.script.get(name, [])
        reply = told[min(self.times_asked[name], len(told)) - 1] if told else self.default(name)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(reply.delay)
        finally:
            self._at_once -= 1
        if reply.status == 200 and not await request.is_disconnected():
            self.answered.append(name)
        if reply.drip is not None:
            return StreamingResponse(_drops(reply.content, reply.drip), reply.status, dict(reply.headers))
        return Response(reply.content, reply.status, dict(reply.headers))


async def _drops(content: bytes, seconds: float) -> AsyncIterator[bytes]:
    for at in range(len(content)):
        yield content[at : at + 1]
        await asyncio.sleep(seconds)


@pytest.fixture(scope="module")
def one_server() -> Iterator[Server]:
    """A server for all tests: to start and to stop takes longer than to answer."""
    one = Server()
    yield one
    one.stop()


@pytest.fixture
def server(one_server: Server) -> Server:
    """A server that runs, knows no script, and was asked nothing yet."""
    one_server.start()
    one_server.forget()
    one_server.script, one_server.default = {}, lambda _: Reply()
    return one_server


def world_of(folder: Path, server: Server, **http: Any) -> World:
    """The tiny service without steps, production against the server, which is asked for the six requests of `home`."""
    world = World(folder).service("production", "steps", to=[]).service("production", "served", to=8)
    world.study("variants", to={"production": {"scores": {"path": "data/scores.parquet"}}, "api": {"http": {}}})
    world.study("segments", to=[]).study("metrics", to={"primary": "dcg@10"})
    world.study("variants", "api", "http", to={"url": server.url, "concurrency": 2, "timeout": 5, **http})
    del world.tables["new"]
    return world


def everyone(world: World) -> World:
    """All twelve requests are replayed."""
    return world.service("targets", "where", to=GONE)


def done(outcome: Outcome) -> None:
    """The run came to a decision."""
    assert outcome.code in (0, 3, 4), (outcome.code, outcome.text)


def folders(world: World, out: str = "runs") -> list[Path]:
    """The runs that are to be seen, oldest first."""
    found = (world.folder / out).glob("*/*")
    return sorted((one for one in found if not one.name.startswith(".")), key=lambda one: one.stat().st_mtime)


def folder_of(world: World, out: str = "runs") -> Path:
    """The newest run."""
    return folders(world, out)[-1]


def results(run: Path) -> dict[str, Any]:
    """All numbers of a run."""
    found: dict[str, Any] = json.loads((run / "result.json").read_text())["results"]
    return found


def variant_row(run: Path, name: str = "api") -> dict[str, Any]:
    """How a variant's lists came about."""
    found: dict[str, Any] = next(row for row in results(run)["variants"] if row["variant"] == name)
    return found


def lists(run: Path, variant: str = "api") -> dict[Any, list[Any]]:
    """The slates of a variant by request."""
    rows = pl.concat([pl.read_parquet(path) for path in (run / "slates").glob("*.parquet")])
    rows = rows.filter(pl.col("variant") == variant).sort("request_id", "rank")
    return dict(rows.group_by("request_id", maintain_order=True).agg("item_id").iter_rows())


def alike(requests: Iterable[Any], value: list[Any]) -> dict[Any, list[Any]]:
    """The same for every request."""
    return {request: list(value) for request in requests}


def partial_of(world: World) -> Path:
    """What an interrupted run left, out of sight."""
    (found,) = (world.folder / "runs").glob("*/.*.partial")
    return found


def recorded(folder: Path, variant: str = "api") -> dict[Any, dict[str, Any]]:
    """The answers that were written down, by request."""
    text = (folder / "answers" / f"{variant}.ndjson").read_text(encoding="utf-8")
    told = [json.loads(line) for line in text.split("\n") if line]
    assert len({one["request_id"] for one in told}) == len(told)
    return {one["request_id"]: one for one in told}


def nowhere(text: str, folder: Path) -> None:
    """No file below a folder holds a text."""
    found = [str(path) for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]
    assert not found, f"{text!r} stands in {found}"


def with_ids(world: World, column: str, new: Callable[[str], Any]) -> World:
    """Other ids in every table."""
    for name, frame in world.tables.items():
        if column in frame.columns:
            values = [None if one is None else new(one) for one in frame[column].to_list()]
            world.table(name, lambda frame, values=values: frame.with_columns(pl.Series(column, values)))  # type: ignore[misc]
    return world


# What is asked


def test_every_replayed_request_is_asked_once_with_all_that_is_known_of_it(tmp_path: Path, server: Server) -> None:
    tags = pl.Series("tags", [["x", "y"], ["z"], []] * 4)
    world = world_of(tmp_path, server)
    world.table("requests", lambda frame: frame.with_columns(tags, price=pl.lit(1.5), page=pl.int_range(12))).write()
    done(world.run())
    assert server.times_asked == dict.fromkeys(HOME, 1)
    asked = {one.id: one.query for one in server.asked}
    for row in world.tables["requests"].filter(pl.col("surface") == "home").iter_rows(named=True):
        query = dict(asked[row["request_id"]])
        assert query["user_id"] == row["user_id"]
        assert query["timestamp"][:19] == row["timestamp"][:19]
        assert query["timestamp"].endswith(("Z", "+00:00"))
        assert (query["surface"], query["bot"], query["price"], query["page"]) == (
            "home",
            "false",
            "1.5",
            str(row["page"]),
        )
        assert query.get("wanted") == row["wanted"]
        assert [text for name, text in asked[row["request_id"]] if name == "tags"] == row["tags"]
    row = variant_row(folder_of(world))
    assert (row["requests"], row["without_scores"], row["candidates"]) == (6, 0, 18)


def test_a_query_of_ones_own(tmp_path: Path, server: Server) -> None:
    query = {"rid": "request.request_id", "kind": "request.wanted", "since": "user.tenure", "limit": 20, "debug": True,
             "boost": 0.5, "where": "home page"}  # fmt: skip
    world = world_of(tmp_path, server, query=query).write()
    done(world.run())
    tenure = dict(TABLES["users"].iter_rows())
    requests = TABLES["requests"].filter(pl.col("surface") == "home")
    expected = {
        row["request_id"]: {
            "rid": row["request_id"],
            **({} if row["wanted"] is None else {"kind": row["wanted"]}),
            "since": tenure[row["user_id"]],
            "limit": "20",
            "debug": "true",
            "boost": "0.5",
            "where": "home page",
        }
        for row in requests.iter_rows(named=True)
    }
    assert {one.id: dict(one.query) for one in server.asked} == expected
    world.study("variants", "api", "http", "query", "kind", to="request.wantd").write(data=False)
    assert_refused(world.run(), "study.yaml", "variants.api.http.query.kind", "no column `wantd`", "`wanted`")


def test_what_the_address_asks_itself_stays(tmp_path: Path, server: Server) -> None:
    world = world_of(tmp_path, server, url=f"{server.url}?model=next").write()
    done(world.run())
    assert [dict(one.query).get("model") for one in server.asked] == ["next"] * 6
    assert {one.id for one in server.asked} == set(HOME)


@pytest.mark.parametrize("failures", [0.0, 1.0])
def test_a_token_is_sent_and_written_nowhere(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, failures: float
) -> None:
    monkeypatch.setenv("TOKEN", "s3cr3t-w0rd")
    world = world_of(tmp_path, server, headers={"Authorization": "Bearer ${TOKEN}"}, failures=failures)
    server.script["r04"] = [Reply("who is s3cr3t-w0rd?", 401)]  # an API may repeat what it was sent
    server.script["r06"] = [Reply(b"x" * 111 + b"s3cr3t-w0rd", 401)]  # and a message is cut somewhere
    outcome = world.write().run()
    assert {one.headers["authorization"] for one in server.asked} == {"Bearer s3cr3t-w0rd"}
    if failures:
        done(outcome)
        assert "401" in recorded(folder_of(world))["r04"]["error"]
    else:
        assert_refused(outcome, "status 401")
    assert "s3cr3t" not in outcome.text
    nowhere("s3cr3t", tmp_path / "runs")


@pytest.mark.parametrize("value", ["s3cr3t-w0rd\n", "s3cr3t-w0rd é"])
def test_a_token_that_no_header_can_hold_is_refused_and_not_told(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("TOKEN", value)
    outcome = world_of(tmp_path, server, headers={"X-Key": "${TOKEN}"}, retries=0).write().run()
    assert "s3cr3t" not in outcome.text
    nowhere("s3cr3t", tmp_path / "runs")
    assert_refused(outcome, "study.yaml", "variants.api.http")


# What is answered

FORMS: dict[str, tuple[dict[str, Any], Any]] = {
    "ids": ({}, ["i3", "i1", "i2"]),
    "named list": ({}, {"items": ["i3", "i1", "i2"], "took": [1]}),
    "the only list": ({}, {"model": "x", "ranking": ["i3", "i1", "i2"]}),
    "nested list": ({"items": "data.items"}, {"data": {"items": ["i3", "i1", "i2"], "more": []}, "items": ["i8"]}),
    "records": ({}, [{"item_id": one} for one in ("i3", "i1", "i2")]),
    "scores": ({}, {"results": [{"item_id": f"i{n}", "score": s} for n, s in ((1, 0.5), (2, -1), (3, 7))]}),
    "tied scores": ({}, [{"item_id": f"i{n}", "score": s} for n, s in ((2, 0), (3, 7), (1, 0))]),
    "some scores": ({}, [{"item_id": "i3", "score": 1}, {"item_id": "i1"}, {"item_id": "i2", "score": 9}]),
    "other keys": (
        {"item_id": "id", "score": "p", "items": "recs"},
        {"recs": [{"id": f"i{n}", "p": p, "score": 0} for n, p in ((1, 2), (2, 1), (3, 3))]},
    ),
    "a score by another name is none": ({}, [{"item_id": "i3", "p": 1}, {"item_id": "i1", "p": 2}, {"item_id": "i2", "p": 3}]),
}  # fmt: skip


def same_for_all(world: World, server: Server, kinds: Mapping[str, tuple[dict[str, Any], Any]]) -> World:
    """A variant for each kind of answer, which it gets for every request: it asks for a request of that name."""
    for name, (settings, body) in kinds.items():
        server.script[name] = [Reply(body)]
        http = {"url": server.url, "query": {"request_id": name}, **settings}
        world.study("variants", name, to={"http": http})
    return world.study("variants", "api", to=GONE)


def test_forms_of_answers(tmp_path: Path, server: Server) -> None:
    world = same_for_all(world_of(tmp_path, server), server, FORMS).write()
    done(world.run())
    assert {name: lists(folder_of(world), name) for name in FORMS} == dict.fromkeys(
        FORMS, alike(HOME, ["i3", "i1", "i2"])
    )


@pytest.mark.parametrize("kind", ["int", "text"])
def test_ids_take_the_type_that_they_have_in_the_tables(tmp_path: Path, server: Server, kind: str) -> None:
    answers: dict[str, list[Any]] = {"numbers": [3, 1, 2], "texts": ["3", "1", "2"], "both": [3, "1", 2]}
    world = same_for_all(world_of(tmp_path, server), server, {name: ({}, one) for name, one in answers.items()})
    new: Callable[[str], Any] = int if kind == "int" else str
    with_ids(world, "item_id", lambda one: new(one[1:]))
    with_ids(world, "request_id", lambda one: new(one[1:])).write()
    done(world.run())
    requests = [new(one[1:]) for one in HOME]
    for name in answers:
        assert lists(folder_of(world), name) == alike(requests, [new("3"), new("1"), new("2")])
        assert set(recorded(folder_of(world), name)) == set(requests)


def test_an_empty_list_is_an_answer(tmp_path: Path, server: Server) -> None:
    server.script = {"r02": [Reply([])], "r04": [Reply({"items": []})]}
    server.default = lambda _: Reply([{"item_id": "i1", "score": 2}])
    world = world_of(tmp_path, server).write()
    done(world.run())
    row = variant_row(folder_of(world))
    assert (row["requests"], row["without_scores"], row["empty_slates"]) == (6, 2, 2)
    assert set(lists(folder_of(world))) == set(HOME) - {"r02", "r04"}
    assert failed(folder_of(world)) == (0, 6)


def test_nothing_but_empty_lists(tmp_path: Path, server: Server) -> None:
    server.default = lambda _: Reply([])
    world = world_of(tmp_path, server).write()
    done(world.run())
    assert lists(folder_of(world)) == {}
    assert variant_row(folder_of(world))["empty_slates"] == 6


def failed(run: Path) -> tuple[int, int]:
    """How many requests the API did not answer, of how many."""
    rows = [one for one in results(run)["counts"] if one["table"] == "scores/api" and "did not answer" in one["what"]]
    (row,) = rows
    return row["count"], row["of"]


BAD: tuple[tuple[Any, str], ...] = (
    (b"<html>no</html>", "not JSON"),
    (b'["i1", ', "not JSON"),
    (b"", "not JSON"),
    (b"\xff\xfe\x00", "not JSON"),
    ({"message": "hello"}, "has no list"),
    (5, "expected a list"),
    ({"a": [1], "b": [2]}, "`items`"),
    (["i1", "i2", "i1"], "twice"),
    (["i1", None], "expected the id of an item, found nothing"),
    ([{"item_id": None}], "expected the id of an item, found nothing"),
    ([{"id": "i1"}], "`item_id`"),
    (b'[{"item_id": "i1", "score": NaN}]', "`score`"),
)
WORSE: tuple[tuple[Any, str], ...] = (
    (b'[{"item_id": "i1", "score": 1e999}]', "`score`"),
    ([{"item_id": "i1", "score": "9"}], "`score`"),
    ([{"item_id": "i1", "score": None}], "`score`"),
    (["i1", {"item_id": "i2"}], "expected the id of an item"),
    ([True], "expected the id of an item"),
    ([1.5], "expected the id of an item"),
    (b"[" * 100_000, "not JSON"),
    (None, "expected a list"),
)
DREADFUL: dict[str, Any] = {
    "half a character": rb'["\ud800"]',
    "a number beyond floats": b'[{"item_id": "i1", "score": 1' + b"0" * 400 + b"}]",
}


@pytest.mark.parametrize("bad", [BAD[:6], BAD[6:], WORSE])
def test_what_is_no_answer_is_a_failure_that_says_why(
    tmp_path: Path, server: Server, bad: tuple[tuple[Any, str], ...]
) -> None:
    server.script = {name: [Reply(body)] for name, (body, _) in zip(ALL, bad, strict=False)}
    world = everyone(world_of(tmp_path, server, failures="100%")).write()
    done(world.run())
    run = folder_of(world)
    answers = recorded(run)
    for name, (body, why) in zip(ALL, bad, strict=False):
        assert answers[name]["error"] is not None, body
        assert why in answers[name]["error"], (body, answers[name]["error"])
        assert answers[name]["items"] == []
    assert failed(run) == (len(bad), 12)
    assert server.times_asked == dict.fromkeys(ALL, 1)  # no further attempt mends it
    assert set(lists(run)) == set(ALL[len(bad) :])


@pytest.mark.parametrize("bad", DREADFUL)
def test_an_answer_that_json_allows_and_we_cannot_hold(tmp_path: Path, server: Server, bad: str) -> None:
    server.script["r04"] = [Reply(DREADFUL[bad])]
    assert_refused(world_of(tmp_path, server).write().run(), "r04")


def test_ids_that_the_tables_cannot_hold(tmp_path: Path, server: Server) -> None:
    answers = (["1", "x2"], ["007"], [2**63], [10**30])
    server.script = {str(n): [Reply(body)] for n, body in enumerate(answers)}
    server.default = lambda _: Reply([3, "1"])
    world = with_ids(everyone(world_of(tmp_path, server, failures=1)), "item_id", lambda one: int(one[1:]))
    with_ids(world, "request_id", lambda one: int(one[1:])).write()
    done(world.run())
    told = recorded(folder_of(world))
    assert [told[n]["error"] is not None for n in range(5)] == [True] * 4 + [False]
    assert "x2" in told[0]["error"]
    assert "integer" in told[0]["error"]
    assert failed(folder_of(world)) == (4, 12)


def test_answers_with_odd_line_breaks_are_kept(tmp_path: Path, server: Server) -> None:
    server.script = {
        "r02": [Reply(["i2", "x\u2028y", "i1"])],
        "r04": [Reply("gone\x85away".encode(), 404)],
        "r06": [Reply(["i3", "x\x1ey", "x\ry"])],
    }
    world = world_of(tmp_path, server, failures="50%").write()
    done(world.run())
    assert failed(folder_of(world)) == (1, 6)
    assert variant_row(folder_of(world))["without_scores"] == 1
    assert (lists(folder_of(world))["r02"], lists(folder_of(world))["r06"]) == (["i2", "i1"], ["i3"])


# Patience


def test_failures_that_pass_are_asked_again(tmp_path: Path, server: Server) -> None:
    at_once = (("Retry-After", "0"),)
    good = Reply(["i4", "i5"])
    server.script = {
        "r00": [Reply(b"", 500, headers=at_once), good],
        "r02": [Reply(b"", 503, headers=at_once), Reply(b"", 503, headers=at_once), good],
        "r04": [Reply(b"", 429, headers=(("Retry-After", "1"),)), good],
        "r06": [Reply(b"slow", delay=1.6), good],
        "r08": [Reply(b"", 502), good],
        "r10": [Reply(b"", 429, headers=(("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"),)), good],
    }
    world = world_of(tmp_path, server, concurrency=6, timeout=1.2, retries=2).write()
    done(world.run())
    assert lists(folder_of(world)) == alike(HOME, ["i4", "i5"])
    assert failed(folder_of(world)) == (0, 6)
    assert server.times_asked == {**dict.fromkeys(HOME, 2), "r02": 3}
    first, second = [one.at for one in server.asked if one.id == "r04"]
    assert second - first >= 0.95


@pytest.mark.parametrize(
    ("reply", "retries", "attempts", "said"),
    [
        (Reply({"detail": "no such user"}, 404), 3, 1, ("status 404", "no such user")),
        (Reply(b"", 503, headers=(("Retry-After", "0"),)), 2, 3, ("status 503", "after 3 attempts")),
        (Reply(b"", 503, headers=(("Retry-After", "²"),)), 0, 1, ("status 503",)),
        (Reply(delay=0.8), 1, 2, ("no answer within 0.5 s", "after 2 attempts")),
        (Reply(drip=0.08), 0, 1, ("no answer within 0.5 s",)),
        (Reply(b"<html>", 200), 3, 1, ("not JSON", "<html>")),
        (Reply(b"", 204), 3, 1, ("status 204",)),
        (Reply(b"", 302, headers=(("Location", "/recommend?request_id=r04"),)), 3, None, ("edirect",)),
    ],
    ids=["404", "503", "503 and an odd header", "slow", "drops", "html", "nothing", "in a circle"],
)
def test_a_failure_stops_the_run_and_says_what_happened(
    tmp_path: Path, server: Server, reply: Reply, retries: int, attempts: int | None, said: tuple[str, ...]
) -> None:
    server.script["r04"] = [reply]
    world = world_of(tmp_path, server, concurrency=1, retries=retries, timeout=0.5 if reply.delay or reply.drip else 5)
    outcome = world.write().run()
    assert_refused(outcome, "study.yaml:", "variants.api.http", server.url, " requests failed", '"r04"', *said)
    assert "run again" in outcome.err
    assert attempts is None or server.times_asked["r04"] == attempts
    assert folders(world) == []


def test_nobody_listens(tmp_path: Path, server: Server) -> None:
    server.stop()
    world = world_of(tmp_path, server, retries=1).write()
    assert_refused(world.run(), server.url, "1 of 1 requests failed", "ConnectError", "after 2 attempts", "study.yaml:")
    assert world.left_behind() == [] or all("/." in name for name in world.left_behind())
    server.start()
    done(world.run())
    assert server.times_asked == dict.fromkeys(HOME, 1)


def test_failures_that_are_allowed_are_counted(tmp_path: Path, server: Server) -> None:
    server.script["r04"] = [Reply("gone", 410)]
    world = everyone(world_of(tmp_path, server, failures="10%")).write()
    done(world.run())
    run = folder_of(world)
    assert failed(run) == (1, 12)
    assert variant_row(run)["without_scores"] == 1
    assert set(lists(run)) == set(ALL) - {"r04"}
    server.stop()
    before = results(run)
    done(rankcast("run", "--from", str(run), "--out", str(tmp_path / "again"), "--quiet"))
    assert results(folder_of(world, "again")) == before  # what failed is not asked again


def test_more_failures_than_are_allowed(tmp_path: Path, server: Server) -> None:
    server.script = alike(("r04", "r05", "r06"), [Reply("gone", 410)])
    world = everyone(world_of(tmp_path, server, failures="10%", concurrency=1)).write()
    outcome = world.run()
    assert_refused(outcome, " requests failed", "10%", '"r04": status 410', '"r05"', server.url)


def test_whoever_waits_asks_no_more_when_the_run_has_stopped(tmp_path: Path, server: Server) -> None:
    server.script = {"r00": [Reply(b"", 503, headers=(("Retry-After", "120"),))], "r02": [Reply(b"", 404, delay=0.4)]}
    server.default = lambda _: Reply(delay=0.2)
    begun = time.monotonic()
    assert_refused(world_of(tmp_path, server, concurrency=2, retries=9).write().run(), '"r02": status 404')
    assert time.monotonic() - begun < 60
    assert server.times_asked["r00"] == 1  # it was told to wait for two minutes


# How many at once, how many a second


@pytest.mark.parametrize("limit", [1, 3])
def test_requests_run_at_the_same_time_and_never_more_than_may(tmp_path: Path, server: Server, limit: int) -> None:
    server.default = lambda _: Reply(delay=0.15 if limit > 1 else 0.01)
    done(everyone(world_of(tmp_path, server, concurrency=limit)).write().run())
    assert server.most_at_once == limit
    assert server.times_asked == dict.fromkeys(ALL, 1)


def test_no_more_a_second_than_may(tmp_path: Path, server: Server) -> None:
    server.script["r00"] = [Reply(b"", 503, headers=(("Retry-After", "0"),)), Reply()]  # attempts count too
    done(everyone(world_of(tmp_path, server, concurrency=8, rate=20)).write().run())
    times = sorted(one.at for one in server.asked)
    assert len(times) == 13
    assert times[-1] - times[0] >= 0.5 * 12 / 20


def test_the_number_at_once_changes_no_byte(tmp_path: Path, server: Server) -> None:
    def reply(name: str) -> Reply:
        number = int(name[1:])
        rows = [{"item_id": f"i{1 + (number + n) % 8}", "score": (n * number) % 3} for n in range(number % 6)]
        return Reply(rows, delay=0.02 * (number * 5 % 4))

    server.default = reply
    found = []
    for number in (1, 8):
        world = everyone(world_of(tmp_path / str(number), server, concurrency=number))
        (tmp_path / str(number)).mkdir()
        done(world.write().run())
        answers = (folder_of(world) / "answers" / "api.ndjson").read_bytes()
        found.append((json.dumps(results(folder_of(world))), lists(folder_of(world)), answers))
    assert found[0] == found[1]


# What is kept


def test_a_repeat_asks_nobody(tmp_path: Path, server: Server) -> None:
    server.default = lambda name: Reply(sorted({f"i{1 + int(name[1:]) % 8}", "i1"}))
    world = world_of(tmp_path, server).write()
    done(world.run())
    run = folder_of(world)
    assert set(recorded(run)) == set(HOME)
    server.stop()
    done(world.run())  # found, not made again
    done(rankcast("run", "--from", str(run), "--out", str(tmp_path / "two"), "--quiet"))
    second = folder_of(world, "two")
    assert second.name == run.name
    assert json.dumps(results(second)) == json.dumps(results(run))
    assert recorded(second) == recorded(run)
    done(rankcast("run", "--from", str(second), "--out", str(tmp_path / "three"), "--quiet"))
    assert json.dumps(results(folder_of(world, "three"))) == json.dumps(results(run))
    assert len(server.asked) == 6


def test_other_metrics_ask_nobody(tmp_path: Path, server: Server) -> None:
    world = world_of(tmp_path, server).write()
    done(world.run())
    first = folder_of(world)
    server.stop()
    world.study("metrics", to={"primary": "ndcg@5", "also": ["dcg@10"]}).write(data=False)
    done(world.run())
    assert len(folders(world)) == 2
    second = folder_of(world)
    assert (results(second)["variants"], results(second)["counts"]) == (
        results(first)["variants"],
        results(first)["counts"],
    )
    assert lists(second) == lists(first)


def test_a_repeat_of_a_run_with_other_metrics_asks_nobody(tmp_path: Path, server: Server) -> None:
    world = world_of(tmp_path, server, retries=0).write()
    done(world.run())
    world.study("metrics", to={"primary": "ndcg@5"}).write(data=False)
    done(world.run())
    server.stop()
    run = folder_of(world)
    done(rankcast("run", "--from", str(run), "--out", str(tmp_path / "again"), "--quiet"))
    assert results(folder_of(world, "again")) == results(run)


def test_other_steps_ask_again(tmp_path: Path, server: Server) -> None:
    world = world_of(tmp_path, server).write()
    done(world.run())
    server.default = lambda _: Reply(["i2", "i4", "i1"])
    world.service("production", "steps", to=[{"where": "item.kind = 'b'"}]).write(data=False)
    done(world.run())
    assert server.times_asked == dict.fromkeys(HOME, 2)
    assert lists(folder_of(world)) == alike(HOME, ["i4"])


def test_another_address_is_another_run(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(tmp_path, server, url="${API}").write()
    monkeypatch.setenv("API", server.url)
    done(world.run())
    monkeypatch.setenv("API", server.url.replace("127.0.0.1", "localhost"))
    done(world.run())
    assert len(folders(world)) == 2
    assert server.times_asked == dict.fromkeys(HOME, 2)
    nowhere("/recommend", tmp_path / "runs")


def test_after_a_failure_only_the_rest_is_asked(tmp_path: Path, server: Server) -> None:
    server.script["r07"] = [Reply("no", 404), Reply()]
    world = everyone(world_of(tmp_path, server, concurrency=1)).write()
    assert_refused(world.run(), " requests failed", "run again")
    assert folders(world) == []
    assert not list(tmp_path.rglob("result.json"))
    kept = {name for name, one in recorded(partial_of(world)).items() if one["error"] is None}
    assert kept >= set(ALL[:7])
    assert "r07" not in kept
    server.forget()
    server.script.clear()
    done(world.run())
    assert server.times_asked == dict.fromkeys(set(ALL) - kept, 1)
    assert set(recorded(folder_of(world))) == set(ALL)
    assert not list((tmp_path / "runs").glob("*/.*.partial"))


def test_answers_that_come_while_a_run_stops_are_kept(tmp_path: Path, server: Server) -> None:
    server.script["r00"] = [Reply("no", 404, delay=0.2)]
    server.default = lambda _: Reply(delay=0.6)
    world = world_of(tmp_path, server, concurrency=4).write()
    assert_refused(world.run(), "status 404", "What was answered is kept")
    assert len(server.answered) >= 3  # on their way when r00 failed
    assert {name for name, one in recorded(partial_of(world)).items() if one["error"] is None} >= set(server.answered)


def test_where_nobody_answers_few_are_asked(tmp_path: Path, server: Server) -> None:
    server.default = lambda _: Reply("no", 404)
    world = everyone(world_of(tmp_path, server, concurrency=2, failures="100%")).write()
    assert_refused(world.run(), "requests failed", "status 404", "See that the API answers")
    assert folders(world) == []


class _Impatient(Progress):
    """Somebody who presses Ctrl-C after some answers."""

    def track(self, stage: str, items: Any, total: int) -> Iterator[Any]:
        for number, one in enumerate(items):
            if stage == "ask" and number == 5:
                raise KeyboardInterrupt
            yield one


@pytest.mark.parametrize("torn", [b'{"request_id": "r01", "ite', '{"request_id": "r01", "items": ["é'.encode()[:-1]])
def test_an_interrupted_run_is_taken_up(tmp_path: Path, server: Server, torn: bytes) -> None:
    server.default = lambda _: Reply(["é", "i1"])
    world = everyone(world_of(tmp_path, server, concurrency=1)).write()
    with pytest.raises(KeyboardInterrupt):
        run_study(tmp_path / "study.yaml", tmp_path / "runs", _Impatient())
    assert folders(world) == []
    kept = set(recorded(partial_of(world)))
    assert kept >= set(ALL[:5])  # and perhaps what was on its way
    with (partial_of(world) / "answers" / "api.ndjson").open("ab") as file:
        file.write(torn)  # a machine that went down while a line was written
    server.forget()
    done(world.run())
    assert server.times_asked == dict.fromkeys([one for one in ALL if one not in kept], 1)
    assert lists(folder_of(world)) == alike(ALL, ["i1"])


# Whose candidates


def test_candidates_are_the_baselines_unless_the_study_says_otherwise(tmp_path: Path, server: Server) -> None:
    server.default = lambda _: Reply(["i8", "i7", "nobody", "i2", "i1"])
    world = world_of(tmp_path, server)
    world.table("scores", lambda frame: frame.filter(pl.col("item_id").is_in(["i1", "i2", "i3", "i8"])))
    world.study("treatment", to=["scores", "candidates"])
    http = world.study_document["variants"]["api"]["http"]
    world.study("variants", "open", to={"http": http, "candidates": "available"})
    world.study("variants", "shown", to={"http": http, "candidates": "impressions"}).write()
    done(world.run())
    run = folder_of(world)
    assert lists(run) == alike(HOME, ["i8", "i2", "i1"])
    row = variant_row(run)
    assert (row["candidates"], row["not_candidates"], row["without_scores"]) == (18, 12, 0)
    assert row["candidate_overlap"] == pytest.approx(3 / 4)
    # i7 and i8 close on October 5th; r00 and r02 are of the 2nd and the 4th, r04 is of the 6th.
    late = alike(HOME[2:], ["i2", "i1"])
    assert lists(run, "open") == {**alike(HOME[:2], ["i8", "i7", "i2", "i1"]), **late}
    assert variant_row(run, "open")["not_candidates"] == 2 * 1 + 4 * 3
    seen = dict(TABLES["impressions"].group_by("request_id").agg("item_id").iter_rows())
    expected = {name: [one for one in ("i2", "i1") if one in seen[name]] for name in HOME}
    assert lists(run, "shown") == {name: some for name, some in expected.items() if some}
    counted = {(one["table"], one["what"]): one["count"] for one in results(run)["counts"]}
    assert counted["scores/api", "of an item that is not in items"] == 6
    assert len(server.asked) == 18


def test_an_api_as_the_baseline(tmp_path: Path, server: Server) -> None:
    server.default = lambda _: Reply([{"item_id": f"i{n}", "score": n % 5} for n in range(1, 7)])
    world = world_of(tmp_path, server)
    world.study("variants", "popular", to={"builtin": "popular"})
    world.study("baseline", to="api").write()
    done(world.run())
    run = folder_of(world)
    assert lists(run) == alike(HOME, ["i4", "i3", "i2", "i1", "i6", "i5"])
    assert (variant_row(run)["not_candidates"], variant_row(run)["candidate_overlap"]) == (0, 1.0)
    assert results(run)["fidelity"]["variant"] == "api"
    assert {len(some) for some in lists(run, "popular").values()} <= set(range(1, 7))
    assert all(set(some) <= set(ITEMS[:6]) for some in lists(run, "popular").values())


@pytest.mark.parametrize("name", ["api/v2", "../api", "Ａ b.c"])
def test_a_variant_may_have_any_name(tmp_path: Path, server: Server, name: str) -> None:
    world = world_of(tmp_path, server)
    world.study_document["variants"][name] = world.study_document["variants"].pop("api")
    world.write()
    done(world.run())
    assert lists(folder_of(world), name) == alike(HOME, ["i1", "i2", "i3"])
    assert [one.parent.name for one in tmp_path.rglob("*.ndjson")] == ["answers"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "localhost:8080"}, "http://localhost:8080/recommend"),
        ({"url": "ftp://host/x"}, "http://"),
        ({"timeout": 0}, "seconds"),
        ({"concurrency": 0}, "concurrency"),
        ({"rate": 0}, "rate"),
        ({"failures": "110%"}, "share"),
        ({"retry": 3}, "`retries`"),
        ({"url": "${NO_SUCH}"}, "NO_SUCH"),
        ({"url": "${WITHOUT_SCHEME}"}, "http://"),
    ],
)
def test_settings_are_refused_before_anybody_is_asked(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], said: str
) -> None:
    monkeypatch.setenv("WITHOUT_SCHEME", server.url.removeprefix("http://"))
    world = world_of(tmp_path, server, **settings).write()
    assert_refused(world.run(command="check"), "study.yaml:", "variants.api.http", said)
    assert server.asked == []


def test_check_opens_no_network_and_knows_the_columns(tmp_path: Path, server: Server) -> None:
    world = world_of(tmp_path, server, query={"kind": "request.wanted"}).write()
    assert world.run(command="check").code == 0
    world.study("variants", "api", "http", "query", "kind", to="request.wantd").write(data=False)
    assert_refused(world.run(command="check"), "variants.api.http.query.kind", "no column `wantd`", "`wanted`")
    assert server.asked == []
