"""manifest.json: how a run came about, and how to repeat it."""

from __future__ import annotations

import platform
import resource
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rankcast.errors import RunError
from rankcast.records import Fingerprint
from rankcast.repository import git
from rankcast.runs.identity import code_fingerprint, code_hashes

_PACKAGES = ("rankcast", "polars", "numpy", "duckdb", "scipy", "pydantic")


@dataclass(frozen=True)
class Repeat:
    """What it takes to repeat a run besides the data: both files as they were, and where; hashes of private modules and of
    what variables filled in; the id of the lists; how the work was done; what the names of tables in a bucket begin with.
    """

    files: Mapping[str, Mapping[str, str]]
    private_code: Mapping[str, str]
    variables: str
    replay: str
    work: Mapping[str, Any]
    token: str | None = None


def manifest(
    study: str,
    plan: dict[str, Any],
    seed: int,
    fingerprints: Iterable[Fingerprint],
    stages: Sequence[dict[str, Any]],
    started: datetime,
    folder: Path,
    repeat: Repeat,
) -> dict[str, Any]:
    """Everything that a reader needs to repeat the run."""
    return {
        "rankcast": 1,
        "study": study,
        "plan": plan,
        "data": [one.model_dump(mode="json") for one in fingerprints],
        "packages": {name: _version(name) for name in _PACKAGES},
        "code": code_fingerprint(),
        "private_code": code_hashes(repeat.private_code),
        "variables": repeat.variables,
        "replay": repeat.replay,
        "files": {name: dict(file) for name, file in repeat.files.items()},
        "git": git_state(folder),
        "seed": seed,
        "engine": "local",
        "work": dict(repeat.work),
        **({} if repeat.token is None else {"token": repeat.token}),
        "machine": {
            "python": platform.python_version(),
            "system": platform.system(),
            "processor": platform.machine(),
        },
        "started": started.astimezone(UTC).isoformat(timespec="seconds"),
        "stages": list(stages),
    }


def peak_memory_mb() -> float:
    """Peak resident memory of this process so far, or of one that it started, in megabytes."""
    own, others = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    peak = max(own, others)
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)


@cache
def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of the folder's repository, whether files differ from it, and where the folder lies in it; None outside one."""
    try:
        dirty = bool(git(folder, "status", "--porcelain").strip())
        commit, below = (git(folder, "rev-parse", what).decode().strip() for what in ("HEAD", "--show-prefix"))
    except RunError:
        return None
    return {"commit": commit, "dirty": dirty, "folder": below}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
