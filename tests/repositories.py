"""What tests of reviews share: the tiny service as text, in a git repository that no configuration of this machine reaches."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tiny import World

SERVICE = """\
rankcast: 1
service: tiny
tables:
  requests: {path: data/requests.parquet}
  items: {path: data/items.parquet}
  availability: {path: data/availability.parquet}
  impressions: {path: data/impressions.parquet}
  events: {path: data/events.parquet}
  users: {path: data/users.parquet}
production:
  steps:
    - available
    - cap: {by: item.kind, at_most: 2}
  served: 3
labels: {grades: {click: 1, apply: 4}, horizon: 7d}
targets: {without_labels: exclude}
"""
STUDY = """\
rankcast: 1
study: NAME
service: SERVICE
period: {from: 2023-10-01, to: 2023-10-15}
variants:
  production: {scores: {path: ROOT/data/scores.parquet}}
  new: {scores: {path: ROOT/data/new.parquet}}
  popular: {builtin: popular, within: 28d}
baseline: production
metrics: {primary: dcg@3, guardrails: [coverage@3]}
fidelity: {at_least: 0}
"""


def study_text(name: str, service: str = "../service.yaml", root: str = "..") -> str:
    """A study of the tiny service."""
    return STUDY.replace("NAME", name).replace("SERVICE", service).replace("ROOT", root)


@dataclass(frozen=True)
class Repo:
    """A git repository: a service, a study `studies/first.yaml`, the branch `main`, and `change`, which is checked out."""

    root: Path

    def git(self, *arguments: str) -> str:
        """What git answers."""
        command = ["git", "-C", str(self.root), "-c", "protocol.file.allow=always", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def write(self, path: str, text: str | bytes) -> Path:
        """Put a file into the work tree."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def mend(self, path: str, before: str, after: str) -> Path:
        """Replace text in a file; it is there."""
        text = (self.root / path).read_text(encoding="utf-8")
        assert before in text
        return self.write(path, text.replace(before, after))

    def commit(self, message: str = "a change") -> str:
        """Commit everything; the name of the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def cap(self, at_most: int) -> None:
        """Give `new` in the first study own steps, in the work tree, with such a cap."""
        steps = f"steps: [available, cap: {{by: item.kind, at_most: {at_most}}}]"
        self.mend("studies/first.yaml", "new.parquet}}", f"new.parquet}}, {steps}}}")
        self.mend("studies/first.yaml", "variants:", "treatment: [scores, steps]\nvariants:")


def quiet_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Git without the configuration of this machine, and without the variables of a workflow."""
    for name in [one for one in os.environ if one.startswith(("GIT_", "GITHUB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "somebody@example.org")


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    quiet_git(monkeypatch)
    made = Repo(tmp_path / "repo")
    made.root.mkdir()
    made.git("init", "--quiet", "--initial-branch", "main")
    made.write("service.yaml", SERVICE)
    made.write("studies/first.yaml", study_text("first"))
    made.write(".gitignore", "data/\nruns/\n")
    made.commit("the first")
    made.git("checkout", "--quiet", "-b", "change")
    monkeypatch.chdir(made.root)
    return made


def with_data(repo: Repo) -> Repo:
    """The rows that the service reads; git does not know them."""
    World(repo.root / "unused").write()
    (repo.root / "unused" / "data").rename(repo.root / "data")
    for name in ("service", "study"):
        (repo.root / "unused" / f"{name}.yaml").unlink()
    (repo.root / "unused").rmdir()
    return repo
