"""The commands, as a user types them: real processes, their output and exit codes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rankcast.cli.app import app
from rankcast.study import schema


def rankcast(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rankcast", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd, check=False)


def test_run_prints_the_verdict_on_stdout_and_progress_on_stderr(demo: Any, tmp_path: Path) -> None:
    done = rankcast("run", demo.study("filter-net"), "--out", tmp_path)
    assert done.returncode == 3  # no-go
    assert done.stdout.startswith("filter_net: no-go\n")
    assert "replay  done in" in done.stderr
    assert "requests: 2,000 rows" in done.stderr
    again = rankcast("run", demo.study("filter-net"), "--out", tmp_path)
    assert again.returncode == 3
    assert "ran before on the same data" in again.stderr
    assert again.stdout == done.stdout


def test_json_is_the_result_and_fits_its_schema(demo: Any, tmp_path: Path) -> None:
    done = rankcast("run", demo.study("two-tower"), "--out", tmp_path, "--json", "--quiet")
    document = json.loads(done.stdout)
    jsonschema.validate(document, schema("result"))
    assert done.stderr == ""
    assert document == demo.run.result.document()  # the same inputs give the same run, wherever it is written


def test_check_explain_and_schema(demo: Any) -> None:
    study = demo.study("two-tower")
    checked = rankcast("check", study)
    assert (checked.returncode, checked.stdout.splitlines()[-1]) == (
        0,
        "two-tower: fine (the two files, and the columns of the data)",
    )
    explained = rankcast("explain", study)
    assert "confidence: 0.95" in explained.stdout
    assert "attribute: last_request" in explained.stdout
    jsonschema.validate(
        json.loads(rankcast("explain", study, "--json").stdout)["study"]["period"], {"required": ["from", "to"]}
    )
    for subject in ("service", "study", "result"):
        jsonschema.Draft202012Validator.check_schema(json.loads(rankcast("schema", subject).stdout))


@pytest.mark.parametrize(
    ("subject", "words"), [("ndcg@10", "ideal order"), ("RP02", "overlap"), ("cap", "at_most"), ("popular", "graded")]
)
def test_explain_pages(subject: str, words: str) -> None:
    done = rankcast("explain", subject)
    assert done.returncode == 0
    assert words in done.stdout


def test_runs_and_report(demo: Any) -> None:
    listed = rankcast("runs", "--out", demo.folder / "runs", "--json")
    assert [row["study"] for row in json.loads(listed.stdout)] == ["two-tower"]
    shown = rankcast("report", demo.run.id[:6], "--out", demo.folder / "runs")
    assert shown.returncode == 0
    assert str(demo.run.report) in shown.stdout
    assert rankcast("report", demo.run.folder, "--markdown").stdout == (demo.run.folder / "report.md").read_text()


def test_init_proposes_files_that_run(demo: Any, tmp_path: Path) -> None:
    shutil.copytree(demo.folder / "data", tmp_path / "logs" / "data")
    begun = rankcast("init", "logs", cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr
    study = tmp_path / "logs" / "studies" / "first.yaml"
    assert rankcast("check", study).returncode == 0
    done = rankcast("run", study, "--out", tmp_path / "runs", "-q")
    assert done.returncode in {0, 3, 4, 5}, done.stderr
    again = rankcast("init", "logs", cwd=tmp_path)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)


def test_demo_tells_a_story_with_the_truth(tmp_path: Path) -> None:
    done = rankcast("demo", tmp_path / "demo", "--requests", 2000, "--json")
    assert done.returncode == 0, done.stderr
    two_tower, filter_net = json.loads(done.stdout)
    assert two_tower["online_relative"] > 0 > filter_net["online_relative"]
    assert filter_net["naive_variant"] > filter_net["naive_production"]  # the notebook likes the trap
    assert filter_net["decision"] == "no-go"  # Rankcast does not
    foreign = rankcast("demo", tmp_path)
    assert (foreign.returncode, "holds other files" in foreign.stderr) == (2, True)


def test_every_command_has_help() -> None:
    for command in app.registered_commands:
        done = rankcast(str(command.name), "--help")
        assert done.returncode == 0
        assert "Usage" in done.stdout
    assert rankcast("--version").stdout.startswith("rankcast ")


def test_help_loads_nothing_heavy() -> None:
    heavy = "{'polars', 'numpy', 'pydantic', 'duckdb', 'scipy'} & set(sys.modules)"
    for module in ("rankcast", "rankcast.cli.app"):
        probe = f"import sys; import {module}; print(sorted({heavy}))"
        done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
