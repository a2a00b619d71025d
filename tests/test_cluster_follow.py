"""A Job created and followed to its verdict: logs, pods that wait, fail and are replaced, and clusters that say no."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from kubernetes_server import NAMESPACE, KubernetesServer, PodScript, _Cluster
from rankcast.cluster.client import Cluster
from rankcast.cluster.follow import Follower
from rankcast.cluster.submit import outcome, prepare, send
from rankcast.errors import RunError
from test_cluster import cluster_world, submit
from tiny import Outcome, World, assert_refused

RUN = "0123456789ab"
LINES = ("    load  requests: 12 rows", "   label  8 of 12 requests", "  replay  done in 0.1 s", "求人 \x1b[31mred")
SHOWN = [*LINES[:3], "求人"]


def words(**decision: str) -> str:
    return json.dumps({"study": "first", "run": RUN, "decision": decision or {"new": "go"}}, ensure_ascii=False)


def ends(**more: Any) -> PodScript:
    """A pod that does its work."""
    return PodScript(**{"log": LINES, "termination_message": words(), **more})


@pytest.fixture(name="server")
def server_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesServer]:
    """An API server that the kubeconfig points to; whoever waits for it waits shorter than it would."""
    quick = SimpleNamespace(sleep=lambda seconds: time.sleep(min(0.3, seconds / 20)))
    monkeypatch.setattr("rankcast.cluster.follow.time", quick)
    monkeypatch.setattr("rankcast.cluster.client.time", quick)
    with KubernetesServer([ends()]) as made:
        use(made.kubeconfig(tmp_path), monkeypatch)
        yield made


def use(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client looks at the variable once a process, when it is imported."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))


@pytest.fixture(name="world")
def world_fixture(tmp_path: Path) -> World:
    volume = {"claim": "runs", "mount": "/runs", "read_only": False}
    return cluster_world(tmp_path / "world", out="/runs/home", volumes=[volume])


def name_of(world: World) -> str:
    return prepare(world.write(data=False).folder / "study.yaml").name


def log_of(answer: Outcome) -> list[str]:
    return [line for line in answer.err.splitlines() if not line.startswith("  submit  ")]


def told(answer: Outcome) -> str:
    return "\n".join(line for line in answer.err.splitlines() if line.startswith("  submit  "))


def assert_done(answer: Outcome, code: int = 0) -> None:
    assert answer.code == code, answer.text
    assert "new: go" in answer.out
    assert f"run: /runs/home/first/{RUN}\n" in answer.out


# --- Created and followed ---


def test_created_and_followed(server: KubernetesServer, world: World) -> None:
    answer = submit(world)
    assert_done(answer)
    name = name_of(world)
    job, config = server.job(name), server.configmap(name)
    sent = {one.body["kind"]: one.body for one in server.requests if one.method == "POST"}
    assert list(sent) == ["ConfigMap", "Job"]
    assert [sent["ConfigMap"], sent["Job"]] == list(yaml.safe_load_all(submit(world, "--dry-run").out))
    (owner,) = config["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", name, job["metadata"]["uid"])
    assert log_of(answer)[:3] == SHOWN[:3]
    assert log_of(answer)[3].startswith("求人")
    assert "\x1b" not in answer.err
    assert f"job/{name} in namespace {NAMESPACE}: created" in told(answer)
    assert len(server.pods(name)) == 1


@pytest.mark.parametrize(
    ("decision", "code"),
    [
        ({"a": "go", "b": "go"}, 0),
        ({"a": "go", "b": "no-go"}, 3),
        ({"a": "no-go", "b": "undecided"}, 3),
        ({"a": "undecided", "b": "go"}, 4),
        ({"a": "invalid", "b": "no-go", "c": "undecided"}, 5),
    ],
)
def test_the_exit_code_is_the_verdict(
    decision: dict[str, str], code: int, server: KubernetesServer, world: World
) -> None:
    server.script = [ends(termination_message=words(**decision))]
    answer = submit(world)
    assert answer.code == code
    for name, word in decision.items():
        assert f"{name}: {word}\n" in answer.out
    as_json = submit(world, "--json")
    assert as_json.code == code
    assert json.loads(as_json.out) == {"study": "first", "run": RUN, "decision": decision}


@pytest.mark.parametrize("dropped", [{}, {"drop_log": True}, {"drop_cleanly": True}])
@pytest.mark.parametrize("lag", [0.0, 0.4])
def test_every_line_is_shown_once(dropped: dict[str, bool], lag: float, server: KubernetesServer, world: World) -> None:
    lines = [f"line {number}" + " ." * (number % 7) for number in range(200)]
    server.script = [ends(log=lines, line_delay=0.002, status_lag=lag, **dropped)]
    answer = submit(world)
    assert_done(answer)
    assert log_of(answer) == lines


@pytest.mark.parametrize("cleanly", [True, False])
def test_a_line_that_is_cut_in_its_middle(cleanly: bool, server: KubernetesServer, tmp_path: Path) -> None:
    """The connection ends within a line, and the line comes whole the next time."""
    whole = "one\ntwo 求\nthree\n".encode()
    parts = [[whole[:9]], [whole[:5], whole[5:10], whole[10:]]]
    pods = [
        {"metadata": {"name": "p", "creationTimestamp": "1"}, "status": {"phase": phase}}
        for phase in ("Running", "Succeeded")
    ]
    jobs: list[dict[str, Any]] = [{}, {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}]

    class Answer:
        def __init__(self, chunks: list[bytes]) -> None:
            self.chunks = chunks

        def stream(self) -> Iterator[bytes]:
            yield from self.chunks
            if self.chunks is first and not cleanly:
                raise OSError("reset by peer")

        def release_conn(self) -> None:
            """Nothing is held."""

    first = parts[0]

    class Here(Cluster):
        def job(self, name: str) -> dict[str, Any]:
            return jobs.pop(0)

        def pods(self, job: str) -> list[dict[str, Any]]:
            return [pods[0] if len(jobs) else pods[1]]

    core = SimpleNamespace(
        read_namespaced_pod_log=lambda *_, **__: Answer(parts.pop(0) if len(parts) > 1 else parts[0])
    )
    lines: list[str] = []
    Follower(Here("n", None, core), "j", lambda _: None, lines.append).follow()
    assert lines == ["one", "two 求", "three"]


@pytest.mark.parametrize(
    "script",
    [
        {"waiting_reason": "ImagePullBackOff", "waiting_message": 'Back-off pulling image "registry/rankcast:1"'},
        {"waiting_reason": "Unschedulable", "waiting_message": "0/3 nodes are available: 3 Insufficient memory."},
        {"waiting_reason": "CreateContainerConfigError", "waiting_message": 'secret "warehouse" not found'},
        {"waiting_reason": "ContainerCreating", "waiting_message": ""},
    ],
)
def test_why_a_pod_waits_is_told(script: dict[str, str], server: KubernetesServer, world: World) -> None:
    server.script = [ends(pending_for=0.6, **script)]
    answer = submit(world)
    assert_done(answer)
    assert told(answer).count(script["waiting_reason"]) == 1, "once, not with every look"
    assert script["waiting_message"] in told(answer)


def test_what_the_cluster_warns_of_is_told(server: KubernetesServer, world: World) -> None:
    server.script = [
        ends(pending_for=0.4, waiting_reason="PodInitializing", events=[("FailedMount", 'secret "x" not found')])
    ]
    answer = submit(world)
    assert_done(answer)
    assert 'FailedMount: secret "x" not found' in told(answer)
    server.refuse("GET", "events", 403)
    assert_done(submit(world, "--again"))


def test_a_job_that_gets_no_pod_says_why(
    server: KubernetesServer, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quota, an unknown service account, a policy: the cluster makes no pod, and says so of the Job."""
    attempts = _Cluster._attempts

    def late(self: _Cluster, run: Any, job: Any) -> None:
        job["status"] = {}
        self.event(job, "Job", "FailedCreate", "pods is forbidden: exceeded quota: compute")
        self._pause(run, 1.0)
        attempts(self, run, job)

    monkeypatch.setattr(_Cluster, "_attempts", late)
    answer = submit(world)
    assert_done(answer)
    assert "exceeded quota: compute" in told(answer)


# --- Once more ---


def test_the_same_again_follows(server: KubernetesServer, world: World) -> None:
    first, second = submit(world), submit(world)
    assert_done(second)
    assert first.out == second.out
    assert log_of(first) == log_of(second)
    assert "is there already" in told(second)
    name = name_of(world)
    assert len(server.pods(name)) == 1
    (owner,) = server.configmap(name)["metadata"].get("ownerReferences") or [{}]
    assert owner.get("uid") == server.job(name)["metadata"]["uid"], "or the ConfigMap stays when the Job goes"


def test_an_answer_that_got_lost(server: KubernetesServer, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Job was made, but the answer said 504: it is ours all the same, with its files."""
    from kubernetes.client import BatchV1Api
    from kubernetes.client.exceptions import ApiException

    create, lost = BatchV1Api.create_namespaced_job, []

    def loses(self: Any, *args: Any, **kwargs: Any) -> Any:
        answer = create(self, *args, **kwargs)
        if not lost:
            lost.append(answer)
            raise ApiException(status=504, reason="Gateway Timeout")
        return answer

    monkeypatch.setattr(BatchV1Api, "create_namespaced_job", loses)
    assert_done(submit(world))
    (owner,) = server.configmap(name_of(world))["metadata"].get("ownerReferences") or [{}]
    assert owner.get("uid") == server.job(name_of(world))["metadata"]["uid"]


def test_again_makes_another_job(server: KubernetesServer, world: World) -> None:
    server.script = [PodScript(exit_code=2, termination_message="error: no such file")]
    assert submit(world).code == 2
    name = name_of(world)
    before = server.job(name)["metadata"]["uid"]
    server.script = [ends()]
    assert submit(world).code == 2  # the same Job
    assert_done(submit(world, "--again"))
    job = server.job(name)
    assert job["metadata"]["uid"] != before
    (owner,) = server.configmap(name)["metadata"]["ownerReferences"]
    assert owner["uid"] == job["metadata"]["uid"]
    assert_done(submit(cluster_copy(world), "--again"))  # where there is none yet


def cluster_copy(world: World) -> World:
    return World(
        world.folder.parent / "copy",
        service_document=world.service_document,
        study_document=world.study_document | {"seed": 8},
    )


def test_not_followed(server: KubernetesServer, world: World) -> None:
    server.script = [ends(pending_for=math.inf)]
    answer = submit(world, "--no-follow")
    name = name_of(world)
    assert (answer.code, answer.out) == (0, "")
    assert f"job/{name}" in answer.err
    assert f"kubectl -n {NAMESPACE} logs -f job/{name}" in answer.err
    assert server.job(name)
    as_json = submit(world, "--no-follow", "--json")
    assert json.loads(as_json.out) == {"job": name, "namespace": NAMESPACE}


def test_another_namespace(server: KubernetesServer, world: World) -> None:
    assert_done(submit(world.service("submit", "namespace", to="default")))
    assert server.job(name_of(world), "default")
    assert_refused(submit(world.service("submit", "namespace", to="nowhere")), 'namespaces "nowhere" not found')
    assert_refused(submit(world.service("submit", "context", to="nobody")), "nobody")


# --- Pods that fail ---


def test_wrong_input_is_not_tried_again(server: KubernetesServer, world: World) -> None:
    said = "study.yaml:4: period: no request is left to replay"
    server.script = [PodScript(log=["load", f"error: {said}"], exit_code=2, termination_message=said)]
    answer = submit(world)
    assert_refused(answer, said, "rankcast submit --again", name_of(world))
    assert len(server.pods(name_of(world))) == 1
    as_json = submit(world, "--json")
    assert as_json.code == 2
    assert said in json.loads(as_json.out)["errors"][0]["message"]


def test_a_bug_is_not_tried_again(server: KubernetesServer, world: World) -> None:
    server.script = [PodScript(exit_code=1, termination_message="a bug: KeyError at x.py:3")]
    assert_refused(submit(world), "a bug: KeyError at x.py:3")
    assert len(server.pods(name_of(world))) == 1


def test_many_words_leave_room_for_what_to_do(server: KubernetesServer, world: World) -> None:
    said = "\n".join(f"service.yaml:{line}: tables.items: expected a path" for line in range(80))
    server.script = [PodScript(exit_code=2, termination_message=said)]
    assert_refused(submit(world), "service.yaml:0:", "--again")


@pytest.mark.parametrize(
    "first",
    [
        {"evicted": True},
        {"evicted": True, "keeps_statuses": True},
        {"evicted": True, "vanishes": True},
        {"exit_code": 139},
        {"exit_code": 143},
        {"exit_code": 137, "reason": "OOMKilled"},
        {"exit_code": 137, "reason": "OOMKilled", "vanishes": True},
    ],
)
def test_a_pod_is_replaced(first: dict[str, Any], server: KubernetesServer, world: World) -> None:
    unread = "vanishes" in first or ("evicted" in first and "keeps_statuses" not in first)  # its log goes with it
    lingers = 2.0 if unread else 0.0  # whoever follows must have had a chance to look, on a busy machine too
    server.script = [PodScript(log=["one", "two"], lingers=lingers, **first), ends(log=["two", "three"])]
    answer = submit(world)
    assert_done(answer)
    assert log_of(answer) == ["one", "two", "two", "three"]
    said = told(answer).splitlines()
    assert len(said) == len(set(said))  # how a pod ended is told once, however long the next one takes
    if "vanishes" not in first:
        assert len(server.pods(name_of(world))) == 2
        assert ("Evicted" if "evicted" in first else str(first["exit_code"])) in told(answer)


def test_out_of_memory_for_good(server: KubernetesServer, world: World) -> None:
    server.script = [PodScript(log=["one"], exit_code=137, reason="OOMKilled")]
    answer = submit(world.service("submit", "retries", to=2))
    assert_refused(answer, "more memory", "submit.resources")
    assert "OOMKilled" in told(answer)
    assert len(server.pods(name_of(world))) == 3
    assert log_of(answer)[:3] == ["one"] * 3


def test_no_more_retries(server: KubernetesServer, world: World) -> None:
    server.script = [PodScript(exit_code=139)]
    assert_refused(submit(world.service("submit", "retries", to=0)), "BackoffLimitExceeded")
    assert len(server.pods(name_of(world))) == 1


def test_it_takes_too_long(server: KubernetesServer, world: World) -> None:
    server.script = [ends(log=["one"], lingers=math.inf)]
    submission = prepare(world.service("submit", "timeout", to="1m").write(data=False).folder / "study.yaml")
    config, job = submission.documents
    hasty = replace(submission, documents=(config, {**job, "spec": {**job["spec"], "activeDeadlineSeconds": 1}}))
    cluster = Cluster.connect(None, None)
    send(hasty, cluster)
    lines: list[str] = []
    end = Follower(cluster, hasty.name, lambda _: None, lines.append).follow()
    assert not end.complete
    assert lines == ["one"]
    with pytest.raises(RunError, match="DeadlineExceeded"):
        outcome(hasty, end)


def test_deleted_while_it_is_followed(server: KubernetesServer, world: World) -> None:
    server.script = [ends(log=["one"], lingers=math.inf)]
    name = name_of(world)
    after(lambda: bool(server.cluster.logs) and server.pods(name), lambda: Cluster.connect(None, None).delete_job(name))
    assert_refused(submit(world), f"the Job {name} is gone")


def after(ready: Callable[[], Any], work: Callable[[], Any]) -> None:
    """Do some work in a thread as soon as it is time."""

    def wait() -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                if ready():
                    break
            except KeyError:
                pass
            time.sleep(0.02)
        time.sleep(0.3)
        work()

    threading.Thread(target=wait, daemon=True).start()


def test_a_pod_that_leaves_no_word(server: KubernetesServer, world: World) -> None:
    for said in ("", "hello", "[]", '{"study": "first"}'):
        server.script = [ends(termination_message=said)]
        assert_refused(submit(world, "--again"), "is complete, but its pod left no word of the run")


class Canned(Cluster):
    """A Job with one pod, seen at several moments; it has failed at the last of them."""

    moments: list[dict[str, Any]]

    def job(self, name: str) -> dict[str, Any]:
        failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
        return {"status": {} if len(self.moments) > 2 else {"conditions": [failed]}}

    def pods(self, job: str) -> list[dict[str, Any]]:
        status = self.moments.pop(0) if len(self.moments) > 1 else self.moments[0]
        return [{"metadata": {"name": "pod", "creationTimestamp": "1"}, "status": status}]

    def events(self, pod: str) -> list[str]:
        return []

    def log(self, *_: Any, **__: Any) -> Iterator[str]:
        return iter(())


def look(*moments: dict[str, Any]) -> tuple[str, Any]:
    cluster = Canned("n", None, None)
    object.__setattr__(cluster, "moments", list(moments))
    said: list[str] = []
    end = Follower(cluster, "j", said.append, lambda _: None, pause=0).follow()
    return "\n".join(said), end


WAITS = {"name": "study", "state": {"waiting": {"reason": "PodInitializing"}}}
SCHEDULED = [{"type": "PodScheduled", "status": "True"}]


def test_a_clone_that_fails_says_why(tmp_path: Path) -> None:
    from rankcast.cluster.job import Files, manifests
    from rankcast.config.service.submit import Submit

    section = {"image": "i", "out": "s3://b/p", "files": {"git": {"repository": "r"}}}
    (job,) = manifests("first", Files("study.yaml", {}, "0" * 40), Submit.model_validate(section))
    (clone,) = job["spec"]["template"]["spec"]["initContainers"]
    assert clone.get("terminationMessagePolicy") == "FallbackToLogsOnError"
    git = "fatal: remote error: upload-pack: not our ref 0000000000000000000000000000000000000000"
    state = {"name": "clone", "state": {"terminated": {"exitCode": 128, "reason": "Error", "message": git}}}
    status = {
        "phase": "Failed",
        "conditions": SCHEDULED,
        "initContainerStatuses": [state],
        "containerStatuses": [WAITS],
    }
    said, end = look(status, status)
    assert "clone" in said
    assert "not our ref" in said + end.words


def test_a_clone_that_works_is_not_waiting_for_a_node() -> None:
    state = {"name": "clone", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
    status = {
        "phase": "Pending",
        "conditions": SCHEDULED,
        "initContainerStatuses": [state],
        "containerStatuses": [WAITS],
    }
    said, _ = look(status, status, {"phase": "Failed"})
    assert "node" not in said
