"""Runs in a bucket that machines share: found, opened, listed, compared, repeated. A real S3 server."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import rankcast
from object_storage import Shelf, s3_fixture, shelf_fixture  # noqa: F401 - fixtures
from rankcast.progress import Progress
from rankcast.runs.folder import Run
from rankcast.runs.store import open_run, open_store
from rankcast.runs.summary import example
from tiny import World, assert_refused
from tiny import rankcast as command

SMALL = {"manifest.json", "result.json", "report.html", "report.md", "summary.json"}


class Listener(Progress):
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, stage: str, text: str) -> None:
        self.told.append(f"{stage}: {text}")

    def said(self, words: str) -> bool:
        return any(words in line for line in self.told)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "world").write()


def study(world: World) -> Path:
    return world.folder / "study.yaml"


def rows(run: Run) -> dict[str, list[str]]:
    """All rows of all tables, whatever their order."""
    names = ("values", "slates", "replays", "labels")
    return {name: sorted(getattr(run, name).write_ndjson().splitlines()) for name in names}


def listed(out: str, *more: str) -> list[dict[str, Any]]:
    answer = command("runs", "--out", out, "--json", *more)
    assert answer.code == 0, answer.text
    found: list[dict[str, Any]] = json.loads(answer.out)
    return found


def put_short(shelf: Shelf, **changed: Any) -> None:
    """A run of which only what a list shows is there."""
    one = example(**changed)
    shelf.write(f"{one.study}/{one.run}/result.json", b"{}")
    shelf.write(f"{one.study}/{one.run}/summary.json", one.model_dump_json().encode())


# --- Written and found ---


def test_a_run_in_a_bucket_is_that_of_a_folder(shelf: Shelf, world: World, tmp_path: Path) -> None:
    run = rankcast.run(study(world), shelf.out)
    local = rankcast.run(study(world), tmp_path / "runs")
    assert run.id == local.id
    assert run.result.document() == local.result.document()
    assert rows(run) == rows(local)
    here = sorted(str(path.relative_to(local.folder)) for path in local.folder.rglob("*") if path.is_file())
    mark = f"{run.manifest['token']}."  # of whoever wrote the tables
    there = [key.replace(mark, "") if key.count("/") > 2 else key for key in shelf.names()]
    assert sorted(there) == sorted(f"first/{run.id}/{name}" for name in here)
    assert all(mark in key for key in shelf.names() if key.count("/") > 2)


def test_again_is_found(shelf: Shelf, world: World) -> None:
    first = command("run", str(study(world)), "--out", shelf.out, "--quiet")
    before = {key: shelf.read(key) for key in shelf.names()}
    again = command("run", str(study(world)), "--out", shelf.out)
    assert (first.code, first.out) == (again.code, again.out)
    (one,) = listed(shelf.out)
    assert f"ran before on the same data: {shelf.out}/first/{one['run']}" in again.err
    assert {key: shelf.read(key) for key in shelf.names()} == before
    shelf.move("other")
    other = command("run", str(study(world)), "--out", f"{shelf.out}/")
    assert other.code == first.code
    assert "ran before" in other.err
    assert f"run: {shelf.out}/first/{one['run']}\n" in other.out


def test_opened_on_another_machine(shelf: Shelf, world: World) -> None:
    run = rankcast.run(study(world), shelf.out)
    there = rows(run)
    ways = (run.id, run.id[:5], f"{shelf.out}/first/{run.id}", f"{shelf.out}/first/{run.id}/")
    for number, name in enumerate(ways):
        shelf.move(f"other-{number}")
        found = open_run(name, shelf.out)
        assert {path.name for path in found.folder.iterdir()} == SMALL  # tables come when somebody asks for them
        assert found.result == run.result
        assert found.manifest == run.manifest
        assert "slates" not in os.listdir(found.folder)
        assert found.values.height == run.values.height
        assert "slates" not in os.listdir(found.folder)
        assert rows(found) == there
    text = [command("report", name, "--out", shelf.out).out for name in ways]
    assert len(set(text)) == 1
    assert "new: " in text[0]
    markdown = command("report", ways[2], "--markdown")
    assert markdown.code == 0
    assert markdown.out.encode() == (run.folder / "report.md").read_bytes()


def test_a_run_that_is_not_there(shelf: Shelf, world: World) -> None:
    run = rankcast.run(study(world), shelf.out)
    for name in ("ffff", f"{shelf.out}/first/ffffffffffff", f"{shelf.out}/second/{run.id}", "s3://nobody"):
        assert_refused(command("report", name, "--out", shelf.out), "no run")
    put_short(shelf, study="second", run=run.id)
    assert_refused(command("report", run.id[:3], "--out", shelf.out), "write more of the id")


def test_two_runs_are_compared(shelf: Shelf, world: World, tmp_path: Path) -> None:
    said = []
    for out in (shelf.out, str(tmp_path / "runs")):
        runs = []
        for shift in (1, 2):
            world.table("new", lambda frame, by=shift: frame.with_columns(score=(pl.col("score") * 7 + by) % 5))
            runs.append(rankcast.run(study(world.write()), out).id)
            shelf.move(f"machine-{shift}")
        shelf.move("third")
        said.append(command("compare", *runs, "--out", out, "--anyway"))
        assert said[-1].code == 0, said[-1].text
        world.tables["new"] = world.tables["scores"]
    assert said[0].out == said[1].out
    shelf.move("fourth")
    (one, two) = (row["folder"] for row in listed(shelf.out))
    assert command("compare", one, two, "--anyway").code == 0


@pytest.mark.parametrize("machine", ["cache", "a/much/deeper/cache"])
@pytest.mark.parametrize("named", ["address", "id"])
def test_repeated_from_a_bucket(machine: str, named: str, shelf: Shelf, world: World, tmp_path: Path) -> None:
    run = rankcast.run(study(world), shelf.out)
    shelf.move(machine)
    name = run.id if named == "id" else f"{shelf.out}/first/{run.id}"
    shelf.monkeypatch.chdir(tmp_path)
    again = command("run", "--from", name, "--out", shelf.out)
    assert again.code == run.exit_code(), again.text
    assert "ran before on the same data" in again.err
    if named == "address":
        elsewhere = command("run", "--from", name, "--out", str(tmp_path / "runs"), "--quiet")
        assert elsewhere.code == run.exit_code(), elsewhere.text
        assert Run(tmp_path / "runs" / "first" / run.id).result == run.result


@pytest.mark.parametrize("machine", ["cache", "other"])
def test_other_metrics_take_the_lists_over(machine: str, shelf: Shelf, world: World, tmp_path: Path) -> None:
    first = rankcast.run(study(world), shelf.out)
    world.study("metrics", "also", to=["ndcg@5", "hit@2"]).write()
    shelf.move(machine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rankcast.experiment.shard.reproduce", forbidden)
        second = rankcast.run(study(world), shelf.out)
    assert second.id != first.id
    assert second.manifest["work"]["lists_of"] == first.id
    local = rankcast.run(study(world), tmp_path / "runs")
    assert second.result == local.result
    shelf.move("third")
    assert rows(open_run(second.id, shelf.out)) == rows(local)


def forbidden(*_: Any, **__: Any) -> Any:
    raise AssertionError("replayed what was replayed before")


# --- Listed ---


def test_runs_are_filtered(shelf: Shelf) -> None:
    put_short(shelf, run="a" * 12, study="two-tower", started="2023-10-20T09:00:00+00:00", decision={"tt": "go"})
    put_short(shelf, run="b" * 12, study="two-tower", started="2023-10-22T09:00:00+00:00", decision={"tt": "no-go"})
    put_short(shelf, run="c" * 12, study="求人", started="2023-10-21T23:59:59+00:00", decision={}, owner=None)
    put_short(
        shelf, run="d" * 12, study="cold", started="2023-11-01T00:00:00+00:00", decision={"x": "invalid", "y": "go"}
    )

    def ids(*more: str) -> str:
        answer = listed(shelf.out, *more)
        assert [one["folder"] for one in answer] == [f"{shelf.out}/{one['study']}/{one['run']}" for one in answer]
        lines = command("runs", "--out", shelf.out, *more).out.splitlines()
        assert len(lines) == len(answer)
        return "".join(sorted(one["run"][0] for one in answer))

    assert ids() == "abcd"
    assert [one["run"][0] for one in listed(shelf.out)] == ["d", "a", "b", "c"]  # by study and age
    assert ids("--study", "two-tower") == "ab"
    assert ids("--study", "two") == ""
    assert ids("--decision", "go") == "ad"
    assert ids("--decision", "no-go", "--study", "two-tower") == "b"
    assert ids("--since", "2023-10-21") == "bcd"
    assert ids("--since", "20231021") == "bcd"  # another way to write the day
    assert ids("--since", "2023-10-22") == "bd"
    assert ids("--last", "1") == "d"
    assert ids("--last", "2", "--study", "two-tower") == "ab"
    assert ids("--last", "9") == "abcd"
    assert ids("TWO", "no-go") == "b"
    assert ids("求人") == "c"
    assert ids("DT06") == "abcd"
    assert ids("a" * 12) == "a"
    nothing = command("runs", "--out", shelf.out, "nowhere")
    assert (nothing.code, nothing.out) == (0, "")
    assert "no runs match" in nothing.err
    assert listed(shelf.out, "nowhere") == []
    assert_refused(command("runs", "--out", shelf.out, "--decision", "maybe"), "--decision maybe")
    assert_refused(command("runs", "--out", shelf.out, "--since", "yesterday"), "--since yesterday")
    empty = command("runs", "--out", f"{shelf.out}/nothing/here")
    assert empty.code == 0
    assert "no runs below" in empty.err


def test_a_report_is_opened_in_a_browser(shelf: Shelf, world: World, tmp_path: Path) -> None:
    run = rankcast.run(study(world), shelf.out)
    cache = shelf.move("other")
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" >> {tmp_path}/opened\n')
    script.chmod(0o755)
    code = "from rankcast.cli import main; main()"
    os_env = os.environ | {"BROWSER": f"{script} %s"}
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", code, "runs", "--out", shelf.out, "--open"],
        env=os_env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert run.id in done.stdout
    deadline = time.monotonic() + 10
    while not (tmp_path / "opened").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    (opened,) = (tmp_path / "opened").read_text().splitlines()
    assert opened.startswith("file:///")
    report = Path(opened.removeprefix("file://"))
    assert cache.resolve() in report.parents
    assert report.read_bytes() == run.report.read_bytes()


@pytest.mark.slow
def test_many_runs_are_listed_soon(shelf: Shelf) -> None:
    for number in range(200):
        put_short(shelf, run=f"{number:012x}", started=f"2023-10-{1 + number % 28:02}T09:00:00+00:00")
        shelf.write(f"two-tower/{number:012x}/slates/shard-0000000000.parquet", b"x")
    begun = time.monotonic()
    assert len(listed(shelf.out)) == 200
    assert time.monotonic() - begun < 90


def test_a_run_of_an_earlier_version_has_no_summary(shelf: Shelf, world: World, tmp_path: Path) -> None:
    run = rankcast.run(study(world), shelf.out)
    local = rankcast.run(study(world), tmp_path / "runs")
    whole = listed(shelf.out)
    shelf.files.delete_file(f"{shelf.place}/first/{run.id}/summary.json")
    (local.folder / "summary.json").unlink()
    shelf.move("other")
    assert listed(shelf.out) == whole
    (here,) = listed(str(tmp_path / "runs"))
    assert here["changes"] == whole[0]["changes"]
    assert open_run(run.id, shelf.out).result == run.result


def test_what_cannot_be_read_is_left_out_and_told(shelf: Shelf, world: World, tmp_path: Path) -> None:
    run = rankcast.run(study(world), shelf.out)
    local = rankcast.run(study(world), tmp_path / "runs")
    for name, content in {"broken": b"\xff{", "empty": b"", "list": b"[]", "foreign": b'{"study": 1}'}.items():
        shelf.write(f"{name}/0123456789ab/result.json", content)
        folder = local.folder.parents[1] / name / "0123456789ab"
        folder.mkdir(parents=True)
        (folder / "result.json").write_bytes(content)
    shelf.write("first/notes.txt", b"hello")
    shelf.write("result.json", b"{}")
    shelf.write("first/result.json", b"{}")
    shelf.write("a/b/c/d/result.json", b"{}")
    shelf.write(f"first/{run.id}/summary.json", b"\x00 no summary")
    shelf.move("other")
    for out in (shelf.out, str(tmp_path / "runs")):
        answer = command("runs", "--out", out)
        assert answer.code == 0, answer.text
        (line,) = answer.out.splitlines()
        assert run.id in line
        left = [text for text in answer.err.splitlines() if text.startswith("left out: ")]
        assert len(left) == 4, answer.err
        assert "Traceback" not in answer.err
        for name in ("broken", "empty", "list", "foreign"):
            assert any(f"{name}/0123456789ab" in text for text in left)
        assert all(out in text for text in left), "told where it is, not where it is cached"


@pytest.mark.parametrize("said", [b'{"plan": []}', b'{"plan": {"study": {}, "service": "x"}}', b"[1]", b""])
def test_a_manifest_of_another_kind_is_left_out(said: bytes, shelf: Shelf, world: World) -> None:
    run = rankcast.run(study(world), shelf.out)
    shelf.files.delete_file(f"{shelf.place}/first/{run.id}/summary.json")
    shelf.write(f"first/{run.id}/manifest.json", said)
    shelf.move("other")
    answer = command("runs", "--out", shelf.out)
    assert (answer.code, answer.out) == (0, ""), answer.text
    assert answer.err.startswith("left out: ")


def test_objects_cannot_lead_out_of_the_cache(shelf: Shelf) -> None:
    """Whoever can write into the bucket cannot write beside the cache."""
    import urllib.request

    bucket, _, prefix = shelf.place.partition("/")
    for key in ("../outside/result.json", "../../outside/result.json", "study/../result.json"):
        put = urllib.request.Request(
            f"{shelf.url}/{bucket}/{prefix}/{key}".replace("..", "%2E%2E"), b"{}", method="PUT"
        )
        with urllib.request.urlopen(put, timeout=10):
            pass
    cache = shelf.move("deep/cache")
    command("runs", "--out", shelf.out)
    outside = [path for path in (shelf.folder / "deep").rglob("*") if path.is_file() and cache not in path.parents]
    assert outside == []
    home = open_store(shelf.out).cache  # type: ignore[attr-defined]
    assert [path for path in cache.rglob("*") if path.is_file() and home not in path.parents] == []
    shutil.rmtree(cache, ignore_errors=True)
