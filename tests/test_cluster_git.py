"""A pod that clones its two files from git: a real repository, and the script that it runs."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rankcast.cluster.submit import prepare
from rankcast.testing.past import write_past
from test_cluster import cluster_world, pod_of, submit, validate
from tiny import World, assert_refused
from tiny import rankcast as command


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> World:
    """A repository whose studies stand in folders, committed."""
    folder = tmp_path / "repository"
    world = cluster_world(folder, files={"git": {"repository": f"file://{folder}", "token": "git/token"}})
    world.study("service", to="../service.yaml").write(data=False)
    (folder / "studies").mkdir()
    (folder / "study.yaml").rename(folder / "studies" / "study.yaml")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "studies")
    return world


def test_files_from_git(origin: World) -> None:
    path = origin.folder / "studies" / "study.yaml"
    (job,) = prepare(path).documents
    validate(job)
    commit = git(origin.folder, "rev-parse", "HEAD")
    assert pod_of(job)["containers"][0]["args"][1].endswith("/studies/study.yaml")
    (clone,) = pod_of(job)["initContainers"]
    assert {"name": "COMMIT", "value": commit} in clone["env"]
    before = copy.deepcopy(job)
    (origin.folder / "notes.txt").write_text("not ours")
    assert prepare(path).documents[0] == before
    (origin.folder / "service.yaml").write_text((origin.folder / "service.yaml").read_text() + "\n")
    assert_refused(command("submit", str(path), "--dry-run"), "service.yaml", "differ", "commit and push")
    git(origin.folder, "commit", "-aqm", "again")
    assert prepare(path).name != before["metadata"]["name"]


def test_a_record_that_is_not_committed(origin: World) -> None:
    path = origin.folder / "studies" / "study.yaml"
    service = origin.folder / "service.yaml"
    service.write_text(json.dumps({**json.loads(service.read_text()), "history": {"path": "history"}}))
    write_past(origin.folder / "history")
    git(origin.folder, "commit", "-aqm", "the record is still to be added")
    assert_refused(command("submit", str(path), "--dry-run"), "history/retrained.yaml", "differs from commit")
    git(origin.folder, "add", "history")
    git(origin.folder, "commit", "-qm", "record")
    assert [one["kind"] for one in prepare(path).documents] == ["Job"]


def test_no_repository(tmp_path: Path) -> None:
    world = cluster_world(tmp_path, files={"git": {"repository": "x"}})
    assert_refused(submit(world, "--dry-run"), "lies in no git repository")


@pytest.mark.parametrize("as_in_a_pod", [False, True])
def test_the_clone_script_really_clones(as_in_a_pod: bool, origin: World, tmp_path: Path) -> None:
    """/study belongs to root and to the pod's group, as an empty folder of a pod does; the script runs as the pod's user."""
    (job,) = prepare(origin.folder / "studies" / "study.yaml").documents
    (clone,) = pod_of(job)["initContainers"]
    study, scratch = tmp_path / "study", tmp_path / "scratch"
    for folder in (study, scratch):
        folder.mkdir()
    user: dict[str, Any] = {}
    if as_in_a_pod:
        if os.geteuid() != 0:
            pytest.skip("only root can run a script as somebody else")
        number = pod_of(job)["securityContext"]["runAsUser"]
        for folder in (study, scratch):
            os.chown(folder, 0, number)
            folder.chmod(0o2777)
        for folder in tmp_path.parents:
            if folder.stat().st_uid == 0 and folder != Path("/") and not folder.stat().st_mode & 0o001:
                folder.chmod(folder.stat().st_mode | 0o011)
        tmp_path.chmod(0o755)
        for path in (origin.folder, *origin.folder.rglob("*")):
            os.chown(path, number, number)  # who reads it is not what is tried here
        user = {"user": number, "group": number, "extra_groups": []}

    def here(text: str) -> str:
        return re.sub(r"(?<![\w./-])/(study|scratch)\b(?!\.)", lambda found: str(tmp_path / found[1]), text)

    env = {one["name"]: here(one["value"]) for one in clone["env"] if "value" in one and one["name"] != "REPOSITORY"}
    env |= {"REPOSITORY": f"file://{origin.folder}", "GIT_TOKEN": "hunter22", "PATH": os.environ["PATH"]}
    program, flag, script = clone["command"]
    done = subprocess.run(
        [program, flag, here(script)], env=env, cwd=scratch, capture_output=True, text=True, check=False, **user
    )
    assert done.returncode == 0, done.stderr
    path = Path(here(pod_of(job)["containers"][0]["args"][1]))
    assert path.read_text() == (origin.folder / "studies" / "study.yaml").read_text()
    assert (path.parent.parent / "service.yaml").read_text() == (origin.folder / "service.yaml").read_text()
    left = [
        one for one in (*study.rglob("*"), *scratch.rglob("*")) if one.is_file() and b"hunter22" in one.read_bytes()
    ]
    assert left == []
    assert "credential" not in "".join(one.read_text() for one in study.rglob("config"))
