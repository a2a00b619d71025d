"""The examples run as their comments say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rankcast.study import schema_files
from rankcast.testing.demo import write_demo

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
def test_a_lightgbm_ranker(tmp_path: Path) -> None:
    pytest.importorskip("lightgbm")
    write_demo(tmp_path / "demo", 4_000, seed=7, schemas=schema_files())
    folder = tmp_path / "examples" / "lightgbm"
    shutil.copytree(EXAMPLES / "lightgbm", folder, ignore=shutil.ignore_patterns("runs", "*.parquet", "ranker.txt"))
    environment = {**os.environ, "DEMO": "../../demo"}

    def call(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode in (0, 3, 4), done.stderr
        return done.stdout

    assert "trained on" in call("train.py", "../../demo")
    first = json.loads(call("-m", "rankcast", "run", "study.yaml", "--quiet", "--json"))
    assert first["results"]["fidelity"]["overlap"] == 1.0
    values = {
        row["variant"]: row["value"]
        for row in first["results"]["metrics"]
        if row["metric"] == "dcg@10" and row["segment"] is None
    }
    assert 0 < values["ranker"] < values["production"]
    (folder / "ranker.txt").write_text((folder / "ranker.txt").read_text() + "\n")  # another model, another run
    assert json.loads(call("-m", "rankcast", "run", "study.yaml", "--quiet", "--json"))["run"] != first["run"]
