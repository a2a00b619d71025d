"""The command of a pod, really run: evicted in the middle of a replay, taken up by another pod with an empty disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import rankcast
from kubernetes_server import Json, KubernetesServer, PodScript, Write
from object_storage import Shelf, environ, s3_fixture, shelf_fixture  # noqa: F401 - fixtures
from rankcast.cluster.submit import prepare
from rankcast.runs.folder import Run
from rankcast.runs.store import open_run
from test_cluster import expanded
from test_cluster_follow import log_of, told, use
from test_store import listed, rows
from tiny import World, assert_refused
from tiny import rankcast as command

ROWS = 1  # candidate rows of a shard: each user is one
PATIENCE = 60

# `rankcast` as the image has it, with small shards; it waits before every shard when it is told to, and notes who it replays.
RANKCAST = f"""#!{sys.executable}
import os, sys, time
from pathlib import Path
import rankcast.experiment.shard as shard
import rankcast.study
from rankcast.cli import main

rankcast.study.SHARD_ROWS = {ROWS}
reproduce = shard.reproduce

def slowly(*args, **kwargs):
    time.sleep(float(os.environ.get("SLOWLY", "0")))
    with open(os.environ["NOTES"], "a") as notes:
        notes.write("replayed\\n")
    return reproduce(*args, **kwargs)

shard.reproduce = slowly
main()
"""


@dataclass
class Kubelet:
    """Runs the container of a Job as a process, each time on a disk of its own."""

    folder: Path
    server: KubernetesServer
    variables: dict[str, str]
    evict_after: list[int | None] = field(default_factory=list)  # shards that an attempt finishes before it must go
    grace: float = 20.0
    attempts: int = 0

    def __call__(self, job: Json, write: Write) -> tuple[int, str]:
        disk = self.folder / f"node-{self.attempts}"
        evict = self.evict_after[self.attempts] if self.attempts < len(self.evict_after) else None
        self.attempts += 1
        for place in ("study", "scratch", "dev"):
            (disk / place).mkdir(parents=True)
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        self._mount(pod, disk / "study")
        (disk / "dev" / "termination-log").touch()

        def here(text: str) -> str:
            for place in ("/study", "/scratch", "/dev/termination-log"):
                if text == place or text.startswith(f"{place}/"):
                    return str(disk) + text
            return text

        env = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}
        env |= {one["name"]: here(expanded(one["value"], env)) for one in container["env"] if "value" in one}
        env |= self.variables | {"NOTES": str(disk / "notes")} | ({"SLOWLY": "0.5"} if evict else {})
        call = [*container["command"], *(here(expanded(one, env)) for one in container["args"])]
        process = subprocess.Popen(
            call, env=env, cwd=here(container["workingDir"]), text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        if evict:
            self._evict(process, disk, evict)
        for line in process.stdout:
            write(line.rstrip("\n"))
        code = process.wait(PATIENCE)
        return (128 - code if code < 0 else code), (disk / "dev" / "termination-log").read_text()

    def replays(self, attempt: int) -> int:
        """How many shards an attempt replayed."""
        notes = self.folder / f"node-{attempt}" / "notes"
        return len(notes.read_text().splitlines()) if notes.exists() else 0

    def _mount(self, pod: Json, place: Path) -> None:
        for volume in pod["volumes"]:
            if "configMap" in volume:
                data = self.server.configmap(volume["configMap"]["name"])["data"]
                for item in volume["configMap"]["items"]:
                    (place / item["path"]).parent.mkdir(parents=True, exist_ok=True)
                    (place / item["path"]).write_text(data[item["key"]], encoding="utf-8")

    def _evict(self, process: subprocess.Popen[str], disk: Path, after: int) -> None:
        """SIGTERM, and SIGKILL when the grace is over, as a kubelet does."""
        end = time.monotonic() + PATIENCE
        while len(list((disk / "scratch").rglob("replays/shard-*.json"))) < after:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < end, "it never came so far"
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(self.grace)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture
def kubelet(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubelet]:
    quick = SimpleNamespace(sleep=lambda seconds: time.sleep(min(0.3, seconds / 20)))
    monkeypatch.setattr("rankcast.cluster.follow.time", quick)
    monkeypatch.setattr("rankcast.cluster.client.time", quick)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "rankcast").write_text(RANKCAST)
    (tmp_path / "bin" / "rankcast").chmod(0o755)
    with KubernetesServer() as server:
        use(server.kubeconfig(tmp_path), monkeypatch)
        yield Kubelet(tmp_path, server, environ(shelf.url))


@pytest.fixture
def world(tmp_path: Path, shelf: Shelf) -> World:
    """The tiny service, with its data where a volume would be."""
    made = World(tmp_path / "world")
    for document in (made.service_document, made.study_document):
        moved = json.loads(json.dumps(document).replace('"data/', f'"{tmp_path}/world/data/'))
        document.clear()
        document.update(moved)
    made.service("targets", "where", to="NOT request.bot")
    return made.service("submit", to={"image": "registry/rankcast:1", "out": shelf.out, "env": {"MODE": "on"}}).write()


@pytest.fixture
def whole(world: World, tmp_path: Path) -> Run:
    """The same study, undisturbed on this machine."""
    return rankcast.run(world.folder / "study.yaml", tmp_path / "whole")


def submit(world: World, *more: str) -> Any:
    return command("submit", str(world.folder / "study.yaml"), *more)


def results_of(document: bytes) -> str:
    return json.dumps(json.loads(document)["results"], ensure_ascii=False)


def assert_same(shelf: Shelf, whole: Run) -> None:
    (result,) = [key for key in shelf.names() if key.endswith("result.json")]
    assert results_of(shelf.read(result)) == results_of((whole.folder / "result.json").read_bytes())
    shelf.move("another")
    assert rows(open_run(result.split("/")[1], shelf.out)) == rows(whole)


@pytest.mark.slow
@pytest.mark.parametrize("evicted", [1, 3])
def test_evicted_and_taken_up(evicted: int, kubelet: Kubelet, world: World, whole: Run, shelf: Shelf) -> None:
    kubelet.evict_after = [evicted]
    kubelet.server.script = [PodScript(run=kubelet, evicted=True), PodScript(run=kubelet)]
    answer = submit(world)
    assert answer.code == whole.exit_code(), answer.text
    assert kubelet.attempts == 2
    assert kubelet.replays(0) == evicted
    assert kubelet.replays(1) == 4 - evicted  # a shard a user
    assert "taking up an interrupted run" in answer.err
    assert "Evicted" in told(answer)
    assert f"run: {shelf.out}/first/{whole.id}\n" in answer.out
    assert answer.out.startswith("new: ")
    assert_same(shelf, whole)
    assert [key for key in shelf.names() if ".partial" in key] == []
    assert (kubelet.folder / "node-0" / "dev" / "termination-log").read_text() == ""
    shelf.move("cache")
    again = submit(world)
    assert (again.code, again.out) == (answer.code, answer.out)
    assert kubelet.attempts == 2


@pytest.mark.slow
def test_evicted_without_grace(
    kubelet: Kubelet, world: World, whole: Run, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """What was not put aside is lost, and nothing else."""
    kubelet.evict_after, kubelet.grace = [2], 0.0
    kubelet.server.script = [PodScript(run=kubelet, evicted=True), PodScript(run=kubelet)]
    answer = submit(world)
    assert answer.code == whole.exit_code(), answer.text
    assert kubelet.attempts == 2
    assert_same(shelf, whole)


@pytest.mark.slow
def test_one_pod_does_it(kubelet: Kubelet, world: World, whole: Run, shelf: Shelf) -> None:
    """The run in the bucket is that of this machine, found by it and by the next pod."""
    kubelet.server.script = [PodScript(run=kubelet)]
    answer = submit(world, "--json")
    assert answer.code == whole.exit_code(), answer.text
    assert results_of(answer.out.encode()) == results_of((whole.folder / "result.json").read_bytes())
    assert [one["run"] for one in listed(shelf.out)] == [whole.id]
    assert kubelet.replays(0) == 4
    assert any("replay  done in" in line for line in log_of(answer))
    words = json.loads((kubelet.folder / "node-0" / "dev" / "termination-log").read_text())
    assert (words["study"], words["run"]) == ("first", whole.id)
    again = submit(world, "--again")
    assert again.code == whole.exit_code()
    assert kubelet.attempts == 2
    assert kubelet.replays(1) == 0
    assert "ran before on the same data" in again.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda world: world.data("requests").unlink(), "requests"),
        (
            lambda world: world.study("period", to={"from": "2020-01-01", "to": "2020-01-08"}).write(),
            "no request is left",
        ),
    ],
)
def test_wrong_input(change: Callable[[World], Any], said: str, kubelet: Kubelet, world: World) -> None:
    change(world)
    kubelet.server.script = [PodScript(run=kubelet)]
    answer = submit(world)
    assert_refused(answer, said, "--again")
    assert kubelet.attempts == 1


@pytest.mark.slow
def test_no_bucket(kubelet: Kubelet, world: World) -> None:
    kubelet.server.script = [PodScript(run=kubelet)]
    world.service("submit", "out", to="s3://nobody-has-this/runs").write()
    assert_refused(submit(world), "there is no such bucket")
    assert kubelet.attempts == 1


@pytest.mark.slow
def test_the_submitter_may_not_read_the_bucket(
    kubelet: Kubelet, world: World, whole: Run, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """The pod has said what the verdict is; who sent it need not have rights on the bucket."""
    kubelet.server.script = [PodScript(run=kubelet)]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    answer = submit(world)
    assert answer.code == whole.exit_code(), answer.text
    assert "new: " in answer.out
    assert f"{shelf.out}/first/{whole.id}" in answer.out


# --- Last words ---


def test_last_words(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "epitaph"
    monkeypatch.setenv("RANKCAST_EPITAPH", str(place))
    answer = world.run("--exit-zero")
    assert answer.code == 0
    told_of = json.loads(place.read_text())
    assert told_of["study"] == "first"
    assert set(told_of["decision"]) == {"new"}
    assert world.run().code != 0
    assert json.loads(place.read_text()) == told_of
    assert_refused(world.study("seed", to="x").write().run("--exit-zero"))
    assert "seed" in place.read_text()
    monkeypatch.setenv("RANKCAST_EPITAPH", str(tmp_path / "no" / "such" / "place"))
    assert world.run("--exit-zero").code == 2


def test_last_words_of_many_variants_can_be_read(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster keeps 4,096 bytes; what is cut there must still say which run it was."""
    monkeypatch.setenv("RANKCAST_EPITAPH", str(tmp_path / "epitaph"))
    for number in range(20):
        world.study("variants", f"{'求' * 90}{number}", to={"scores": {"path": str(world.data("scores"))}})
    answer = world.write().run("--exit-zero")
    assert answer.code == 0, answer.text
    words = (tmp_path / "epitaph").read_bytes()
    assert len(words) <= 4096
    (run,) = (tmp_path / "world" / "runs" / "first").iterdir()
    assert json.loads(words)["run"] == run.name


def test_the_words_of_an_error_show_no_value(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKCAST_EPITAPH", str(tmp_path / "epitaph"))
    monkeypatch.setenv("PLACE", str(tmp_path / "hunter22"))
    world.study("variants", "new", "scores", "path", to="${PLACE}/new.parquet").write()
    assert_refused(world.run(), "${PLACE}")
    words = (tmp_path / "epitaph").read_text()
    assert "hunter22" not in words
    assert "${PLACE}" in words


def test_the_pod_does_what_the_manifest_says(world: World) -> None:
    """The kubelet above is worth nothing if the manifest keeps what it needs elsewhere."""
    job = prepare(world.folder / "study.yaml").documents[-1]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    env = {one["name"]: one["value"] for one in container["env"]}
    assert container["command"] == ["rankcast"]
    assert env["RANKCAST_EPITAPH"] == container["terminationMessagePath"]
    assert env["RANKCAST_CACHE"].startswith("/scratch")
    assert "--exit-zero" in container["args"]
