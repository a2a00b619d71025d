"""Metrics of the user's own in a study: run, never imported by `check`, and part of what makes a run the same run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tiny import World, assert_refused

CODE = """
from dataclasses import dataclass
from pathlib import Path
from rankcast.evaluate.metric import RequestMetric, VariantMetric

Path("imported").touch()

@dataclass(frozen=True)
class Depth(RequestMetric):
    \"\"\"Items within the cut, twice over.\"\"\"
    needs_labels = False

    def values(self, judged):
        return judged.shown(self.k) * FACTOR

@dataclass(frozen=True)
class Places(VariantMetric):
    \"\"\"How many places there are.\"\"\"
    bounds = (0.0, float("inf"))

    def result(self, exposure):
        return exposure.times().sum(axis=0)

@dataclass(frozen=True)
class Broken(RequestMetric):
    def values(self, judged):
        return judged.nothing
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return World(tmp_path / "study", "parquet")


def write(name: str, factor: int) -> None:
    Path(f"{name}.py").write_text(CODE.replace("FACTOR", str(factor)))


def test_a_study_with_metrics_of_its_own(world: World) -> None:
    write("own_metrics_a", 2)
    names = ["own_metrics_a:Depth@2", "own_metrics_a:Places@1", "list_length@2"]
    world.study("metrics", "also", to=names).write()
    assert world.run(command="check").code == 0
    assert world.run(command="explain").code == 0
    assert not Path("imported").exists(), "check and explain execute nothing of the study"
    outcome = world.run("--json")
    assert Path("imported").exists()
    values = {
        row["metric"]: row["value"]
        for row in json.loads(outcome.out)["results"]["metrics"]
        if row["variant"] == "production" and row["segment"] is None
    }
    assert values["own_metrics_a:Depth@2"] == 2 * values["list_length@2"] > 0
    targets = json.loads(outcome.out)["results"]["targets"][-1]["out"]
    assert 0 < values["own_metrics_a:Places@1"] <= targets


def test_other_code_is_another_run(world: World) -> None:
    found = []
    world.study("metrics", "also", to=["own_metrics_b:Depth@2"]).write()
    command = [sys.executable, "-m", "rankcast", "run", str(world.folder / "study.yaml"), "--json", "-q"]
    for factor in (2, 3, 2):
        write("own_metrics_b", factor)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found.append(json.loads(done.stdout)["run"])
    assert found[0] != found[1]
    assert found[0] == found[2]


def test_a_broken_one_is_told_as_the_users(world: World) -> None:
    write("own_metrics_d", 2)
    world.study("metrics", "primary", to="own_metrics_d:Broken@2").write()
    assert_refused(world.run(), "own_metrics_d:Broken@2", "AttributeError", "own_metrics_d.py:")
    assert world.left_behind() == []


def test_importing_costs_nothing() -> None:
    code = "import sys, rankcast; assert not {'polars', 'numpy', 'pydantic'} & set(sys.modules), sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
