"""`rankcast ci`: what a workflow does with a change, against a server that speaks GitHub's comments."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from rankcast.report.review import MARKER
from repositories import Repo, repo, study_text
from tiny import Outcome, assert_refused, rankcast

__all__ = ["repo"]  # a fixture
TOKEN = "ghs_0123456789abcdef"
OURS, NUMBER, BOT, STRANGER = "team/evaluation", 7, "github-actions[bot]", "mallory"


@dataclass
class GitHub:
    """Comments of pull requests. `troubles`: what the next answers are instead: a status, or "hang" (done, no answer).

    As with GitHub, a token that may write comments may edit those of other people, unless `guarded`.
    """

    address: str = ""
    comments: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    troubles: list[tuple[str, int | str]] = field(default_factory=list)
    guarded: bool = False
    me: str | None = None  # whose token it is, if a person's

    @property
    def writer(self) -> str:
        return self.me or BOT

    def add(self, body: str, login: str) -> dict[str, Any]:
        number = 1_000 + len(self.comments)
        kind = "Bot" if login == BOT else "User"
        url = f"https://github.example/{OURS}/pull/{NUMBER}#issuecomment-{number}"
        self.comments.append({"id": number, "body": body, "html_url": url, "user": {"login": login, "type": kind}})
        return self.comments[-1]

    def of(self, login: str) -> list[str]:
        return [one["body"] for one in self.comments if one["user"]["login"] == login]

    def answer(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        parts = urlsplit(target)
        if method in {"POST", "PATCH"} and len(body["body"]) > 65_536:
            return 422, {"message": "body is too long (maximum is 65536 characters)"}
        if parts.path == "/user":
            return (
                (200, {"login": self.me, "type": "User"}) if self.me else (403, {"message": "Resource not accessible"})
            )
        if parts.path == f"/repos/{OURS}/issues/{NUMBER}/comments":
            if method == "POST":
                return 201, self.add(body["body"], self.writer)
            query = {key: int(value[0]) for key, value in parse_qs(parts.query).items()}
            size, page = min(query.get("per_page", 30), 100), query.get("page", 1)
            return 200, self.comments[(page - 1) * size : page * size]
        found = re.fullmatch(rf"/repos/{OURS}/issues/comments/(\d+)", parts.path)
        known = {one["id"]: one for one in self.comments}
        if method == "PATCH" and found and int(found[1]) in known:
            one = known[int(found[1])]
            if self.guarded and one["user"]["login"] != self.writer:
                return 403, {"message": "Resource not accessible by integration"}
            one["body"] = body["body"]
            return 200, one
        return 404, {"message": "Not Found"}


@pytest.fixture
def github() -> Iterator[GitHub]:
    hub = GitHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            method = self.command
            hub.asked.append((method, self.path))
            due = hub.troubles and self.path != "/user" and hub.troubles[0][0] in {method, "any"}
            trouble = hub.troubles.pop(0)[1] if due else None
            if isinstance(trouble, int):
                status, told = trouble, {"message": f"trouble {trouble}"}
            elif self.headers["Authorization"] != f"Bearer {TOKEN}":
                status, told = 401, {"message": "Bad credentials"}
            else:
                status, told = hub.answer(method, self.path, json.loads(sent or b"null"))
            if trouble == "hang":
                self.close_connection = True
                return
            content = b"<html>" if trouble == "garbage" else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = _do  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    yield hub
    server.shutdown()
    server.server_close()


@dataclass
class Workflow:
    """A job of a workflow."""

    repo: Repo
    patch: pytest.MonkeyPatch

    def of(self, event: Any, api: str = "http://127.0.0.1:9", token: str | None = None) -> Workflow:
        """For an event."""
        file = self.repo.root.parent / "event.json"
        file.write_text(json.dumps(event))
        for name, value in {
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_PATH": str(file),
            "GITHUB_REPOSITORY": OURS,
            "GITHUB_API_URL": api,
            "GITHUB_STEP_SUMMARY": str(self.summary),
        }.items():
            self.patch.setenv(name, value)
        if token is not None:
            self.patch.setenv("GITHUB_TOKEN", token)
        return self

    @property
    def summary(self) -> Path:
        return self.repo.root.parent / "summary.md"

    def pull(self, source: str | None = OURS, **more: Any) -> Workflow:
        """For a pull request from a repository."""
        base = {"sha": self.repo.git("rev-parse", "main"), "ref": "main"}
        head = {"sha": "0" * 40, "ref": "change", "repo": None if source is None else {"full_name": source}}
        return self.of({"pull_request": {"number": NUMBER, "base": base, "head": head}}, **more)


@pytest.fixture
def workflow(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> Workflow:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    repo.cap(3)
    repo.commit()
    return Workflow(repo, monkeypatch)


def ci(*arguments: str) -> Outcome:
    done = rankcast("ci", *arguments)
    assert "bug in Rankcast" not in done.text, done.text
    return done


# ---- the comment on GitHub


def test_the_comment_is_written_and_then_written_anew(workflow: Workflow, github: GitHub) -> None:
    workflow.pull(api=github.address, token=TOKEN)
    done = ci("--post")
    assert done.code == 0
    assert github.of(BOT) == [done.out]
    assert done.out.startswith(f"{MARKER}\n### Rankcast\n")
    assert "treatment adds: new: step cap at\\_most 2 -&gt; 3" in done.out
    assert f"comment: {github.comments[0]['html_url']}" in done.err
    workflow.repo.mend("studies/first.yaml", "at_most: 3", "at_most: 4")
    again = ci("--post")
    assert github.of(BOT) == [again.out]
    assert "2 -&gt; 4" in again.out
    assert [method for method, path in github.asked if path != "/user"] == ["GET", "POST", "GET", "PATCH"]
    assert TOKEN not in done.text + again.text


def test_many_comments_of_others_come_first(workflow: Workflow, github: GitHub) -> None:
    for number in range(250):
        github.add(f"I say {number} {MARKER}", STRANGER)
    github.add(f"{MARKER} old", BOT)
    for _ in range(30):
        github.add("thanks", STRANGER)
    workflow.pull(api=github.address, token=TOKEN)
    assert ci("--post").code == 0
    assert len(github.comments) == 281
    assert github.comments[250]["body"].startswith(f"{MARKER}\n### Rankcast")
    assert sum("thanks" in one for one in github.of(STRANGER)) == 30


@pytest.mark.parametrize("guarded", [True, False])
def test_a_comment_of_somebody_else_stays(workflow: Workflow, github: GitHub, guarded: bool) -> None:
    """Who writes the marker first does not get our words under their name, which they could change."""
    github.guarded = guarded
    mine = f"{MARKER}\nall is well"
    github.add(mine, STRANGER)
    workflow.pull(api=github.address, token=TOKEN)
    for _ in range(2):
        assert ci("--post").code == 0
    assert github.of(STRANGER) == [mine]
    assert len(github.of(BOT)) == 1


def test_the_token_of_a_person(workflow: Workflow, github: GitHub) -> None:
    github.me = "octo"
    github.add(f"{MARKER}\nmine", STRANGER)
    workflow.pull(api=github.address, token=TOKEN)
    for _ in range(2):
        assert ci("--post").code == 0
    assert len(github.of("octo")) == len(github.of(STRANGER)) == 1
    assert github.of(STRANGER) == [f"{MARKER}\nmine"]


@pytest.mark.parametrize("trouble", [500, 502, 503, 429, "hang"])
def test_troubles_that_pass(workflow: Workflow, github: GitHub, trouble: int | str) -> None:
    github.troubles = [("any", trouble), ("any", trouble)]
    workflow.pull(api=github.address, token=TOKEN)
    assert ci("--post").code == 0
    assert len(github.of(BOT)) == 1


def test_a_comment_that_was_written_without_an_answer(workflow: Workflow, github: GitHub) -> None:
    github.troubles = [("POST", "hang")]
    workflow.pull(api=github.address, token=TOKEN)
    assert ci("--post").code == 0
    assert len(github.of(BOT)) == 1


@pytest.mark.parametrize("trouble", [401, 403, 404, 422, "garbage"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refusal_is_told_and_is_no_failure(workflow: Workflow, github: GitHub, method: str, trouble: Any) -> None:
    github.troubles = [(method, trouble)]
    workflow.pull(api=github.address, token=TOKEN)
    done = ci("--post")
    assert done.code == 0
    assert "no comment: " in done.err
    assert TOKEN not in done.text
    assert done.out in workflow.summary.read_text()


@pytest.mark.parametrize("answer", [{"message": "x"}, [1], [{"body": MARKER}], "x", None])
def test_answers_of_something_else(
    workflow: Workflow, github: GitHub, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(github, "answer", lambda *_: (200, answer))
    workflow.pull(api=github.address, token=TOKEN)
    done = ci("--post")
    assert done.code == 0
    assert "no comment: " in done.err


def test_nobody_answers(workflow: Workflow) -> None:
    workflow.pull(token=TOKEN)
    done = ci("--post")
    assert (done.code, "no comment: " in done.err) == (0, True)


@pytest.mark.parametrize("token", [f"{TOKEN}\n", f" {TOKEN}"])
def test_a_token_is_never_shown(workflow: Workflow, github: GitHub, token: str) -> None:
    workflow.pull(api=github.address, token=token)
    assert TOKEN not in ci("--post").text


def test_posting_without_a_pull_request(workflow: Workflow) -> None:
    assert_refused(ci("--base", "main", "--post"), "--post: ")
    assert_refused(workflow.of({"ref": "refs/heads/main"}, token=TOKEN) and ci("--base", "main", "--post"), "--post: ")


# ---- what is run, and what is not


def spy(repo: Repo, path: str = "studies/first.yaml") -> Path:
    """A study whose code leaves a trace."""
    trace = repo.root.parent / "executed"
    repo.write(
        "spy.py", f"open({str(trace)!r}, 'w')\ndef score(requests, candidates): return [0.0] * len(candidates)\n"
    )
    repo.mend(path, "scores: {path: ../data/new.parquet}", "python: 'spy:score'")
    return trace


@pytest.mark.parametrize("source", ["mallory/evaluation", None, "team/evaluation-fork"])
@pytest.mark.parametrize("option", ["--run", "--submit"])
def test_a_fork_is_never_run(
    workflow: Workflow, source: str | None, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = spy(workflow.repo)
    monkeypatch.syspath_prepend(str(workflow.repo.root))
    workflow.pull(source)
    assert_refused(ci(option), "comes from a fork")
    assert not trace.exists()
    assert not (workflow.repo.root / "runs").exists()
    assert ci().code == 0
    assert not trace.exists()


FOREIGN = {"full_name": "mallory/evaluation"}


@pytest.mark.parametrize(
    "event",
    [
        {"workflow_run": {"head_repository": FOREIGN, "pull_requests": []}},
        {"pull_request": {"number": 7}},
        {"pull_request": {"number": 7, "head": {"repo": FOREIGN}, "base": None}},
        {"pull_request": {"number": 7, "head": {"sha": "0" * 40, "repo": FOREIGN}, "base": {"sha": "0" * 40}}},
    ],
)
def test_other_ways_in_for_strangers(workflow: Workflow, event: Any) -> None:
    """By the event of another workflow, by events that say too little: none runs a study of which nobody knows the origin."""
    trace = spy(workflow.repo)
    workflow.patch.syspath_prepend(str(workflow.repo.root))
    workflow.of(event)
    assert_refused(ci("--base", "main", "--run"))
    assert not trace.exists()


def test_a_check_executes_nothing_and_asks_nobody(workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = spy(workflow.repo)
    workflow.repo.write(
        "studies/api.yaml",
        study_text("api").replace("scores: {path: ../data/new.parquet}", "http: {url: 'http://x.example/'}"),
    )
    model = study_text("model").replace("scores: {path: ../data/new.parquet}", "mlflow: 'models:/ranker/3'")
    workflow.repo.write("studies/model.yaml", model)
    workflow.repo.write("data/new.parquet", "no parquet, and nobody looks")
    monkeypatch.syspath_prepend(str(workflow.repo.root))

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "create_connection", refused)
    workflow.pull()
    done = ci()
    assert done.code == 0, done.text
    assert all(f"`studies/{name}.yaml`" in done.out for name in ("first", "api", "model"))
    assert not trace.exists()


def test_a_push_is_compared_with_what_is_named(workflow: Workflow) -> None:
    workflow.of({"ref": "refs/heads/change", "before": "0" * 40})
    assert "studies/first.yaml" in ci().out
    assert "touches no study" in ci("--base", "HEAD").out
    assert "touches no study" in ci("--base", "change").out


def test_the_base_may_have_moved_on(workflow: Workflow) -> None:
    repo = workflow.repo
    repo.git("checkout", "--quiet", "main")
    repo.write("studies/other.yaml", study_text("other"))
    repo.commit("somebody else's")
    repo.git("checkout", "--quiet", "change")
    workflow.pull()
    done = ci()
    assert "studies/first.yaml" in done.out
    assert "other.yaml" not in done.out


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '"x"', '{"pull_request": 3}', '{"pull_request": {"head": 3}}']
)
def test_events_that_are_none(workflow: Workflow, content: str) -> None:
    workflow.pull()
    (workflow.repo.root.parent / "event.json").write_text(content)
    assert ci("--base", "main").code in {0, 2}
