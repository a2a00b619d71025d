"""`rankcast diff`, from files and from git: what a repository holds is read, and nothing that it configures is run."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from rankcast.runs.manifest import git_state
from repositories import SERVICE, Repo, repo, study_text
from tiny import assert_refused, rankcast

__all__ = ["repo"]  # a fixture
AS_JSON = {
    "rankcast": 1,
    "study": "odd",
    "service": "../service.yaml",
    "period": {"from": "2023-10-01", "to": "2023-10-15"},
    "variants": {"production": {"scores": {"path": "../data/new.parquet"}}},
    "baseline": "production",
    "metrics": {"primary": "dcg@3"},
}
CHANGED = "service: targets.without_labels exclude -> zero"


def told(repo: Repo, revisions: str = "main", *studies: str) -> dict[str, list[str]]:
    """Of studies by path, all that is said."""
    done = rankcast("diff", "--git", revisions, "--json", *studies)
    assert done.code == 0, done.text
    found = json.loads(done.out or "{}")
    return {path: [] if one is None else [each["text"] for each in one["changes"]] for path, one in found.items()}


def zero(repo: Repo) -> None:
    repo.mend("service.yaml", "exclude", "zero")


def test_two_files(repo: Repo) -> None:
    repo.write("studies/second.yaml", study_text("second").replace("dcg@3", "dcg@5"))
    done = rankcast("diff", "studies/first.yaml", "studies/second.yaml")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "second: first -> second",
        "  outside the treatment [scores]:",
        "  ! metrics.primary dcg@3 -> dcg@5",
        "  . study first -> second",
    ]
    assert rankcast("diff", "studies/first.yaml", "studies/first.yaml").out.splitlines()[1:] == ["  nothing differs"]


def test_one_file_in_every_format(repo: Repo) -> None:
    repo.cap(3)
    said = "treatment adds: new: step cap at_most 2 -> 3"
    alone = rankcast("diff", "studies/first.yaml")
    assert f"  {said}" in alone.out.splitlines()
    document = json.loads(rankcast("diff", "studies/first.yaml", "--format", "json").out)
    assert {"kind": "treatment", "text": said} in document["changes"]
    assert json.loads(rankcast("diff", "studies/first.yaml", "--json").out) == document
    assert "- treatment adds: new: step cap at\\_most 2 -&gt; 3" in rankcast(
        "diff", "studies/first.yaml", "--format", "markdown"
    ).out.splitlines()  # fmt: skip


def test_studies_of_elsewhere(repo: Repo, tmp_path: Path) -> None:
    away = tmp_path / "away.yaml"
    away.write_text(study_text("away"))
    for told in (["diff", "--git", "main"], ["ci", "--base", "main"]):
        answer = rankcast(*told, "studies/first.yaml", str(away))
        assert_refused(answer, str(away), "must lie in", str(repo.root))
        assert "first.yaml" not in answer.text


def test_a_run_knows_its_commit(repo: Repo, tmp_path: Path) -> None:
    studies, commit = repo.root / "studies", repo.git("rev-parse", "HEAD")
    assert git_state(studies) == {"commit": commit, "dirty": False, "folder": "studies/"}
    assert git_state(repo.root) == {"commit": commit, "dirty": False, "folder": ""}
    repo.write("studies/new.yaml", "study: new")
    git_state.cache_clear()
    assert git_state(studies) == {"commit": commit, "dirty": True, "folder": "studies/"}
    (tmp_path / "elsewhere").mkdir()
    assert git_state(tmp_path / "elsewhere") is None


def test_bad_usage(repo: Repo) -> None:
    assert_refused(rankcast("diff", "studies/first.yaml", "--format", "html"), "text, json, markdown")
    assert_refused(rankcast("diff", *["studies/first.yaml"] * 3), "found 3")
    assert_refused(rankcast("diff", "nothing.yaml"), "nothing.yaml")
    assert_refused(rankcast("diff", "--git", "main", "/etc/hosts"), "")


def test_the_work_tree_and_a_commit(repo: Repo) -> None:
    assert told(repo) == told(repo, "main..HEAD") == {}
    zero(repo)
    assert CHANGED in told(repo)["studies/first.yaml"]
    assert told(repo, "main..HEAD") == {}
    repo.commit()
    assert told(repo) == told(repo, "main..HEAD") == told(repo, "main..") == told(repo, "HEAD~1..change")
    assert CHANGED in told(repo, "main..HEAD")["studies/first.yaml"]


def test_files_that_git_does_not_know(repo: Repo) -> None:
    repo.write("studies/fresh.yaml", study_text("fresh"))
    repo.write("runs/copy.yaml", study_text("ignored"))
    assert [*told(repo)] == ["studies/fresh.yaml"]
    assert any("data/new.parquet instead of" in one for one in told(repo)["studies/fresh.yaml"])


def test_only_studies_that_are_named(repo: Repo) -> None:
    repo.write("studies/second.yaml", study_text("second"))
    zero(repo)
    assert [*told(repo, "main", "studies/second.yaml")] == ["studies/second.yaml"]
    assert len(told(repo)) == 2


def test_from_a_subfolder(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.write("studies/new.yaml", study_text("fresh"))
    zero(repo)
    monkeypatch.chdir(repo.root / "studies")
    assert [*told(repo)] == ["studies/first.yaml", "studies/new.yaml"]
    assert [*told(repo, "main", "first.yaml")] == ["studies/first.yaml"]
    repo.commit()
    assert CHANGED in told(repo, "main..HEAD", "first.yaml")["studies/first.yaml"]


def test_a_renamed_study(repo: Repo) -> None:
    (repo.root / "studies/first.yaml").rename(repo.root / "studies/other.yaml")
    repo.commit()
    assert "studies/other.yaml" in told(repo, "main..HEAD")


@pytest.mark.parametrize("form", ["text", "json", "markdown"])
def test_a_deleted_study_is_told(repo: Repo, form: str) -> None:
    (repo.root / "studies/first.yaml").unlink()
    repo.commit()
    done = rankcast("diff", "--git", "main..HEAD", "--format", form)
    assert done.code == 0
    assert "studies/first.yaml" in done.out
    assert "no study differs" not in done.err


def test_a_service_that_moves(repo: Repo) -> None:
    (repo.root / "shop").mkdir()
    (repo.root / "service.yaml").rename(repo.root / "shop/service.yaml")
    repo.mend("studies/first.yaml", "../service.yaml", "../shop/service.yaml")
    assert told(repo) == {"studies/first.yaml": []}
    repo.mend("shop/service.yaml", "exclude", "zero")
    repo.commit()
    assert CHANGED in told(repo, "main..HEAD")["studies/first.yaml"]


def test_a_study_that_was_broken(repo: Repo) -> None:
    good = repo.root / "studies/first.yaml"
    repo.git("checkout", "--quiet", "main")
    broken = repo.mend("studies/first.yaml", "dcg@3", "zz@3").read_text()
    repo.commit()
    repo.mend("studies/first.yaml", "zz@3", "dcg@5")
    assert any("data/new.parquet instead of" in one for one in told(repo)["studies/first.yaml"])
    good.write_text(broken)
    repo.write("studies/second.yaml", study_text("second").replace("dcg@3", "zz@3"))
    assert_refused(rankcast("diff", "--git", "main"), "studies/second.yaml", "zz")


def test_a_broken_study_hides_no_other(repo: Repo) -> None:
    repo.write("studies/a.yaml", study_text("a").replace("dcg@3", "zz@3"))
    zero(repo)
    done = rankcast("diff", "--git", "main")
    assert done.code == 2
    assert "studies/a.yaml" in done.err
    assert CHANGED in done.out


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\xff\xfe", b"caf\xe9: 1\n", b"\x00" * 100])
@pytest.mark.parametrize("name", ["logo.png", "data.yaml"])
def test_a_file_that_is_no_text(repo: Repo, name: str, content: bytes) -> None:
    zero(repo)
    repo.write(name, content)
    assert [*told(repo)] == ["studies/first.yaml"]
    repo.commit()
    assert [*told(repo, "main..HEAD")] == ["studies/first.yaml"]


NAMES = [
    "my study.yaml",
    "求人 böden.yaml",
    'it\'s "so".yaml',
    "a\nb.yaml",
    "-rf.yaml",
    "a|b`c.yml",
    "*.yaml",
    ":(top)x.yaml",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_files(repo: Repo, name: str) -> None:
    path = f"my studies/{name}"
    repo.write(path, study_text("odd"))
    repo.commit("before")
    repo.mend(path, "dcg@3", "dcg@5")
    assert told(repo, "HEAD") == {path: ["metrics.primary dcg@3 -> dcg@5"]}
    assert told(repo, "HEAD", path) == told(repo, "HEAD")
    repo.commit()
    assert told(repo, "HEAD~1..HEAD") == {path: ["metrics.primary dcg@3 -> dcg@5"]}
    text = rankcast("diff", "--git", "HEAD~1..HEAD").out
    assert len(text.splitlines()) == 3, text  # a name is no line of its own


def test_other_ways_to_write_a_study(repo: Repo) -> None:
    """What `check` and `run` understand is a study of the change, too."""
    text = study_text("odd")
    ways = {
        "quoted": text.replace("study:", '"study":', 1).replace("service:", "'service':", 1),
        "json": json.dumps(AS_JSON, indent=1),
        "next line": text.replace("service: ", "service:\n  "),
        "anchor": text.replace("service: ", "service: &here "),
        "crlf": text.replace("\n", "\r\n"),
        "comment": text.replace("service.yaml", "service.yaml   # ours"),
        "quoted path": text.replace("../service.yaml", '"../service.yaml"'),
        "bom": "\ufeff" + text,
    }  # fmt: skip
    for name, one in ways.items():
        file = repo.write(f"studies/{name}.yaml", one)
        assert rankcast("check", "--without-data", str(file)).code == 0, name
    assert {*told(repo)} == {f"studies/{name}.yaml" for name in ways}


def test_line_ends_are_no_difference(repo: Repo) -> None:
    repo.write("studies/first.yaml", study_text("first").replace("\n", "\r\n"))
    repo.write("service.yaml", SERVICE.replace("\n", "\r\n"))
    assert told(repo) == {"studies/first.yaml": []}
    repo.commit()
    assert told(repo, "main..HEAD") == {"studies/first.yaml": []}


def test_links(repo: Repo, tmp_path: Path) -> None:
    """Nothing outside of the repository is read; links within may be followed, and lead round in no circle."""
    outside = tmp_path / "outside.yaml"
    outside.write_text(study_text("secret").replace("dcg@3", "zz-secret@3"))
    (repo.root / "studies/outside.yaml").symlink_to(outside)
    (repo.root / "studies/again.yaml").symlink_to("first.yaml")
    (repo.root / "away").symlink_to(tmp_path)
    (repo.root / "loop").symlink_to(".")
    zero(repo)
    assert {*told(repo)} - {"studies/again.yaml"} == {"studies/first.yaml"}
    repo.commit()
    assert {*told(repo, "main..HEAD")} - {"studies/again.yaml"} == {"studies/first.yaml"}


@pytest.mark.parametrize("linked", ["../away/service.yaml", "../hosts.yaml"])
def test_a_service_behind_a_link_that_leads_away(repo: Repo, tmp_path: Path, linked: str) -> None:
    (tmp_path / "service.yaml").write_text("SECRET: [hunter2\n")
    (repo.root / "away").symlink_to(tmp_path)
    (repo.root / "hosts.yaml").symlink_to(tmp_path / "service.yaml")
    repo.write("studies/first.yaml", study_text("first", service=linked))
    done = rankcast("diff", "--git", "main")
    assert done.code == 2
    assert "no file of the repository" in done.err
    assert "hunter2" not in done.text


def test_a_service_behind_a_link_within(repo: Repo) -> None:
    (repo.root / "service.yaml").rename(repo.root / "shop.yaml")
    (repo.root / "service.yaml").symlink_to("shop.yaml")
    repo.commit("before")
    repo.mend("shop.yaml", "exclude", "zero")
    assert CHANGED in told(repo, "HEAD")["studies/first.yaml"]


def test_submodules(repo: Repo, tmp_path: Path) -> None:
    other = Repo(tmp_path / "other")
    other.root.mkdir()
    other.git("init", "--quiet")
    other.write("service.yaml", "x")
    other.commit()
    repo.git("submodule", "--quiet", "add", str(other.root), "sub.yaml")
    zero(repo)
    assert [*told(repo)] == ["studies/first.yaml"]
    repo.commit()
    assert [*told(repo, "main..HEAD")] == ["studies/first.yaml"]


def test_shallow_clones_and_missing_branches(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zero(repo)
    repo.commit()
    repo.git("clone", "--quiet", "--depth", "1", "--branch", "change", f"file://{repo.root}", str(tmp_path / "shallow"))
    monkeypatch.chdir(tmp_path / "shallow")
    for revisions in ("main..HEAD", "HEAD~1", "0" * 40):
        assert_refused(rankcast("diff", "--git", revisions), "fetch-depth: 0")
    assert_refused(rankcast("ci", "--base", "main"), "fetch-depth: 0")


def test_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert_refused(rankcast("diff", "--git", "main"), "no git repository")


@pytest.mark.parametrize(
    "revisions",
    ["-x", "--output=stolen", "main..-x", "main..--output=stolen", "..", "..HEAD", "", "nope", "main...HEAD"],
)
def test_odd_revisions(repo: Repo, revisions: str) -> None:
    assert_refused(rankcast("diff", f"--git={revisions}"))
    assert not list(repo.root.glob("stolen*"))


def test_nothing_that_the_repository_configures_is_run(repo: Repo, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    ran.mkdir()
    hooks = repo.root / ".git/hooks"
    for name in ("post-index-change", "fsmonitor", "pre-commit", "post-checkout"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {ran}/hook-{name}\n")
        (hooks / name).chmod(0o755)
    for key, name in {
        "filter.evil.clean": "clean",
        "filter.evil.smudge": "smudge",
        "diff.evil.textconv": "textconv",
        "diff.evil.command": "command",
        "diff.external": "external",
        "core.pager": "pager",
        "core.fsmonitor": "fsmonitor",
        "alias.diff": "alias",
    }.items():
        file = tmp_path / f"{name}.sh"
        file.write_text(f"#!/bin/sh\ntouch {ran}/{name}\ncat\n")
        file.chmod(0o755)
        repo.git("config", key, str(file))
    repo.write(".git/info/attributes", "* filter=evil diff=evil\n")
    repo.write(".gitattributes", "* filter=evil diff=evil\n")
    zero(repo)
    later = time.time() + 5
    os.utime(repo.root / "studies/first.yaml", (later, later))  # git must look into it to know that it is the same
    for one in ran.iterdir():
        one.unlink()
    assert CHANGED in told(repo)["studies/first.yaml"]
    assert CHANGED in told(repo, "main", "studies/first.yaml")["studies/first.yaml"]
    assert rankcast("ci", "--base", "main").code == 0
    assert told(repo, "main..HEAD") == {}
    assert sorted(one.name for one in ran.iterdir()) == []


def test_no_value_of_a_variable_is_shown(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "hunter2-secret")
    api = "{http: {url: 'http://x/', headers: {Authorization: 'Bearer ${TOKEN}'}}}"
    repo.mend("studies/first.yaml", "{scores: {path: ../data/new.parquet}}", api)
    repo.mend("service.yaml", "exclude", "exclude, where: \"request.surface = '${TOKEN}'\"")
    calls = [("diff", "--git", "main", "--format", form) for form in ("text", "json", "markdown")]
    for call in (*calls, ("diff", "studies/first.yaml"), ("ci", "--base", "main")):
        done = rankcast(*call)
        assert done.code in {0, 5}, done.text
        assert "hunter2" not in done.text
        assert "TOKEN" in done.out or "--git" not in call
    repo.mend("service.yaml", "request.surface =", "request.surface = nonsense.x AND")
    for call in (("diff", "--git", "main"), ("ci", "--base", "main")):
        done = rankcast(*call)
        assert done.code == 2
        assert "hunter2" not in done.text
