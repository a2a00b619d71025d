"""A script that asks for several processes and forgot what Python asks of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tiny import World

SCRIPT = """
import rankcast, rankcast.study
rankcast.study.SHARD_ROWS = 20
{guard}rankcast.run({study!r}, out={out!r}, processes=2)
"""


def call(folder: Path, guard: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(
        SCRIPT.format(guard=guard, study=str(folder / "study.yaml"), out=str(folder / "runs"))
    )
    return subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


def test_without_a_guard_it_ends_and_says_why(tmp_path: Path) -> None:
    World(tmp_path).write()
    done = call(tmp_path, "")
    assert done.returncode != 0
    assert "if __name__ == '__main__':" in done.stderr
    assert not list(tmp_path.glob("runs/*/*"))


def test_with_a_guard_it_works(tmp_path: Path) -> None:
    World(tmp_path).write()
    done = call(tmp_path, "if __name__ == '__main__': ")
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("runs/*/*/result.json"))
