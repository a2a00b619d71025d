"""Clusters that say no, are away, or cannot be found; and whoever does not want to wait."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kubernetes_server import NAMESPACE, KubernetesServer
from test_cluster import submit
from test_cluster_follow import (
    LINES,
    after,
    assert_done,
    ends,
    log_of,
    name_of,
    server_fixture,  # noqa: F401 - a fixture
    told,
    use,
    world_fixture,  # noqa: F401 - a fixture
)
from tiny import World, assert_refused
from tiny import rankcast as command


@pytest.mark.parametrize(
    ("method", "resource", "code", "said"),
    [
        ("POST", "jobs", 403, "ask for the right to do so in the namespace recsys"),
        ("POST", "configmaps", 403, "ask for the right"),
        ("POST", "jobs", 422, "look at the values of `submit`"),
        ("POST", "jobs", 500, "cannot create the Job"),
        ("POST", "configmaps", 503, "cannot create the ConfigMap"),
        ("GET", "jobs", 403, "cannot read the Job"),
        ("GET", "pods", 403, "cannot list the pods"),
        ("GET", "jobs", 500, "cannot read the Job"),
    ],
)
def test_the_cluster_refuses(
    method: str, resource: str, code: int, said: str, server: KubernetesServer, world: World
) -> None:
    server.refuse(method, resource, code)
    assert_refused(submit(world), said, str(code))
    server.allow()
    assert_done(submit(world))
    (owner,) = server.configmap(name_of(world))["metadata"].get("ownerReferences") or [{}]
    assert owner.get("uid") == server.job(name_of(world))["metadata"]["uid"]


def test_a_long_answer_fits_a_screen(server: KubernetesServer, world: World) -> None:
    server.refuse("POST", "jobs", 422, "\n".join(["no \x1b[31m such field"] * 500))
    assert_refused(submit(world), "no")


@pytest.mark.parametrize(
    ("method", "resource"), [("POST", "configmaps"), ("POST", "jobs"), ("GET", "jobs"), ("GET", "pods")]
)
@pytest.mark.parametrize("code", [429, 500, 503])
def test_the_cluster_is_away_for_a_moment(
    method: str, resource: str, code: int, server: KubernetesServer, world: World
) -> None:
    server.refuse(method, resource, code, times=2)
    answer = submit(world)
    assert_done(answer)
    assert len(log_of(answer)) == len(LINES)


def test_logs_that_may_not_be_read(server: KubernetesServer, world: World) -> None:
    server.refuse("GET", "pods/log", 403)
    answer = submit(world)
    assert_done(answer)
    assert "log" in told(answer).replace(name_of(world), "")


def test_files_that_cannot_be_given_to_the_job(server: KubernetesServer, world: World) -> None:
    server.refuse("PATCH", "configmaps", 403)
    answer = submit(world)
    assert server.job(name_of(world))
    assert "cannot change the ConfigMap" in answer.err


def test_the_token_is_refused(server: KubernetesServer, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    use(server.kubeconfig(world.folder.parent, token="hunter22"), monkeypatch)
    answer = submit(world)
    assert_refused(answer, "log in to the cluster again", "401")
    assert "hunter22" not in answer.text


@pytest.mark.parametrize("what", ["nothing", "garbage", "a list", "empty", "no context", "a folder"])
def test_a_kubeconfig_that_is_none(
    what: str, server: KubernetesServer, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = world.folder.parent / "config"
    whole = json.loads(Path(os.environ["KUBECONFIG"]).read_text())
    texts = {"garbage": "{[", "a list": "[1]", "empty": "", "no context": json.dumps({**whole, "current-context": "x"})}
    if what in texts:
        path.write_text(texts[what])
    elif what == "a folder":
        path.mkdir()
    use(path, monkeypatch)
    assert_refused(submit(world), str(path) if what == "a folder" else "--dry-run")


def test_nobody_is_there(server: KubernetesServer, world: World) -> None:
    server.__exit__()
    assert_refused(submit(world), "does not answer")


def test_the_cluster_goes_for_good(server: KubernetesServer, world: World) -> None:
    server.script = [ends(log=["one"], lingers=math.inf)]
    name = name_of(world)
    after(lambda: server.pods(name), server.__exit__)
    answer = submit(world)
    assert_refused(answer, "does not answer")
    assert "the same command follows it again" in answer.err, "the Job goes on, and whoever reads this must know"


def test_the_client_is_not_installed(server: KubernetesServer, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "kubernetes" or name.startswith("kubernetes.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    assert_refused(submit(world), "rankcast[kubernetes]")
    assert command("submit", str(world.folder / "study.yaml"), "--dry-run").code == 0


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["pending", "log"])
def test_interrupted(moment: str, server: KubernetesServer, world: World) -> None:
    server.script = [ends(pending_for=math.inf if moment == "pending" else 0, log=["one"], lingers=math.inf)]
    name = name_of(world)
    call = [sys.executable, "-m", "rankcast", "submit", str(world.folder / "study.yaml")]
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    seen = ""
    while ("waits" if moment == "pending" else "one\n") not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert (out, "Traceback" in err) == ("", False)
    assert f"job/{name} in namespace {NAMESPACE} goes on; the same command follows it again" in err
    assert "conditions" not in server.job(name)["status"]
    assert len(server.pods(name)) == 1
