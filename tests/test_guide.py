"""The guide is true: excerpts are accepted, commands run, stories are what the script prints, the reference is whole."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import clean
from clean import Case
from rankcast import plugins
from rankcast.cli.app import app
from rankcast.cli.guard import EXIT_CODES
from rankcast.records import Finding
from rankcast.study import check, run, schema_files
from rankcast.tables.schema import CANDIDATES, FEATURES, LABELS, PLACEMENTS, SCHEMAS, SCORES, SLATES
from rankcast.template import CHECKLIST
from rankcast.testing.demo import write_demo

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md")}
RUN = ("guide/rules.md", "guide/process.md", "guide/tutorial-own-logs.md", "guide/tutorial-search.md", "ja/process.md")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.+?)```", PAGES[page], re.DOTALL)


EXCERPTS = [
    (page, at)
    for page in sorted(PAGES)
    for at, block in enumerate(blocks(page, "yaml"))
    if block.startswith(("# study.yaml", "# service.yaml"))
]


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_excerpts_are_found() -> None:
    assert len(EXCERPTS) > 30


@pytest.mark.parametrize(("page", "at"), EXCERPTS)
def test_an_excerpt_is_accepted(page: str, at: int, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    case = Case(tmp_path / "case", tmp_path / "nothing", blocks(page, "yaml")[at])
    planned, _ = check(case.write(), with_data=False)
    assert planned.study.study == "clean"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the guide's commands work: a demo, and the same data as somebody's logs."""
    folder = tmp_path_factory.mktemp("shell")
    write_demo(folder, 1_000, 7, schema_files())
    (folder / "logs").mkdir()
    shutil.copytree(folder / "data", folder / "logs" / "data")
    (folder / "examples").symlink_to(DOCS.parent / "examples")
    programs = folder / "bin"
    programs.mkdir()
    (programs / "rankcast").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rankcast "$@"\n')
    (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    return folder


@pytest.mark.parametrize("page", RUN)
def test_the_guides_commands_run(page: str, shell: Path) -> None:
    found = blocks(page, "bash")
    assert found
    environment = {**os.environ, "PATH": f"{shell / 'bin'}:{os.environ['PATH']}"}
    for block in found:
        script = re.sub(r"(rankcast run studies/two-tower.yaml)(?=  )", r"\1 || true", block)
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=shell,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, (block, done.stderr[-500:])
        assert "bug in Rankcast" not in done.stderr


@pytest.mark.slow
def test_the_stories_are_what_the_script_prints() -> None:
    script = DOCS.parent / "examples" / "stories" / "stories.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    told = [story.strip() for story in done.stdout.strip().split("\n\n")]
    assert told == [block.strip() for block in blocks("guide/stories.md", "text")]
    assert len(told) == 5


# --- The reference ---


def test_the_checklist_is_the_guides() -> None:
    items = [line for line in CHECKLIST.splitlines() if line.startswith("- [ ]")]
    assert len(items) > 10
    assert items == [line for line in PAGES["guide/process.md"].splitlines() if line.startswith("- [ ]")]


def test_the_number_of_rules() -> None:
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    rules = [plugins.load(plugins.RULES, code) for code in plugins.names(plugins.RULES)]
    assert f"{len(rules)} rules look at every study" in readme
    assert f"{sum(bool(rule.awaits) for rule in rules)} of them wait" in readme


def test_every_command_option_and_exit_code_has_a_line(hooks: ModuleType) -> None:
    page = hooks.commands()
    for command in app.registered_commands:
        assert f"## rankcast {command.name}\n" in page
    assert page.count("`--format`") == 5
    assert not re.search(r"^\| `--[^|]+\|[^|]*\| +\|$", page, re.MULTILINE), "an option without a meaning"
    for code in EXIT_CODES:
        assert f"| {code} |" in page


def test_every_column_has_a_meaning(hooks: ModuleType) -> None:
    page = hooks.tables()
    for schema in (*SCHEMAS.values(), SCORES, CANDIDATES, PLACEMENTS, FEATURES, SLATES, LABELS):
        assert f"## {schema.table}\n" in page
        for column in schema.kinds:
            assert hooks.COLUMNS[column]


def test_every_key_of_a_finding_has_a_meaning(hooks: ModuleType) -> None:
    section = hooks.results().split("## Finding\n")[1].split("\n## ")[0]
    for key in Finding.model_fields:
        assert re.search(rf"^\| `{key}` \| [^|]+ \| [^|]+ \|$", section, re.MULTILINE), key


def test_every_rule_has_a_page_with_its_thresholds(hooks: ModuleType) -> None:
    page = hooks.reference("rules")
    for code in plugins.names(plugins.RULES):
        rule = plugins.load(plugins.RULES, code)
        section = page.split(f"\n## {code} {rule.name}\n")[1].split("\n## ")[0]
        for part in ("**Check.**", "**Remedy.**", "A bad study:", "A good study:", *rule.thresholds):
            assert part in section, (code, part)


def test_anti_patterns_are_told_in_both_languages() -> None:
    told = [
        re.findall(r"rules\.md#([a-z0-9-]+)", PAGES[page]) for page in ("guide/anti-patterns.md", "ja/anti-patterns.md")
    ]
    assert told[0] == told[1]
    assert len(told[0]) > 40


# --- Rules on real logs, and on clean services ---


def test_what_is_found_on_the_travel_agencys_logs(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANKCAST_DATA", str(shared_data))
    done = run(DOCS.parent / "examples" / "slan_tour" / "studies" / "reorder.yaml", tmp_path)
    found = {one.rule: one for one in done.findings}
    shown = found["CA03"]
    assert (shown.status, shown.severity) == ("fired", "warning")
    assert "132 items that were not open then and 29 without any availability row" in shown.evidence
    assert len(shown.examples) == 5
    assert found["LB02"].status == "cannot check"
    assert "position" in found["LB02"].evidence
    assert found["ST04"].status == "fired"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 220))
def test_no_error_on_a_clean_service(seed: int, tmp_path: Path) -> None:
    clean.write_data(tmp_path / "data", seed, 1_500 + 250 * (seed - 200))
    case = Case(tmp_path / "case", tmp_path / "data")
    done = run(case.write(), tmp_path / "runs")
    assert [one.evidence for one in done.findings if one.status == "fired" and one.severity == "error"] == []


def test_every_waiver_is_told(demo: Any, tmp_path: Path) -> None:
    """A waiver in force, one past its end, one without use."""
    text = demo.study("two-tower").read_text(encoding="utf-8")
    waivers = """
allow:
  DT06: {reason: two weeks are enough, until: 2099-12-31}
  CA05: {reason: once, until: 2020-01-31}
  ST03: {reason: never needed, until: 2099-12-31}
"""
    study = demo.folder / "studies" / "waived.yaml"
    study.write_text(text.replace("study: two-tower", "study: waived") + waivers, encoding="utf-8")
    found = {one.rule: one for one in run(study, tmp_path).findings}
    study.unlink()
    assert (found["DT06"].status, found["DT06"].waived) == ("waived", "two weeks are enough (until 2099-12-31)")
    assert found["CA05"].status == "fired"
    assert (found["WV01"].status, "CA05" in found["WV01"].evidence) == ("fired", True)
    assert (found["WV02"].status, found["WV02"].evidence) == ("fired", "did not fire: ST03")
