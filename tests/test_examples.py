"""The examples run as their comments say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import rankcast
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


def test_the_average_decides_between_many_rare_keywords_and_the_few_that_most_users_type(tmp_path: Path) -> None:
    folder = tmp_path / "keywords"
    shutil.copytree(EXAMPLES / "keywords", folder, ignore=shutil.ignore_patterns("runs", "data"))

    def make(to: Path) -> None:
        subprocess.run([sys.executable, folder / "make.py", to], check=True, capture_output=True)

    make(folder / "data")
    make(tmp_path / "again")
    assert pl.read_parquet(folder / "data/requests.parquet")["keyword"].n_unique() == 200
    for table in (tmp_path / "again").iterdir():
        assert table.read_bytes() == (folder / "data" / table.name).read_bytes(), table.name

    run = rankcast.run(folder / "study.yaml", out=tmp_path / "runs")
    results = run.result.results
    assert results.fidelity is not None
    assert (results.fidelity.overlap, results.fidelity.exact) == (1.0, 1.0)
    assert run.result.decision["from_text"].decision == "no-go"
    whole = {row.metric: row for row in results.comparisons if row.segment is None}
    assert whole["ndcg@10"].verdict == "worse"

    rows = {row.average: row for row in results.averages if (row.variant, row.metric) == ("from_text", "ndcg@10")}
    assert list(rows) == ["request", "user", "request.keyword"]
    assert [row.decides for row in rows.values()] == [True, False, False]
    assert [row.changes_sign for row in rows.values()] == [False, False, True]
    request, keyword = rows["request"], rows["request.keyword"]
    assert request.difference == pytest.approx(whole["ndcg@10"].difference, rel=1e-9)
    assert request.high is not None
    assert request.high < 0
    assert keyword.low is not None
    assert keyword.low > 0
    assert any("request.keyword" in text for text in results.reversals)
