"""How findings are shown to people and tools, and how a study and a service configure the rules."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import jsonschema
import polars as pl
import pytest

import clean
from clean import Case, merged
from rankcast.progress import Progress
from rankcast.records import Finding
from rankcast.report.annotations import workflow_commands
from rankcast.rules import evidence
from rankcast.runs.folder import Run
from rankcast.study import run
from tiny import Outcome, World, assert_refused, rankcast

FORMATS = ("text", "json", "sarif", "github")
INSIDE = "2023-10-09"  # of the period


def of(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


TEXT = {"type": "string", "minLength": 1}
SAID = of(("text",), text=TEXT)
SEMANTIC = {"type": "string", "pattern": r"^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"}
RULE = of(("id",), id=TEXT, name=TEXT, shortDescription=SAID, fullDescription=SAID, help=SAID)
PLACE = of(
    ("physicalLocation",),
    physicalLocation=of(
        ("artifactLocation", "region"),
        artifactLocation=of(("uri",), uri={"type": "string", "pattern": r"^([A-Za-z0-9\-._~!$&'()*+,;=@/]|%[0-9A-F]{2})+$"}),
        region=of(("startLine",), startLine={"type": "integer", "minimum": 1}),
    ),
)
RESULT = of(
    ("ruleId", "ruleIndex", "level", "message"),
    ruleId=TEXT,
    ruleIndex={"type": "integer", "minimum": 0},
    level={"enum": ["error", "warning"]},
    message=SAID,
    locations={"type": "array", "items": PLACE, "minItems": 1, "maxItems": 1},
    partialFingerprints={"type": "object", "additionalProperties": TEXT},
    suppressions={"type": "array", "items": of(("kind",), kind={"enum": ["inSource", "external"]}, justification=TEXT)},
)
DRIVER = of(
    ("name", "rules"),
    name=TEXT,
    semanticVersion=SEMANTIC,
    rules={"type": "array", "items": RULE, "uniqueItems": True},
)
SARIF = of(
    ("version", "runs"),
    **{"$schema": {"type": "string", "pattern": r"^https://.*sarif.*2\.1\.0.*\.json$"}},
    version={"const": "2.1.0"},
    runs={
        "type": "array",
        "minItems": 1,
        "maxItems": 1,
        "items": of(
            ("tool", "results"),
            tool=of(("driver",), driver=DRIVER),
            columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
            results={"type": "array", "items": RESULT},
        ),
    },
)
"""The parts of SARIF 2.1.0 that are written, by its specification."""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.chdir(tmp_path)
    return World(tmp_path)


def leaking(world: World) -> World:
    """DT01 fires, an error; DT05 fires and is waived."""
    world.study("variants", "new", "trained_until", to=INSIDE).study("period", "to", to="2023-10-14")
    return world.study("allow", to={"DT05": {"reason": "the log is short: it ends, 100%", "until": "2099-12-31"}})


def line(file: Path, text: str) -> int:
    """The only line of a file that holds a text."""
    (found,) = [number for number, one in enumerate(file.read_text().splitlines(), 1) if text in one]
    return found


def results_of(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """What a SARIF log on stdout holds, by rule; it is held against the specification."""
    log = json.loads(outcome.out)
    jsonschema.validate(log, SARIF)
    (one,) = log["runs"]
    codes = [rule["id"] for rule in one["tool"]["driver"]["rules"]]
    assert len(set(codes)) == len(codes)
    for result in one["results"]:
        assert codes[result["ruleIndex"]] == result["ruleId"]
    return {result["ruleId"]: result for result in one["results"]}


def place(result: Mapping[str, Any]) -> tuple[Path, int]:
    """The file and the line of a result; the file is there, by a relative reference from where the command runs."""
    physical = result["locations"][0]["physicalLocation"]
    parts = urlsplit(physical["artifactLocation"]["uri"])
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")
    file = Path(unquote(parts.path))
    assert not file.is_absolute()
    assert file.is_file(), file
    return file.resolve(), physical["region"]["startLine"]


# --- SARIF ---


@pytest.mark.parametrize("name", ["plain", "mit Blank", "求人 Böden", "a:b#c?d%41&e+[1]"])
def test_sarif_of_check_run_and_report(world: World, name: str) -> None:
    world = leaking(World(world.folder / name)).write()
    study = (world.folder / "study.yaml").resolve()
    checked = world.run("--format", "sarif", command="check")
    assert (checked.code, checked.err) == (5, "")
    done = world.run("--format", "sarif")
    assert (done.code, done.err) == (5, "")
    (folder,) = (world.folder / "runs" / "first").iterdir()
    found = {one["rule"]: one for one in json.loads((folder / "result.json").read_text())["findings"]}
    assert {"passed", "cannot check", "fired", "waived"} == {one["status"] for one in found.values()}
    told = results_of(done)
    assert set(told) == {code for code, one in found.items() if one["status"] in {"fired", "waived"}}
    assert json.loads(rankcast("report", str(folder), "--format", "sarif").out) == json.loads(done.out)
    for results in (results_of(checked), told):
        assert place(results["DT01"]) == (study, line(study, '"trained_until"'))
        assert results["DT01"]["level"] == "error"
        assert "new (until 2023-10-09)" in results["DT01"]["message"]["text"]
        assert results["DT05"]["level"] == "warning"
        (suppressed,) = results["DT05"]["suppressions"]
        assert suppressed["justification"].startswith("the log is short: it ends, 100%")
        assert [code for code, one in results.items() if "suppressions" in one] == ["DT05"]
    for code, one in told.items():
        assert one["level"] == found[code]["severity"]
        assert place(one)[1] == found[code]["line"]


def test_sarif_of_a_clean_study_has_no_results(world: World) -> None:
    assert results_of(world.write().run("--format", "sarif", command="check")) == {}


def test_sarif_points_at_the_service_too(world: World) -> None:
    done = world.service("targets", "without_labels", to="zero").write().run("--format", "sarif")
    file = (world.folder / "service.yaml").resolve()
    assert place(results_of(done)["TG01"]) == (file, line(file, '"without_labels"'))


def test_the_line_of_a_variant_with_a_dot_in_its_name(world: World) -> None:
    world.study_document["variants"]["new.v2"] = world.study_document["variants"].pop("new")
    world.study("variants", "new.v2", "trained_until", to=INSIDE).write()
    study = (world.folder / "study.yaml").resolve()
    results = results_of(world.run("--format", "sarif", command="check"))
    assert place(results["DT01"]) == (study, line(study, '"trained_until"'))


def test_sarif_where_runs_are_kept_behind_a_link(world: World) -> None:
    kept = world.folder / "far" / "away" / "runs"
    kept.mkdir(parents=True)
    (world.folder / "runs").symlink_to(kept)
    done = leaking(world).write().run("--format", "sarif")
    assert place(results_of(done)["DT01"])[0] == (world.folder / "study.yaml").resolve()


@pytest.mark.parametrize("command", ["check", "run"])
def test_sarif_of_what_is_wrong_with_the_files(world: World, command: str) -> None:
    world.study("metrics", "primary", to="zz@1").study("baseline", to="q").service("labels", "horizon", to="x").write()
    outcome = world.run("--format", "sarif", command=command)
    assert_refused(outcome, "unknown metric `zz`", "no variant `q`", "labels.horizon")
    log = json.loads(outcome.out)
    assert set(results_of(outcome)) == {"INPUT"}
    study, service = world.folder / "study.yaml", world.folder / "service.yaml"
    wanted = {
        "metrics.primary": (study.resolve(), line(study, '"primary"')),
        "baseline": (study.resolve(), line(study, '"baseline"')),
        "labels.horizon": (service.resolve(), line(service, '"horizon"')),
    }
    told = {one["message"]["text"].partition(":")[0]: place(one) for one in log["runs"][0]["results"]}
    assert told == wanted


@pytest.mark.parametrize(
    ("text", "at"), [(b"rankcast: 1\n\tstudy: x\n", 2), (b"owner: caf\xe9\n", 1), (b"", 1), (b"a: 1\na: 2\n", 2)]
)
def test_sarif_of_what_is_no_yaml(world: World, text: bytes, at: int) -> None:
    (world.write().folder / "study.yaml").write_bytes(text)
    outcome = world.run("--format", "sarif", command="check")
    assert outcome.code == 2
    assert place(results_of(outcome)["INPUT"]) == ((world.folder / "study.yaml").resolve(), at)


def test_sarif_of_missing_data(world: World) -> None:
    outcome = world.write(data=False).run("--format", "sarif", command="check")
    assert outcome.code == 2
    assert place(results_of(outcome)["INPUT"])[0].parent == world.folder.resolve()


# --- GitHub ---


def parsed(text: str) -> tuple[str, dict[str, str], str]:
    """A workflow command as GitHub's runner reads it: its name, its properties, its message."""
    assert text.startswith("::")
    head, mark, data = text[2:].partition("::")
    assert mark
    name, _, given = head.partition(" ")
    pairs = [pair.split("=", 1) for pair in given.split(",") if pair]
    return name, {key: _plain(value, "%3A", "%2C") for key, value in pairs}, _plain(data)


def _plain(text: str, *more: str) -> str:
    """The `%25` comes last, as in the runner."""
    for code in ("%0D", "%0A", *more, "%25"):
        text = text.replace(code, unquote(code))
    return text


def test_github_of_check(world: World) -> None:
    hostile = "50%25,a=b::error file=x::%0A 100%"
    world = leaking(World(world.folder / "a,b: 100%0A=c"))
    world.study_document["variants"][hostile] = world.study_document["variants"].pop("new")
    study = world.write().folder / "study.yaml"
    told = json.loads(world.run("--json", command="check").out)["findings"]
    outcome = world.run("--format", "github", command="check")
    assert (outcome.code, outcome.err) == (5, "")
    lines = {given["title"].split()[0]: (name, given, data) for name, given, data in map(parsed, outcome.out.splitlines())}
    kinds = {one["rule"]: one["severity"] if one["status"] == "fired" else "notice" for one in told}
    shown = {one["rule"] for one in told if one["status"] in {"fired", "cannot check"}}
    assert {code: name for code, (name, _, _) in lines.items()} == {code: kinds[code] for code in shown}
    assert {"error", "notice"} <= set(kinds[code] for code in shown)
    assert len(outcome.out.splitlines()) == len(shown)
    assert "DT05" not in lines  # waived
    name, given, data = lines["DT01"]
    assert (name, set(given)) == ("error", {"file", "line", "title"})
    assert (given["file"], given["title"]) == (str(study.relative_to(world.folder.parent)), "DT01 temporal-leakage")
    assert int(given["line"]) == line(study, '"trained_until"')
    assert f"{hostile} (until {INSIDE})" in data


def test_github_escapes() -> None:
    text = "a\r\nb: 10%, c\n::error::x %0A"
    one = Finding.model_validate(
        {"rule": "DT01", "name": "n", "severity": "warning", "status": "fired", "evidence": text, "remedy": "", "line": 3}
        | {"file": "study"}
    )
    (shown,) = workflow_commands([one], {"study": "a,b:c%\nd.yaml"})
    assert shown == (
        "::warning file=a%2Cb%3Ac%25%0Ad.yaml,line=3,title=DT01 n::a%0D%0Ab: 10%25, c%0A::error::x %250A"
    )
    assert parsed(shown) == ("warning", {"file": "a,b:c%\nd.yaml", "line": "3", "title": "DT01 n"}, text)
    passed = [one.model_copy(update={"status": status}) for status in ("passed", "waived")]
    assert workflow_commands(passed, {}) == []


def test_a_workflow_of_github_reads_annotations_on_stderr(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    leaking(world).write()
    world.run()
    (folder,) = (world.folder / "runs" / "first").iterdir()
    calls = [
        ["check", "study.yaml"],
        ["run", "study.yaml", "--out", "runs", "--quiet"],
        ["report", str(folder)],
        ["report", str(folder), "--markdown"],
    ]
    before = [rankcast(*call) for call in calls]
    assert all(one.err == "" for one in before)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    for call, plain in zip(calls, before, strict=True):
        told = rankcast(*call)
        assert (told.out, told.code) == (plain.out, plain.code)
        asked = [one for one in call if one != "--markdown"]
        assert told.err == rankcast(*asked, "--format", "github").out
        assert parsed(told.err.splitlines()[-1])[0] in {"error", "warning", "notice"}
        assert rankcast(*asked, "--json").err == ""
    world.study("baseline", to="q").write()
    broken = rankcast("check", "study.yaml")
    assert (broken.code, broken.out) == (2, "")
    name, given, data = parsed(broken.err.splitlines()[0])
    assert (name, given["file"], "no variant `q`" in data) == ("error", "study.yaml", True)
    assert int(given["line"]) == line(world.folder / "study.yaml", '"baseline"')


# --- The catalogue ---

SIZES = {"DT": 7, "TG": 6, "CA": 5, "RP": 6, "LB": 9, "MT": 4, "CM": 5, "ST": 5, "CF": 6, "RE": 2, "ON": 5}
CATALOGUE = {f"{family}{number:02}" for family, size in SIZES.items() for number in range(1, size + 1)}


def test_rules_lists_every_code_once() -> None:
    assert len(CATALOGUE) == 60
    pages = json.loads(rankcast("rules", "--json").out)
    codes = [one["code"] for one in pages]
    assert codes == sorted(set(codes))
    assert set(codes) >= CATALOGUE
    for one in pages:
        assert all(one[key] for key in ("name", "severity", "moment", "wrong", "check", "remedy", "source", "good", "bad"))
    printed = rankcast("rules").out.splitlines()
    assert [text[:4] for text in printed[:-1]] == codes
    assert all(one["name"] in text for one, text in zip(pages, printed, strict=False))


@pytest.mark.parametrize("code", ["DT01", "CA05", "RP02"])
def test_explain_a_rule(code: str) -> None:
    (page,) = [one for one in json.loads(rankcast("rules", "--json").out) if one["code"] == code]
    shown = rankcast("explain", code)
    assert shown.code == 0
    assert shown.out.startswith(f"{code} {page['name']}\n")
    assert {rankcast("explain", name).out for name in (code.lower(), page["name"])} == {shown.out}
    flat = " ".join(shown.out.split())
    for part in ("wrong", "check", "remedy", "source", "good", "bad"):
        assert " ".join(page[part].split()) in flat
    assert f"Check: {page['check']}" in flat
    assert f"Remedy: {page['remedy']}" in flat
    assert all(f"  {name}: {value} " in shown.out for name, value in page["thresholds"].items())
    assert ("thresholds" in shown.out) == bool(page["thresholds"]) == (code != "DT01")
    assert json.loads(rankcast("explain", code, "--json").out)["subject"] == f"{code} {page['name']}"


@pytest.mark.parametrize("code", ["DT99", "dt0l", "temporal-leakge"])
def test_explain_an_unknown_rule(code: str) -> None:
    assert_refused(rankcast("explain", code), f"nothing is known as `{code}`")
    assert re.search(r"did you mean `(DT\d\d|temporal-leakage)`|rankcast rules", rankcast("explain", code).err)


# --- Nothing is executed ---


def test_check_executes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(world.folder)
    left = world.folder / "left"
    (world.folder / "boobytrap.py").write_text(f"print('hello')\nopen({str(left)!r}, 'w').close()\n")
    world.study("variants", "new", to={"python": "boobytrap:score"}).study("metrics", "also", to=["boobytrap:Thing@10"])
    world.service("production", "steps", to=["available", {"python": "boobytrap:step"}]).write()
    for form in FORMATS:
        for more in ((), ("--without-data",)):
            outcome = world.run("--format", form, *more, command="check")
            assert (outcome.code, outcome.err) == (0, "")
    assert results_of(world.run("--format", "sarif", command="check")) == {}
    assert not left.exists()
    assert "boobytrap" not in sys.modules
    assert set(results_of(world.run("--format", "sarif"))) == {"INPUT"}  # a run imports it, and stdout is still JSON
    assert left.exists()
    sys.modules.pop("boobytrap", None)
