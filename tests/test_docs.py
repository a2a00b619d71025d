"""Docs are true: everything has a page, and the README's figures are what the commands print."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import jsonschema
import polars as pl
import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

import rankcast
from rankcast import plugins
from rankcast.cli.app import app
from rankcast.config.problems import keys_at
from rankcast.config.service import Service
from rankcast.config.study import Study
from rankcast.study import plan, run, schema_files

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "guide").glob("*.md")}


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_command_has_a_line() -> None:
    for command in app.registered_commands:
        assert f"| `rankcast {command.name}" in GUIDE["commands"]


@pytest.mark.parametrize("group", ["metrics", "steps", "builtins", "rules"])
def test_everything_registered_has_a_page(hooks: ModuleType, group: str) -> None:
    page = hooks.reference(group)
    for name in plugins.names(hooks.GROUPS[group][0]):
        section = re.search(rf"^## {name}\b.*?\n\n(.+?)\n", page, re.MULTILINE | re.DOTALL)
        assert section is not None, name
        assert len(section[1]) > 30, name


@pytest.mark.parametrize(("model", "name"), [(Service, "service"), (Study, "study")])
def test_every_key_is_explained(hooks: ModuleType, model: type[BaseModel], name: str) -> None:
    page = hooks.keys()
    assert not re.search(r"^\| `[^|]+ \|[^|]*\|[^|]*\| +\|$", page, re.MULTILINE), "a key without a meaning"
    for key in keys_at(model, ()):
        assert f"| `{key}` |" in page
        assert key in GUIDE["files"], f"{name}.yaml: {key}"


def test_the_examples_of_the_guide_are_valid(tmp_path: Path) -> None:
    service, study = re.findall(r"```yaml\n(.+?)```", GUIDE["files"], re.DOTALL)
    (tmp_path / "studies").mkdir()
    (tmp_path / "service.yaml").write_text(service)
    (tmp_path / "studies" / "study.yaml").write_text(study)
    assert plan(tmp_path / "studies" / "study.yaml").study.study == "two-tower-v3"
    loader = YAML(typ="safe", pure=True)
    jsonschema.validate(_plain(loader.load(service)), json.loads(schema_files()["service"]))
    jsonschema.validate(_plain(loader.load(study)), json.loads(schema_files()["study"]))
    in_readme = re.search(r"```yaml\n(.+?)```", README, re.DOTALL)
    assert in_readme is not None
    (tmp_path / "studies" / "readme.yaml").write_text(in_readme[1])
    assert plan(tmp_path / "studies" / "readme.yaml").study.study == "two-tower"


def _plain(document: object) -> object:
    """As an editor sees it: dates are text."""
    return json.loads(json.dumps(document, default=str))


def test_the_guides_own_metric_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = [block for block in re.findall(r"```python\n(.+?)```", GUIDE["score"], re.DOTALL) if "class" in block]
    name = "guides_own_metric"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    scores = rankcast.score({"q": {"a": 2.0, "b": 1.0}}, {"q": {"a": 1, "c": 1}}, [f"{name}:Share@1"])
    assert scores[f"{name}:Share@1"].value == 0.25


def test_the_number_of_metrics() -> None:
    assert f"{len(plugins.names(plugins.METRICS))} metrics;" in README


def test_the_examples_schemas_are_current() -> None:
    for name, text in schema_files().items():
        assert (ROOT / "examples" / "schema" / f"{name}.json").read_text() == text, "run `make schema`"


@pytest.mark.slow
def test_the_readmes_story_is_what_the_demo_prints(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rankcast", "demo", str(tmp_path / "demo")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    story = done.stdout.partition("report of")[0].strip()
    assert story in README


def test_the_readmes_figures_of_real_logs(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKCAST_DATA", str(shared_data))
    done = run(ROOT / "examples" / "slan_tour" / "studies" / "reorder.yaml", tmp_path)
    results = done.result.results
    requests = [row for row in results.targets if row.scope == "requests"]
    step = next(row for row in results.steps if (row.variant, row.step) == ("logged", "available"))
    assert f"{step.removed} of {step.in_:,} shown rows" in README
    lost = len(done.labels.filter(pl.col("request_id").is_null()))
    assert f"{lost} of {len(done.labels)} clicks count for no list" in README
    assert f"{requests[-1].out} of {requests[0].in_:,} lists have a click" in README
    for variant in ("popular", "recent"):
        row = next(r for r in results.comparisons if (r.variant, r.metric, r.segment) == (variant, "dcg@6", None))
        assert row.relative is not None
        assert row.relative_low is not None
        assert row.relative_high is not None
        shown = f"{row.relative:+.1%} ({row.relative_low:+.1%} to {row.relative_high:+.1%})"
        line = f"| `{variant}` | {shown}".replace("-", "−").replace("%", " %")
        assert line in README, line


def test_no_data_of_others_is_in_the_repository() -> None:
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not [name for name in tracked if name.endswith((".parquet", ".csv", ".gz", ".ndjson"))]
    assert json.loads((ROOT / "examples" / "schema" / "study.json").read_text())["title"] == "Study"
