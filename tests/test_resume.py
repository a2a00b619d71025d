"""A run that is killed, interrupted or refused: nothing half-written is left, and what was done is taken up again."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

import rankcast
import rankcast.study
import tiny
from rankcast.progress import Progress
from rankcast.runs.folder import Run
from worlds import World

TESTS = Path(__file__).parent
ROWS, OTHER_ROWS = 60, 170  # of candidates in a shard, before and after
DAY = 24 * 3600
PATIENCE = 60

# `rankcast run` with small shards, which kills itself: `event N` before its Nth operation on files, `torn N` when half of its
# Nth file is written, `stage NAME` a moment after that stage has begun. It tells when it begins and how much it did.
DRIVER = """
import os, signal, sys, threading
from pathlib import Path
import polars as pl
import rankcast.cli.app, rankcast.study
from rankcast.cli import main

how, when, deadly = sys.argv[1], sys.argv[2], int(sys.argv[3])
rankcast.study.SHARD_ROWS = int(sys.argv[4])
done = {"event": 0, "torn": 0}
changes = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod"}

def end():
    os.kill(os.getpid(), deadly)

def count(what):
    done[what] += 1
    return what == how and done[what] == int(when)

def hook(event, args):
    writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
    if (writes or event in changes) and ".partial" in str(args[0]) and count("event"):
        end()

def torn(write):
    def wrapped(self, *args, **kwargs):
        path = Path(self if isinstance(self, Path) else args[0])
        answer = write(self, *args, **kwargs)
        if ".partial" in str(path) and count("torn"):
            os.truncate(path, path.stat().st_size // 2)
            end()
        return answer
    return wrapped

def staged(time):
    def wrapped(self, stage, work):
        if how == "stage" and stage == when:
            threading.Timer(0.005, end).start()
        return time(self, stage, work)
    return wrapped

pl.DataFrame.write_parquet = torn(pl.DataFrame.write_parquet)
Path.write_text = torn(Path.write_text)
rankcast.study.Clock.time = staged(rankcast.study.Clock.time)
sys.addaudithook(hook)
sys.argv = ["rankcast", "run", *sys.argv[5:]]
print("begun", flush=True)
try:
    main()
finally:
    print(done["event"], done["torn"], flush=True)
"""


def start(
    study: Path,
    out: Path,
    *more: str,
    die: tuple[str, str] = ("never", "0"),
    deadly: int = signal.SIGKILL,
    rows: int = ROWS,
    **environ: str,
) -> subprocess.Popen[str]:
    """`rankcast run` in a process of its own, which leads a group as a command in a terminal does."""
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, *die, str(deadly), str(rows), str(study), "--out", str(out), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=study.parent,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"} | environ,
        start_new_session=True,
    )


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it said."""

    code: int
    out: str
    err: str


def wait(process: subprocess.Popen[str], patience: float = PATIENCE) -> Ended:
    try:
        out, err = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"still running after {patience} seconds")
    assert "Traceback" not in err, err
    assert "bug in Rankcast" not in err, err
    return Ended(process.returncode, out, err)


class Listener(Progress):
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, stage: str, text: str) -> None:
        self.told.append(f"{stage}: {text}")

    @property
    def resumed(self) -> bool:
        return any("taking up an interrupted run" in line for line in self.told)


def finish(study: Path, out: Path, rows: int = ROWS, **more: Any) -> tuple[Run, Listener]:
    """The same run in this process."""
    listener = Listener()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rankcast.study, "SHARD_ROWS", rows)
        return rankcast.run(study, out, listener, **more), listener


def tables(run: Run) -> dict[str, list[str]]:
    """All rows of all tables, in an order that does not depend on shards."""
    return {
        name: sorted(getattr(run, name).write_ndjson().splitlines())
        for name in ("slates", "values", "labels", "replays")
    }


def files(folder: Path) -> set[str]:
    """Everything that lies below a folder; the names of shards aside, whose files must go together."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    shards = {name for name in found if "shard-" in name}
    stems = {Path(name).stem for name in shards}
    assert shards == {
        f"{place}/{stem}.{ending}"
        for stem in stems
        for place, ending in (("slates", "parquet"), ("replays", "parquet"), ("replays", "json"))
    }
    return found - shards


def assert_same(run: Run, whole: Run) -> None:
    """A run is what it would have been without the interruption, and nothing else lies beside it."""
    assert run.id == whole.id
    assert (run.folder / "result.json").read_bytes() == (whole.folder / "result.json").read_bytes()
    assert tables(run) == tables(whole)
    assert files(run.folder) == files(whole.folder)
    assert os.listdir(run.folder.parent) == [run.id]
    assert os.listdir(run.folder.parents[1]) == [run.folder.parent.name]
    assert run.manifest["work"]["shards"] == len(list((run.folder / "slates").iterdir()))


@dataclass(frozen=True)
class Whole:
    """A study with its uninterrupted run, and what that took."""

    study: Path
    run: Run
    events: int
    written: int
    seconds: float


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    knobs: dict[str, Any] = {
        "size": "full", "form": "mixed", "parts": True, "order": "mixed", "scores": "mixed",
        "candidates": "scored", "steps": 4, "arranging": 2, "log": "noisy", "own": True, "rivals": 1, "builtins": 1,
        "models": 1, "attribute": "last_request", "average": "user", "metrics": 3, "coverage": 1, "segments": 1,
    }  # fmt: skip
    (study,) = World(11, knobs).write(folder)
    process = start(study, folder / "runs")
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    begun = time.monotonic()
    ended = wait(process)
    seconds = time.monotonic() - begun
    events, written = map(int, ended.out.splitlines()[-1].split())
    (folder_of_run,) = (folder / "runs").glob("*/*")
    run = Run(folder_of_run)
    assert ended.code == run.exit_code()
    assert run.manifest["work"]["shards"] > 5
    return Whole(study, run, events, written, seconds)


def partials(out: Path) -> list[Path]:
    return sorted(out.glob("*/.*.partial"))


# --- Killed ---


@pytest.mark.parametrize("moment", [pytest.param(n, marks=[pytest.mark.slow] * (n >= 4)) for n in range(24)])
def test_killed_at_a_random_moment(moment: int, whole: Whole, tmp_path: Path) -> None:
    """By the clock, before a random operation on files, or with a random file half written."""
    chance = Random(moment)
    how = ("event", "torn", "clock")[moment % 3]
    die = (how, str(chance.randint(1, {"event": whole.events, "torn": whole.written}.get(how, 1))))
    process = start(whole.study, tmp_path, die=die)
    assert process.stdout is not None
    process.stdout.readline()
    if how == "clock":
        time.sleep(chance.uniform(0, whole.seconds))
        os.killpg(process.pid, signal.SIGKILL)
    ended = wait(process)
    assert ended.code == -signal.SIGKILL or how == "clock"
    run, _ = finish(whole.study, tmp_path)
    assert_same(run, whole.run)


@pytest.mark.parametrize("stage", ["load", "replay", "report"])
def test_killed_in_a_stage(stage: str, whole: Whole, tmp_path: Path) -> None:
    assert wait(start(whole.study, tmp_path, die=("stage", stage))).code == -signal.SIGKILL
    (partial,) = partials(tmp_path)
    finished = list((partial / "replays").glob("shard-*.json"))
    assert bool(finished) == (stage == "report")
    with pytest.MonkeyPatch.context() as patch:
        if stage == "report":  # all shards are done
            patch.setattr("rankcast.experiment.shard.reproduce", forbidden)
        run, listener = finish(whole.study, tmp_path)
    assert listener.resumed == bool(finished)
    assert_same(run, whole.run)


def test_killed_again_and_again(whole: Whole, tmp_path: Path) -> None:
    """Every attempt gets a little further; each is cut into other shards."""
    done = 0
    for attempt, rows in enumerate((ROWS, OTHER_ROWS)):
        assert wait(start(whole.study, tmp_path, die=("torn", "8"), rows=rows)).code == -signal.SIGKILL
        (partial,) = partials(tmp_path)
        shards = list((partial / "replays").glob("shard-*.json"))
        assert len(shards) > done, attempt
        done = len(shards)
    run, listener = finish(whole.study, tmp_path, rows=2 * OTHER_ROWS)
    assert listener.resumed
    assert_same(run, whole.run)


@pytest.mark.parametrize(("memory", "processes", "rows"), [(1, 1, OTHER_ROWS), (2_000_000_000, 2, ROWS)])
def test_resumed_with_other_means(memory: int, processes: int, rows: int, whole: Whole, tmp_path: Path) -> None:
    wait(start(whole.study, tmp_path, die=("torn", "8")))
    run, listener = finish(whole.study, tmp_path, rows=rows, memory=memory, processes=processes)
    assert listener.resumed
    assert_same(run, whole.run)


def forbidden(*_: Any, **__: Any) -> Any:
    raise AssertionError("replayed what was replayed before")


# --- A house with its own step, which waits or fails when so many shards are done ---

HOUSE = """
import os, pathlib, time

def keep(frame):
    folder = pathlib.Path(os.environ.get("HOUSE", "."))
    if (folder / "seen").exists():
        with (folder / "seen").open("a") as file:
            file.write("".join(f"{request} " for request in frame["request_id"]))
        time.sleep(float(os.environ.get("HOUSE_SLEEPS", "0")))
        done = len(list(folder.glob("runs/*/.*.partial/replays/shard-*.json")))
        if done >= int(os.environ.get("HOUSE_FAILS", "1000000")):
            raise ValueError("a hole in the wall")
        if done >= int(os.environ.get("HOUSE_WAITS", "1000000")):
            (folder / "waits").touch()
            for _ in range(600):
                time.sleep(0.05)
    return frame
"""


@dataclass(frozen=True)
class House:
    """The tiny service with a private step; each user is a shard."""

    folder: Path
    study: Path

    @property
    def out(self) -> Path:
        return self.folder / "runs"

    def start(self, *more: str, **environ: str) -> subprocess.Popen[str]:
        (self.folder / "seen").touch()
        return start(self.study, self.out, *more, rows=20, HOUSE=str(self.folder), **environ)

    def await_step(self) -> None:
        """Until the step waits."""
        end = time.monotonic() + PATIENCE
        while not (self.folder / "waits").exists():
            assert time.monotonic() < end, "the step was never called"
            time.sleep(0.02)

    def seen(self) -> set[str]:
        """The requests that the step saw; it forgets them."""
        seen = self.folder / "seen"
        found = set(seen.read_text().split())
        seen.write_text("")
        return found

    def shards(self) -> set[str]:
        return {path.stem for folder in partials(self.out) for path in (folder / "replays").glob("shard-*.json")}


@pytest.fixture
def house(tmp_path: Path) -> House:
    world = tiny.World(tmp_path).service("production", "steps", 1, to={"python": "house:keep"})
    world.service("targets", "where", to="NOT request.bot").write()
    (tmp_path / "house.py").write_text(HOUSE)
    return House(tmp_path, tmp_path / "study.yaml")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The house's run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    world = tiny.World(folder).service("production", "steps", 1, to={"python": "house:keep"})
    world.service("targets", "where", to="NOT request.bot").write()
    (folder / "house.py").write_text(HOUSE)
    wait(start(folder / "study.yaml", folder / "runs", rows=20))
    (found,) = (folder / "runs").glob("*/*")
    return Run(found)


def last_run(house: House) -> Run:
    """The one finished run."""
    (found,) = [path for path in house.out.glob("*/*") if not path.name.startswith(".")]
    return Run(found)


def send(process: subprocess.Popen[str], number: int, to_all: bool = False, patience: float = PATIENCE) -> Ended:
    os.killpg(process.pid, number) if to_all else os.kill(process.pid, number)
    return wait(process, patience)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_in_a_private_step(number: int, code: int, house: House, undisturbed: Run) -> None:
    """What is done stays; the next run takes it up."""
    process = house.start(HOUSE_WAITS="2")
    house.await_step()
    ended = send(process, number)
    assert ended.code == code, ended.err
    assert house.shards()
    house.seen()
    assert wait(house.start()).code == undisturbed.exit_code()
    assert house.seen() < set(undisturbed.slates["request_id"])
    assert_same(last_run(house), undisturbed)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_before_anything_is_done(number: int, code: int, whole: Whole, tmp_path: Path) -> None:
    ended = wait(start(whole.study, tmp_path / "runs", die=("stage", "load"), deadly=number))
    assert ended.code == code, ended.err
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(("number", "code", "to_all"), [(signal.SIGINT, 130, True), (signal.SIGTERM, 143, False)])
def test_interrupted_in_two_processes(number: int, code: int, to_all: bool, house: House, undisturbed: Run) -> None:
    """Ctrl-C tells every process of the group, a cluster only the first; all end at once and only the first says so."""
    process = house.start("--processes", "2", HOUSE_WAITS="1")
    house.await_step()
    ended = send(process, number, to_all=to_all, patience=15)
    assert ended.code == code, ended.err
    wait(house.start("--processes", "2"))
    assert_same(last_run(house), undisturbed)


def children(parent: int) -> list[int]:
    """The processes that a process started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def reaped() -> Iterator[list[int]]:
    """Processes that a test started and that must not outlive it."""
    started: list[int] = []
    yield started
    for process in filter(alive, started):
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes")
def test_killed_while_others_share_the_work(house: House, undisturbed: Run, reaped: list[int]) -> None:
    """Whoever worked for a killed run ends soon, before it writes into the folder of the run that takes it up."""
    process = house.start("--processes", "2", HOUSE_SLEEPS="0.04")
    end = time.monotonic() + PATIENCE
    while not house.shards() and time.monotonic() < end:
        time.sleep(0.02)
    reaped += children(process.pid)
    assert reaped
    os.kill(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)
    end = time.monotonic() + 5
    while any(map(alive, reaped)) and time.monotonic() < end:
        time.sleep(0.05)
    left = list(filter(alive, reaped))
    wait(house.start())
    assert_same(last_run(house), undisturbed)
    assert not left


def test_a_failing_step_keeps_what_is_done(house: House, undisturbed: Run) -> None:
    wait(house.start(HOUSE_FAILS="2"))
    ended = wait(house.start(HOUSE_FAILS="0"))
    assert ended.code == 2
    assert "house:keep" in ended.err
    assert "a hole in the wall" in ended.err
    kept = house.shards()
    assert 0 < len(kept) < undisturbed.manifest["work"]["shards"]
    house.seen()
    wait(house.start())
    assert house.seen() < set(undisturbed.slates["request_id"])
    assert_same(last_run(house), undisturbed)


def test_a_mended_step_begins_anew(house: House, undisturbed: Run) -> None:
    wait(house.start(HOUSE_FAILS="2"))
    kept = house.shards()
    house.seen()
    (house.folder / "house.py").write_text(HOUSE + "\n# mended\n")
    wait(house.start())
    assert house.seen() == set(undisturbed.slates["request_id"])
    run = last_run(house)
    assert run.id != undisturbed.id
    assert run.result.document()["results"] == undisturbed.result.document()["results"]
    assert tables(run) == tables(undisturbed)
    assert house.shards() == kept  # somebody may go back to it
    assert len(partials(house.out)) == 1


# --- Two at once ---


def test_the_same_study_twice_at_once(house: House, undisturbed: Run) -> None:
    both = [house.start(HOUSE_SLEEPS="0.01") for _ in range(2)]
    ended = [wait(process) for process in both]
    assert [one.code for one in ended] == [undisturbed.exit_code()] * 2
    assert sum("another process is running this study; waiting for it" in one.err for one in ended) == 1
    assert sum("this study ran before on the same data" in one.err for one in ended) == 1
    assert_same(last_run(house), undisturbed)


def test_who_waited_goes_on_where_the_other_was_killed(house: House, undisturbed: Run) -> None:
    first = house.start(HOUSE_WAITS="2")
    house.await_step()
    done = house.shards()
    assert done
    second = house.start()
    time.sleep(0.1)
    send(first, signal.SIGKILL)
    ended = wait(second)
    assert ended.code == undisturbed.exit_code()
    assert "taking up an interrupted run" in ended.err
    assert_same(last_run(house), undisturbed)


# --- An interrupted run meets a finished one with the same lists ---


@pytest.mark.parametrize("rows", [pytest.param(ROWS, marks=pytest.mark.slow), 100 * ROWS])
def test_interrupted_then_the_lists_are_there_from_elsewhere(rows: int, whole: Whole, tmp_path: Path) -> None:
    """The same study with another owner ran meanwhile, in shards of its own."""
    wait(start(whole.study, tmp_path, die=("torn", "20")))
    other = whole.study.with_name("other.yaml")
    other.write_text(whole.study.read_text() + "\nowner: somebody else\n")
    finish(other, tmp_path, rows=rows)
    run, _ = finish(whole.study, tmp_path)
    assert run.id == whole.run.id
    assert (run.folder / "result.json").read_bytes() == (whole.run.folder / "result.json").read_bytes()
    assert tables(run) == tables(whole.run)
    assert files(run.folder) == files(whole.run.folder)


def test_interrupted_while_lists_are_taken_over(whole: Whole, tmp_path: Path) -> None:
    other = whole.study.with_name("other.yaml")
    other.write_text(whole.study.read_text() + "\nowner: somebody else\n")
    finish(other, tmp_path, rows=OTHER_ROWS)
    wait(start(whole.study, tmp_path, die=("torn", "7")))
    run, listener = finish(whole.study, tmp_path)
    assert any("nothing is replayed" in line for line in listener.told)
    assert (run.folder / "result.json").read_bytes() == (whole.run.folder / "result.json").read_bytes()
    assert tables(run) == tables(whole.run)
    assert files(run.folder) == files(whole.run.folder)
    assert not partials(tmp_path)


# --- What nobody takes up ---


def abandoned(study: Path, name: str, days: float, lock: bool = True) -> Path:
    """What a killed run left some days ago."""
    partial = study / f".{name}.partial"
    (partial / "replays").mkdir(parents=True)
    (partial / "replays" / "shard-0000000001.json").write_text("{}")
    if lock:
        (partial / ".lock").touch()
    then = time.time() - days * DAY
    os.utime(partial, (then, then))
    return partial


def test_sweeping(tmp_path: Path) -> None:
    study = tmp_path / "runs" / "first"
    old, fresh = abandoned(study, "aaaaaaaaaaaa", 7.1), abandoned(study, "bbbbbbbbbbbb", 6.9)
    held, other = abandoned(study, "cccccccccccc", 30), abandoned(study.with_name("second"), "dddddddddddd", 30)
    with (held / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert tiny.World(tmp_path).write().run().code in (0, 3, 4)
        assert [path.exists() for path in (old, fresh, held, other)] == [False, True, True, True]
    assert len(list((fresh / "replays").iterdir())) == 1


def test_sweeping_what_was_killed_just_before_it_took_its_place(tmp_path: Path) -> None:
    old = abandoned(tmp_path / "runs" / "first", "aaaaaaaaaaaa", 7.1, lock=False)
    tiny.World(tmp_path).write().run()
    assert not old.exists()


# --- Bad data ---


def no_user(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(user_id=pl.lit(None, dtype=pl.String))


def twice(frame: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([frame, frame.tail(1)])


@pytest.mark.parametrize("out", ["runs", "some/where/else"])
@pytest.mark.parametrize(("table", "change"), [("requests", no_user), ("scores", twice)])
def test_bad_data_leave_nothing(
    table: str, change: Callable[[pl.DataFrame], pl.DataFrame], out: str, tmp_path: Path
) -> None:
    world = tiny.World(tmp_path).table(table, change).write()
    before = {str(path) for path in tmp_path.rglob("*")}
    tiny.assert_refused(tiny.rankcast("run", str(world.folder / "study.yaml"), "--out", str(tmp_path / out), "-q"))
    assert {str(path) for path in tmp_path.rglob("*")} == before


def test_bad_data_leave_what_others_left(tmp_path: Path) -> None:
    partial = abandoned(tmp_path / "runs" / "first", "aaaaaaaaaaaa", 1)
    tiny.assert_refused(tiny.World(tmp_path).table("scores", twice).write().run())
    assert os.listdir(tmp_path / "runs" / "first") == [partial.name]


@pytest.mark.slow
def test_an_interrupted_run_that_cannot_go_on_is_kept(whole: Whole, tmp_path: Path) -> None:
    """What was done is worth keeping, whatever goes wrong later."""
    wait(start(whole.study, tmp_path, die=("torn", "8")))
    (partial,) = partials(tmp_path)
    before = sorted(path.name for path in (partial / "replays").glob("shard-*.json"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rankcast.study, "write_reports", full_disk)
        with pytest.raises(OSError, match="disk"):
            finish(whole.study, tmp_path)
    after = sorted(path.name for path in (partial / "replays").glob("shard-*.json"))
    assert set(before) < set(after)
    run, _ = finish(whole.study, tmp_path)
    assert_same(run, whole.run)


def full_disk(*_: Any) -> None:
    raise OSError(28, "no room left on disk")


def test_result_json_is_written_once(whole: Whole) -> None:
    """What `assert_same` compares is there."""
    document = json.loads((whole.run.folder / "result.json").read_text())
    assert document["run"] == whole.run.id
    assert document["results"]["metrics"]
