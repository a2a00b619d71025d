"""Runs in a bucket when machines meet, lines are cut, and storage says no."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

import rankcast
import rankcast.study
from object_storage import Relay, Shelf, new_shelf, s3_fixture, s3_server, shelf_fixture  # noqa: F401 - fixtures
from rankcast.errors import RankcastError
from rankcast.runs.folder import Run
from rankcast.runs.objects import Bucket
from rankcast.runs.store import BucketStore, open_run
from test_store import Listener, listed, rows, study
from tiny import World, assert_refused
from tiny import rankcast as command

Item = TypeVar("Item")
ONE_EACH, ALL = 1, 4_000_000  # candidate rows of a shard: a user each, or everything in one


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path / "world")
    return made.service("targets", "where", to="NOT request.bot").write()


class Stops(Listener):
    """Is interrupted when so many shards are done; does something before that, if it is told to."""

    def __init__(self, after: int = 10**9, then: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.after, self.then, self.replayed = after, then, 0

    def track(self, stage: str, items: Iterable[Item], total: int) -> Iterator[Item]:
        for number, item in enumerate(items, 1):
            self.replayed += stage == "replay"
            yield item
            if stage == "replay" and number == self.after:
                self.then()
                raise KeyboardInterrupt

    @property
    def resumed(self) -> bool:
        return self.said("taking up an interrupted run")


def run(world: World, out: str | Path, cut: int = ALL, listener: Listener | None = None) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rankcast.study, "SHARD_ROWS", cut)
        return rankcast.run(study(world), out, listener)


def interrupt(world: World, out: str, cut: int, after: int = 1, then: Callable[[], object] = lambda: None) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(world, out, cut, Stops(after, then))


@pytest.fixture
def whole(world: World, tmp_path: Path) -> Run:
    """What the run is without any trouble."""
    return run(world, tmp_path / "whole")


def assert_same(shelf: Shelf, whole: Run) -> None:
    """A machine that knows nothing yet sees the whole run, each row once, and nothing is left aside."""
    shelf.move("stranger")
    found = open_run(whole.id, shelf.out)
    assert found.result == whole.result
    assert rows(found) == rows(whole)
    assert [key for key in shelf.names() if ".partial" in key] == []
    assert {key.split("/")[1] for key in shelf.names()} == {whole.id}
    assert found.manifest["work"]["shards"] == len(list((found.folder / "replays").glob("*.parquet")))


# --- Taken up elsewhere ---


@pytest.mark.parametrize("cuts", [(ONE_EACH, ONE_EACH), (ONE_EACH, ALL)])
def test_an_interrupted_run_is_taken_up_elsewhere(
    cuts: tuple[int, int], shelf: Shelf, world: World, whole: Run
) -> None:
    interrupt(world, shelf.out, cuts[0], after=2)
    assert listed(shelf.out) == []
    shelf.move("other")
    assert listed(shelf.out) == []
    taken = Stops()
    run(world, shelf.out, cuts[1], taken)
    assert taken.resumed
    assert taken.replayed == 2 + (2 if cuts[1] == ONE_EACH else 1)
    assert_same(shelf, whole)


def test_two_machines_left_shards_that_overlap(shelf: Shelf, world: World, whole: Run) -> None:
    """One was killed before it could put its shards aside, when its first was not done yet, as several processes have it; another
    cut the work otherwise, and was interrupted too.
    """
    here = shelf.move("one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bucket, "put", lambda *_: None)  # as SIGKILL has it
        interrupt(world, shelf.out, ONE_EACH, after=3)
    first, *others = sorted(here.rglob("replays/shard-*.json"))
    assert len(others) == 2
    first.unlink()
    shelf.move("two")
    interrupt(world, shelf.out, ALL, after=1)
    shelf.move("one")
    run(world, shelf.out, ONE_EACH)
    assert_same(shelf, whole)


# --- Two at once ---


@pytest.mark.parametrize("cuts", [(ONE_EACH, ONE_EACH), (ONE_EACH, ALL), (ALL, ONE_EACH)])
def test_two_machines_write_a_run_at_the_same_time(
    cuts: tuple[int, int], shelf: Shelf, world: World, whole: Run
) -> None:
    """The second is done while the first is in the middle."""

    class Meets(Stops):
        def note(self, stage: str, text: str) -> None:
            super().note(stage, text)
            if stage == "label" and "done in" in text:
                shelf.move("second")
                run(world, shelf.out, cuts[1])
                shelf.move("first")

    shelf.move("first")
    found = run(world, shelf.out, cuts[0], Meets())
    assert found.result == whole.result
    assert rows(found) == rows(whole)
    assert_same(shelf, whole)


@pytest.mark.parametrize("same_machine", [True, False])
def test_the_other_is_done_when_one_begins(
    same_machine: bool, shelf: Shelf, world: World, whole: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look whether the run is there, and the work."""
    looked, get = [], BucketStore.get

    def late(self: BucketStore, one: str, name: str) -> Run | None:
        found = get(self, one, name)
        if not looked:
            looked.append(found)
            shelf.move("cache" if same_machine else "second")
            run(world, shelf.out)
            shelf.move("cache")
        return found

    monkeypatch.setattr(BucketStore, "get", late)
    listener = Listener()
    found = run(world, shelf.out, ALL, listener)
    assert looked == [None]
    assert found.result == whole.result
    assert rows(found) == rows(whole)
    assert_same(shelf, whole)


@pytest.mark.slow
def test_two_processes_on_one_machine(shelf: Shelf, world: World, whole: Run) -> None:
    call = [sys.executable, "-m", "rankcast", "run", str(study(world)), "--out", shelf.out]
    both = [
        subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=world.folder)
        for _ in range(2)
    ]
    ended = [one.communicate(timeout=120) for one in both]
    assert [one.returncode for one in both] == [whole.exit_code()] * 2, ended
    assert_same(shelf, whole)


# --- Gone, and made again ---


def test_removed_from_the_bucket(shelf: Shelf, world: World, whole: Run) -> None:
    run(world, shelf.out)
    shelf.remove(f"first/{whole.id}")
    assert_refused(command("report", whole.id, "--out", shelf.out), "no run")
    assert listed(shelf.out) == []
    listener = Stops()
    run(world, shelf.out, ALL, listener)
    assert listener.replayed == 1
    assert_same(shelf, whole)


def test_removed_and_made_again_elsewhere(shelf: Shelf, world: World, whole: Run) -> None:
    """What this machine remembers is of another making: its shards are cut otherwise."""
    shelf.move("one")
    assert rows(run(world, shelf.out, ONE_EACH)) == rows(whole)
    shelf.remove(f"first/{whole.id}")
    shelf.move("two")
    run(world, shelf.out, ALL)
    shelf.move("one")
    again = open_run(whole.id, shelf.out)
    assert rows(again) == rows(whole)
    assert again.manifest["work"]["shards"] == 1
    assert_same(shelf, whole)


# --- Cut lines ---


@pytest.fixture
def relay(s3: str, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    made = Relay(s3)
    monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize("sent", [0.05, 0.3, 0.6, 0.9, 0.98])
@pytest.mark.parametrize("machine", ["cache", "other"])
def test_an_upload_that_is_interrupted(
    machine: str, sent: float, shelf: Shelf, relay: Relay, world: World, whole: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(path.stat().st_size for path in whole.folder.rglob("*") if path.is_file())
    put = Bucket.put

    def cut(self: Bucket, pairs: Iterable[tuple[Path, str]]) -> None:
        wanted = list(pairs)
        if relay.left == float("inf") and any(".partial/" not in key for _, key in wanted):
            relay.left = sent * size
        put(self, wanted)

    monkeypatch.setattr(Bucket, "put", cut)
    answer = command("run", str(study(world)), "--out", shelf.out, "--quiet")
    assert_refused(answer, shelf.out)
    monkeypatch.setattr(Bucket, "put", put)
    relay.left = float("inf")
    shelf.move("reader")
    assert listed(shelf.out) == []
    assert_refused(command("report", whole.id, "--out", shelf.out), "no run")
    shelf.move(machine)
    taken = Stops()
    run(world, shelf.out, ONE_EACH if machine == "other" else ALL, taken)
    found = taken.said("ran before on the same data")  # the last object came through, and the answer did not
    assert found or taken.resumed == (machine == "cache")
    assert_same(shelf, whole)


@pytest.mark.slow
def test_the_line_is_cut_while_a_run_works(shelf: Shelf, relay: Relay, world: World, whole: Run) -> None:
    """The work is done and kept; what cannot be put aside is told of at the end."""
    with pytest.raises(RankcastError, match="cannot"):
        run(world, shelf.out, ONE_EACH, Cuts(relay))
    relay.left = float("inf")
    taken = Stops()
    run(world, shelf.out, ONE_EACH, taken)
    assert taken.resumed
    assert_same(shelf, whole)


@pytest.mark.slow
@pytest.mark.parametrize("size", [100, 20_000, 3_000_000])
@pytest.mark.parametrize("sent", [10, 600, 5_000, 20_000, 1_000_000])
def test_a_cut_upload_is_always_told(sent: int, size: int, shelf: Shelf, relay: Relay, tmp_path: Path) -> None:
    """Or the object is there, whole."""
    (tmp_path / "file").write_bytes(b"x" * size)
    relay.left = sent
    told = False
    try:
        Bucket(shelf.out).put([(tmp_path / "file", "key")])
    except RankcastError:
        told = True
    assert told or shelf.names() == ["key"]
    if not told:
        assert len(shelf.read("key")) == size


class Forgetful:
    """Storage that loses the end of everything, and says nothing."""

    def __init__(self) -> None:
        self.kept: dict[str, int] = {}

    def open_output_stream(self, path: str) -> Any:
        def write(piece: bytes) -> None:
            self.kept[path] = len(piece) // 2

        return nullcontext(SimpleNamespace(write=write))

    def get_file_info(self, path: str) -> Any:
        return SimpleNamespace(size=self.kept[path])


def test_an_upload_that_storage_cut_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1_000)
    bucket = Bucket("s3://bucket/runs")
    bucket.__dict__["_files"] = Forgetful()
    with pytest.raises(RankcastError, match="500 bytes are there of 1000"):
        bucket.put([(tmp_path / "file", "key")])


class Cuts(Listener):
    """Cuts the line when the replay is over."""

    def __init__(self, relay: Relay) -> None:
        super().__init__()
        self.relay = relay

    def note(self, stage: str, text: str) -> None:
        if stage == "replay":
            self.relay.cut()


def test_an_upload_that_stopped_half_way_is_seen_by_nobody(shelf: Shelf, world: World, whole: Run) -> None:
    """Others see the run when it is whole, and then without what the first attempt left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bucket, "put", _all_but_the_last())
        shelf.move("first")
        with pytest.raises(OSError, match="the plug"):
            run(world, shelf.out, ONE_EACH)
    assert [key for key in shelf.names() if "/slates/" in key]
    assert listed(shelf.out) == []
    shelf.move("second")
    run(world, shelf.out, ALL)
    assert_same(shelf, whole)


def _all_but_the_last() -> Callable[..., None]:
    put = Bucket.put

    def some(self: Bucket, pairs: Iterable[tuple[Path, str]]) -> None:
        wanted = list(pairs)
        if [key for _, key in wanted if key.endswith("/result.json")]:
            raise OSError("somebody pulled the plug")
        put(self, wanted)

    return some


# --- Storage says no ---


def refused(world: World, out: str, *said: str) -> None:
    """Every command says so, and none of them calls it a bug."""
    for arguments in (
        ("run", str(study(world)), "--out", out, "--quiet"),
        ("runs", "--out", out),
        ("runs", "--out", out, "--json"),
        ("report", "abc", "--out", out),
        ("compare", "abc", "abd", "--out", out),
    ):
        assert_refused(command(*arguments), *said)


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("gs://bucket/x", "expected a folder or s3://bucket/prefix, found gs://bucket/x"),
        ("https://bucket/x", "expected a folder or s3://"),
        ("S3://nobody-has-this/x", "there is no such bucket"),
        ("s3://", "expected s3://bucket/prefix"),
        ("s3:///x", "expected s3://bucket/prefix"),
        ("s3://b?x=1", "s3://b?x=1"),
        ("s3://b/x#y", "s3://b/x#y"),
        ("s3://b:9000/x", "AWS_* variables"),
        ("s3://user:hunter22@b/x", "AWS_* variables"),
        ("s3://{bucket}/a//c", "s3://"),
        ("s3://nobody-has-this/x", "there is no such bucket"),
    ],
)
def test_bad_addresses(out: str, said: str, shelf: Shelf, world: World) -> None:
    out = out.replace("{bucket}", shelf.place.split("/")[0])
    refused(world, out, said)
    assert "hunter22" not in command("runs", "--out", out).text


@pytest.mark.slow
def test_nobody_answers(shelf: Shelf, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    refused(world, shelf.out, shelf.out, "cannot")


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9000", "localhost:9000", "ftp://localhost", "http://"])
def test_an_endpoint_that_is_none(endpoint: str, shelf: Shelf, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert_refused(command("runs", "--out", shelf.out), "AWS_ENDPOINT_URL")


@pytest.mark.slow
def test_credentials_are_refused(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server(tmp_path, INITIAL_NO_AUTH_ACTION_COUNT="0") as url:
        shelf = new_shelf(url, tmp_path, monkeypatch, make=False)
        refused(world, shelf.out, shelf.out, "credentials")


def test_pyarrow_is_missing(shelf: Shelf, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "pyarrow" or name.startswith("pyarrow.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refused(world, shelf.out, "rankcast[s3]")


def test_the_cache_cannot_be_written(shelf: Shelf, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is this machine that is at fault, not the bucket."""
    run(world, shelf.out)
    file = shelf.folder / "file"
    file.write_text("")
    monkeypatch.setenv("RANKCAST_CACHE", str(file / "cache"))
    (one,) = listed(shelf.out)
    for arguments in (("report", one["run"], "--out", shelf.out), ("run", str(study(world)), "--out", shelf.out)):
        assert_refused(command(*arguments), str(file))


def test_several_readers_at_once(shelf: Shelf, world: World, whole: Run) -> None:
    run(world, shelf.out, ONE_EACH)
    for machine in range(5):
        shelf.move(f"other-{machine}")
        found = open_run(whole.id, shelf.out)
        with ThreadPoolExecutor(4) as pool:
            read = [pool.submit(rows, found) for _ in range(4)]
        assert [one.result() for one in read] == [rows(whole)] * 4


def test_a_run_is_opened_by_several_at_once(shelf: Shelf, world: World, whole: Run) -> None:
    run(world, shelf.out)
    for machine in range(20):
        shelf.move(f"other-{machine}")
        with ThreadPoolExecutor(8) as pool:
            opened = [pool.submit(open_run, whole.id, shelf.out) for _ in range(8)]
        for one in opened:
            assert one.result().result == whole.result
            assert one.result().manifest["plan"] == whole.manifest["plan"]
            assert one.result().report.is_file()


def test_what_was_taken_up_is_not_put_aside_again(shelf: Shelf, world: World, whole: Run) -> None:
    interrupt(world, shelf.out, ONE_EACH, after=2)
    shelf.move("other")
    interrupt(world, shelf.out, ONE_EACH, after=3)
    aside = [key for key in shelf.names() if ".partial/" in key and "/replays/" in key and key.endswith(".json")]
    assert len(aside) == len({Path(key).name for key in aside}) == 3
    shelf.move("third")
    run(world, shelf.out, ONE_EACH)
    assert_same(shelf, whole)


def test_an_object_that_is_cut_is_told(shelf: Shelf, world: World, whole: Run) -> None:
    run(world, shelf.out)
    (key,) = [key for key in shelf.names() if "/slates/" in key]
    shelf.write(key, shelf.read(key)[:100])
    shelf.move("other")
    with pytest.raises(RankcastError, match="slates cannot be read"):
        _: Any = open_run(whole.id, shelf.out).slates
