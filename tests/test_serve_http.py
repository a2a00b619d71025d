"""`rankcast serve` over HTTP: what it answers, what it refuses, and how it starts and ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from test_serve import HOSTILE, Links, Server, change_of, listing, write

NAMES = (
    *("with space", "100%", "%2e%2e", "a#b", "a?b=c&d", "日本語", 'it\'s "quoted"', "a+b;c", "trend"),
    HOSTILE.replace("/", "∕"),
)
SECRET = "the-secret-of-a-neighbour"
HEADERS = ("content-security-policy", "x-content-type-options", "x-frame-options")


@dataclass(frozen=True)
class Place:
    """A server, and the folder that it shows."""

    server: Server
    out: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Runs of studies with every kind of name; beside the folder something that is nobody's business."""
    folder = tmp_path_factory.mktemp("http")
    out = folder / "runs"
    for at, name in enumerate(NAMES):
        made = write(out, name, f"{at:012x}", changes=(change_of(),))
        (made / "report.html").write_text(f"<title>{at}</title>", encoding="utf-8")
        (made / "manifest.json").write_text("{}", encoding="utf-8")
        (made / "private.txt").write_text(SECRET, encoding="utf-8")
    for beside in (folder / "elsewhere", folder / "elsewhere" / "deep"):
        beside.mkdir()
        for name in ("result.json", "report.html", "secret.txt"):
            (beside / name).write_text(json.dumps(SECRET), encoding="utf-8")
    before = listing(folder)
    with Server(out) as server:
        yield Place(server, out)
    assert listing(folder) == before


def pages(place: Place) -> list[str]:
    run = "/runs/with%20space/000000000000"
    plain = ["/", "/runs.json", "/trend", "/trend/", "/compare", "/nowhere", f"{run}/nothing", "/?page=-1"]
    return [*plain, run, f"{run}/lists?find=a", f"{run}/report.html", f"{run}/result.json", f"{run}/manifest.json"]


# --- What is answered ---


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "NONSENSE"])
def test_nothing_but_reading(place: Place, method: str) -> None:
    for path in ("/", "/runs.json", "/trend", "/compare", "/runs/trend/000000000008"):
        assert place.server.ask(path, method).status in (400, 404, 405, 501)


def test_heads_have_no_body(place: Place) -> None:
    for path in pages(place):
        head, whole = place.server.ask(path, "HEAD"), place.server.ask(path)
        assert (head.status, head.body) == (whole.status, "")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8600", "127.0.0.1.evil.example", "localhost.evil", "192.168.1.1"]
)
def test_a_strangers_name_is_refused(place: Place, host: str) -> None:
    for path in pages(place):
        answer = place.server.ask(path, host=host)
        assert answer.status in (400, 403, 421)
        assert "with space" not in answer.body


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_names_of_this_machine(place: Place, host: str) -> None:
    assert place.server.ask("/", host=f"{host}:{place.server.port}").status == 200


def test_every_answer_is_guarded(place: Place) -> None:
    asked = [(path, "GET", None) for path in pages(place)]
    asked += [("/", "POST", None), ("/nowhere", "POST", None), ("/", "GET", "evil.example"), ("/trend", "HEAD", None)]
    bare = []
    for path, method, host in asked:
        answer = place.server.ask(path, method, host)
        bare += [(path, method, host, name) for name in HEADERS if name not in answer.headers]
        policy = answer.headers.get("content-security-policy", "")
        assert "unsafe" not in policy
        if path.startswith("/runs/") and path.endswith((".html", ".json")):
            assert policy.startswith("sandbox")
            assert "allow-same-origin" not in policy
    assert bare == []


def test_nothing_is_said_about_whom_to_trust(place: Place) -> None:
    for path in pages(place):
        assert "access-control-allow-origin" not in place.server.ask(path).headers


@pytest.mark.parametrize(
    "path",
    [
        "/runs/../elsewhere/result.json", "/runs/%2e%2e/elsewhere/result.json", "/runs/..%2felsewhere/result.json",
        "/runs/%252e%252e/elsewhere/result.json", "/runs/..%5celsewhere/deep/result.json", "/runs/..\\elsewhere/deep/result.json",
        "/runs/../../elsewhere/secret.txt", "/../elsewhere/secret.txt", "//elsewhere/secret.txt", "/%2e%2e/%2e%2e/etc/passwd",
        "/runs/with%20space/../../../elsewhere/result.json", "/runs/with%20space/000000000000/private.txt",
        "/runs/with%20space/000000000000/..%2f..%2f..%2felsewhere%2fresult.json",
        "/runs/with%20space/000000000000/%2fetc%2fpasswd",
        "/runs/with%20space/000000000000//etc/passwd", "/runs/with%20space/000000000000/report.html%00.txt",
        "/runs/with%20space/./result.json", "/runs/./with%20space/result.json", "/runs/%ff%fe/%00/result.json",
        "/compare?run=../elsewhere&run=with%20space/000000000000", "/compare?run=/etc/passwd&run=..%2f..%2felsewhere%2fdeep",
        "http://elsewhere/secret.txt",
    ],
)  # fmt: skip
def test_no_path_leads_out(place: Place, path: str) -> None:
    answer = place.server.ask(path)
    assert answer.status in (400, 404)
    assert SECRET not in answer.body
    assert "root:" not in answer.body
    assert "bug in Rankcast" not in answer.body


@pytest.mark.parametrize(
    ("study", "run"), [("..", "elsewhere"), ("../elsewhere", "deep"), ("", "ABSOLUTE"), (".", "x")]
)
def test_no_summary_leads_out(place: Place, tmp_path: Path, study: str, run: str) -> None:
    """A summary may say any names; what counts is where it is."""
    beside = place.out.parent / "elsewhere" / "deep"
    run = run.replace("ABSOLUTE", str(beside))
    shutil.copytree(place.out.parent / "elsewhere", tmp_path / "elsewhere")
    folder = write(tmp_path / "runs", "honest", "0123456789ab")
    told = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    (folder / "summary.json").write_text(json.dumps({**told, "study": study, "run": run}), encoding="utf-8")
    with Server(tmp_path / "runs") as server:
        for name in ("result.json", "report.html"):
            answer = server.ask(f"/runs/{study}/{run}/{name}")
            assert SECRET not in answer.body, "a summary leads out of the folder of runs"
        both = server.ask(f"/compare?run={quote(f'{study}/{run}')}&run={quote(f'{study}/{run}')}")
        assert "elsewhere" not in re.sub(r"<p>no run [^<]*</p>", "", both.body)


def test_a_copied_study_is_a_study_of_its_own(tmp_path: Path) -> None:
    first = write(tmp_path, "first", "0123456789ab")
    shutil.copytree(first.parent, tmp_path / "copy")
    (first / "report.html").write_text("of the first", encoding="utf-8")
    (tmp_path / "copy" / first.name / "report.html").write_text("of the copy", encoding="utf-8")
    with Server(tmp_path) as server:
        links = [href for text, href in Links(server.ask("/").body).found if text == "report"]
        assert len(links) == len(set(links))
        for href in links:
            assert server.ask(href).body == ("of the copy" if "/copy/" in href else "of the first")


@pytest.mark.parametrize("name", NAMES)
def test_names_of_every_kind_are_found_again(place: Place, name: str) -> None:
    links = Links(place.server.ask("/").body).found
    at = NAMES.index(name)
    (href,) = [href for text, href in links if text == name]
    page = place.server.ask(href)
    assert page.status == 200
    inside = dict(Links(page.body).found)
    assert place.server.ask(inside["Open the report"]).body == f"<title>{at}</title>"
    assert place.server.ask(inside["dcg@10"]).status == 200
    assert place.server.ask(f"{href}/lists?find=x").status == 200
    chosen = f"/?study={quote(name, safe='')}"
    assert len([1 for text, _ in Links(place.server.ask(chosen).body).found if text == "report"]) == 1
    assert "<script" not in page.body
    trend = Links(place.server.ask(f"/trend?study={quote(name, safe='')}").body).found
    assert [place.server.ask(href).status for text, href in trend if text == f"{at:012x}"] == [200]


@pytest.mark.parametrize(
    "query",
    [
        "?page=-1", "?page=0", "?page=999999999", "?page=999999", "?page=%C2%B2", "?page=1e3", "?page=a&page=b", "?q=%00%ff",
        "?q=" + "a" * 50_000, "?decision=maybe", "?study=nobody", "?q=%F0%9F%98%80", "?&&&=;", "?q=%ED%A0%80",
    ],
)  # fmt: skip
def test_odd_questions_are_answered(place: Place, query: str) -> None:
    answer = place.server.ask(f"/{query}")
    assert answer.status in (200, 400, 414, 431)
    assert "bug in Rankcast" not in answer.body


def test_past_the_last_page_one_finds_back(place: Place) -> None:
    for number in ("2", "999999", "999999999"):
        body = place.server.ask(f"/?page={number}").body
        listed = [text for text, _ in Links(body).found if text in (*NAMES, "newer")]
        assert listed, f"page={number}: neither runs nor a way back"
        assert "makes one" not in body, "there are runs"


def test_an_unknown_metric_is_named(place: Place) -> None:
    answer = place.server.ask(f"/trend?metric={quote('nonsense<b>')}")
    assert answer.status == 200
    assert "nonsense&lt;b&gt;" in answer.body
    assert "<b>" not in answer.body.partition("<main")[2]


def test_unknown_pages_have_a_page(place: Place) -> None:
    for path in ("/nowhere", "/runs/nobody/0123456789ab", "/runs/trend/000000000000", "/runs", "/runs/trend"):
        answer = place.server.ask(path)
        assert answer.status == 404
        assert "<h1>Not found</h1>" in answer.body
        assert 'href="/"' in answer.body


# --- A folder that changes, and one that is damaged ---


def test_a_run_that_appears_and_goes(tmp_path: Path) -> None:
    out = tmp_path / "not" / "yet"
    with Server(out) as server:
        assert "No run" in server.ask("/").body
        assert not out.exists()
        folder = write(out, "first", "0123456789ab")
        (folder / "report.html").write_text("here", encoding="utf-8")
        server.until("/", lambda answer: "/runs/first/0123456789ab" in answer.body)
        assert server.ask("/runs/first/0123456789ab/report.html").body == "here"
        shutil.rmtree(folder)
        for end in ("", "/report.html", "/lists?find=a"):
            assert server.ask(f"/runs/first/0123456789ab{end}").status == 404
        server.until("/", lambda answer: "/runs/first/0123456789ab" not in answer.body)


def damage(folder: Path, how: str) -> None:
    told = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    parts = {
        "cut": '{"study"', "no object": "[]", "empty": "", "because": json.dumps({**told, "because": {}}),
        "nan": json.dumps({**told, "fidelity": float("nan")}), "infinite": json.dumps({**told, "targets": 10**400}),
        "deep": "[" * 100_000, "long": json.dumps({**told, "owner": "a" * 1_000_000}),
    }  # fmt: skip
    if how == "bytes":
        (folder / "summary.json").write_bytes(b"\xff\xfe\x00")
        (folder / "result.json").write_bytes(b"\xff\xfe\x00")
    elif how == "a folder":
        (folder / "summary.json").unlink()
        (folder / "summary.json").mkdir()
    elif how == "a link to nowhere":
        (folder / "result.json").unlink()
        (folder / "result.json").symlink_to(folder / "nowhere")
    elif how == "slates":
        (folder / "slates").mkdir()
        (folder / "slates" / "shard-0.parquet").write_text("no table", encoding="utf-8")
    else:
        (folder / "summary.json").write_text(parts[how], encoding="utf-8")


BROKEN = (
    *("cut", "no object", "empty", "because", "nan", "infinite", "deep", "long", "bytes", "a folder"),
    *("a link to nowhere", "slates"),
)


def test_what_is_damaged_harms_no_other_run(tmp_path: Path) -> None:
    write(tmp_path, "good", "0123456789ab")
    for how in BROKEN:
        damage(write(tmp_path, how, "0123456789ab"), how)
    wrong = []
    with Server(tmp_path) as server:
        asked = ["/", "/runs.json", "/trend"]
        for how in (quote(one) for one in BROKEN):
            run = f"/runs/{how}/0123456789ab"
            asked += [run, f"{run}/report.html", f"{run}/lists?find=a", f"/compare?run={run[6:]}&run=good/0123456789ab"]
        for path in asked:
            answer = server.ask(path)
            if "bug in Rankcast" in answer.body or answer.status == 500:
                wrong.append(path)
            elif path in ("/", "/runs.json"):
                assert "good" in answer.body
        code, said = server.end()
    assert wrong == []
    assert "Traceback" not in said
    assert code in (0, 130)


def test_runs_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    write(tmp_path, "good", "0123456789ab")
    damage(write(tmp_path, "bad-one", "0123456789ab"), "cut")
    with Server(tmp_path) as server:
        assert "cannot be read" in re.sub(r"<[^>]+>|&#\d+;", " ", server.ask("/").body)


def test_five_hundred_runs_are_quick(tmp_path: Path) -> None:
    changes = tuple(change_of(metric, variant) for metric in map(str, range(20)) for variant in ("a", "b"))
    for at in range(500):
        write(tmp_path, f"study-{at % 20}", f"{at:012x}", decision={"a": "go", "b": "no-go"}, changes=changes)
    with Server(tmp_path) as server:
        for path in ("/", "/trend?metric=3", "/runs.json", "/?q=study-3"):
            begun = time.monotonic()
            assert server.ask(path).status == 200
            assert time.monotonic() - begun < 15, path


# --- How it starts and ends ---


def refused(*options: str, **environment: str) -> str:
    """It does not start: exit 2, and what it says."""
    command = [sys.executable, "-m", "rankcast", "serve", *options]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) <= 3
    return done.stderr


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        port = str(one.getsockname()[1])
        said = refused("--out", str(tmp_path), "--port", port)
    assert port in said
    assert "--port" in said


@pytest.mark.parametrize("host", ["a..b", "999.1.1.1", "localhost:80", "*", "a" * 80, "192.0.2.7", ""])
def test_a_host_that_is_none(tmp_path: Path, host: str) -> None:
    said = refused("--out", str(tmp_path), "--port", "0", "--host", host)
    assert "listen" in said or "host" in said


@pytest.mark.parametrize("module", ["starlette", "uvicorn"])
def test_an_extra_that_is_missing(tmp_path: Path, module: str) -> None:
    (tmp_path / module).mkdir()
    (tmp_path / module / "__init__.py").write_text(f"raise ModuleNotFoundError('no {module}')", encoding="utf-8")
    assert "rankcast[serve]" in refused("--out", str(tmp_path), "--port", "0", PYTHONPATH=str(tmp_path))


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "is a file" in refused("--out", str(tmp_path / "file"), "--port", "0")


@pytest.mark.parametrize(("how", "codes"), [(signal.SIGINT, (0, 130)), (signal.SIGTERM, (0, 143))])
def test_how_it_ends(tmp_path: Path, how: signal.Signals, codes: tuple[int, ...]) -> None:
    with Server(tmp_path) as server:
        server.ask("/")
        with socket.create_connection(("127.0.0.1", server.port)) as idle:  # a browser that keeps its connection
            idle.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            idle.recv(100)
            begun = time.monotonic()
            code, said = server.end(how)
        assert time.monotonic() - begun < 15  # and `end` itself waits for 20 s
    assert code in codes
    assert "Traceback" not in said
    assert "half-written" not in said, "nothing is written here"


def test_only_this_machine_unless_said(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        assert "http://127.0.0.1:" in server.said
        ours = [address for *_, (address, *_) in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
        for address in {one for one in ours if not one.startswith("127.")}:
            with pytest.raises(OSError, match=r"refused|timed out"):
                socket.create_connection((address, server.port), 3)


def test_an_open_server_says_so(tmp_path: Path) -> None:
    with Server(tmp_path, "--host", "0.0.0.0") as server:
        assert server.ask("/", host="runs.example").status == 200
        assert "everybody" in server.end()[1]


def test_it_answers_as_soon_as_it_says_so(tmp_path: Path) -> None:
    """The address is printed when there is somebody behind it."""
    command = [sys.executable, "-m", "rankcast", "serve", "--out", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r":(\d+)/", process.stderr.readline())
        assert found
        try:
            socket.create_connection(("127.0.0.1", int(found[1])), 5).close()
        finally:
            process.send_signal(signal.SIGINT)
