"""Every rule three times: silent on a clean study, fired by exactly its fault, and at a loss where its evidence is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import clean
from clean import Case
from faults import Fault
from faults.catalogue import FAULTS
from rankcast import plugins
from rankcast.progress import Progress
from rankcast.records import Finding
from rankcast.study import run

CODES = plugins.names(plugins.RULES)
PAGE = Path(__file__).parents[1] / "docs" / "guide" / "rules-matrix.md"
WRITE = os.environ.get("RANKCAST_WRITE_MATRIX")  # a folder for the rows, see `make matrix`

Findings = dict[str, Finding]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean") / "data"
    clean.write_data(folder)
    return folder


@pytest.fixture(scope="session")
def untouched(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Findings:
    return findings(Case(tmp_path_factory.mktemp("untouched") / "case", data))


def findings(case: Case) -> Findings:
    done = run(case.write(), case.folder / "runs", Progress())
    return {one.rule: one for one in done.findings}


def others(found: Findings, code: str) -> list[str]:
    """Errors of other rules."""
    return [
        f"{one.rule}: {one.evidence}"
        for one in found.values()
        if one.status == "fired" and one.severity == "error" and one.rule != code
    ]


def test_every_rule_has_a_fault() -> None:
    assert sorted(FAULTS) == CODES


def test_no_rule_fires_on_the_clean_study(untouched: Findings) -> None:
    for code, one in untouched.items():
        assert one.status == ("cannot check" if FAULTS[code].awaits else "passed"), (code, one.evidence)
    assert sorted(untouched) == CODES


@pytest.mark.parametrize("code", CODES)
def test_a_rule_is_silent_fires_and_is_at_a_loss(code: str, data: Path, untouched: Findings, tmp_path: Path) -> None:
    rule, fault = plugins.load(plugins.RULES, code), FAULTS[code]
    row = {"clean": _settled(rule.good, fault, code, data, untouched, tmp_path)}
    if fault.awaits:
        row |= {"fault": "not yet", "missing": untouched[code].evidence}
    else:
        broken = Case(tmp_path / "bad", data, rule.bad)
        if fault.inject is not None:
            fault.inject(broken)
        found = findings(broken)
        assert found[code].status == "fired", found[code].evidence
        assert others(found, code) == []
        row["fault"] = f"fired ({found[code].severity}): {found[code].evidence}"
        if fault.hide is None:
            assert fault.always
            row["missing"] = f"never missing: {fault.always}"
        else:
            blind = Case(tmp_path / "blind", data)
            fault.hide(blind)
            found = findings(blind)
            assert found[code].status == "cannot check", found[code].evidence
            assert found[code].remedy
            row["missing"] = f"cannot check: {found[code].evidence}"
    _row(code, rule.name, row)


def _settled(good: str, fault: Fault, code: str, data: Path, untouched: Findings, tmp_path: Path) -> str:
    """What the rule says of its page's good study."""
    case = Case(tmp_path / "good", data, good)
    if (case.service, case.study, fault.settle) != (clean.SERVICE, clean.STUDY, None):
        if fault.settle is not None:
            fault.settle(case)
        found = findings(case)
        assert others(found, code) == []
    else:
        found = untouched
    assert found[code].status == ("cannot check" if fault.awaits else "passed"), found[code].evidence
    return f"{found[code].status}: {found[code].evidence}"


def _row(code: str, name: str, row: dict[str, str]) -> None:
    """Hold a row of the docs' matrix against what was seen, or write it anew."""
    cells = [
        f"[{code}](../reference/rules.md#{code.lower()}-{name})",
        *(row[name] for name in ("clean", "fault", "missing")),
    ]
    line = "| " + " | ".join(" ".join(cell.split()).replace("|", "/").replace("<", "&lt;") for cell in cells) + " |"
    if WRITE:
        (Path(WRITE) / code).write_text(line, encoding="utf-8")
    else:
        assert line in PAGE.read_text(encoding="utf-8").splitlines(), "run `make matrix`"
