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


def of(required: str = "", **properties: Any) -> dict[str, Any]:
    """An object of these properties and no others."""
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


# fmt: off
TEXT = {"type": "string", "minLength": 1}
NUMBER = {"type": "integer", "minimum": 0}
SEMANTIC = {"type": "string", "pattern": r"^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"}
URI = {"type": "string", "pattern": r"^([A-Za-z0-9\-._~!$&'()*+,;=@/]|%[0-9A-F]{2})+$"}
SAID = of("text", text=TEXT)
RULE = of("id", id=TEXT, name=TEXT, shortDescription=SAID, fullDescription=SAID, help=SAID)
DRIVER = of("name rules", name=TEXT, semanticVersion=SEMANTIC, rules={"type": "array", "items": RULE, "uniqueItems": True})
PHYSICAL = of("artifactLocation region", artifactLocation=of("uri", uri=URI), region=of("startLine", startLine=NUMBER))
PLACES = {"type": "array", "items": of("physicalLocation", physicalLocation=PHYSICAL), "minItems": 1, "maxItems": 1}
WAIVED = {"type": "array", "items": of("kind", kind={"enum": ["inSource", "external"]}, justification=TEXT), "minItems": 1}
RESULT = of("ruleId ruleIndex level message", ruleId=TEXT, ruleIndex=NUMBER, level={"enum": ["error", "warning"]}, message=SAID,
            locations=PLACES, partialFingerprints={"type": "object", "additionalProperties": TEXT}, suppressions=WAIVED)
RUN = of("tool results", tool=of("driver", driver=DRIVER), columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
         results={"type": "array", "items": RESULT})
SARIF = of("version runs", **{"$schema": {"type": "string", "pattern": r"^https://.*sarif.*2\.1\.0.*\.json$"}},
           version={"const": "2.1.0"}, runs={"type": "array", "items": RUN, "minItems": 1, "maxItems": 1})
"""The parts of SARIF 2.1.0 that are written, by its specification."""
# fmt: on


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.chdir(tmp_path)
    return World(tmp_path)


def leaking(world: World) -> World:
    """DT01 fires, an error; DT05 fires and is waived."""
    world.study("variants", "new", "trained_until", to=INSIDE).study("period", "to", to="2023-10-14")
    return world.study("allow", to={"DT05": {"reason": "the log is short: it ends, 100%", "until": "2099-12-31"}})


def line(file: Path, key: str) -> int:
    """The line of a file that has a key; there is one only."""
    (found,) = [number for number, one in enumerate(file.read_text().splitlines(), 1) if f'"{key}":' in one]
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


@pytest.mark.parametrize("name", ["plain", "mit Blank", "求人 Böden", "a:b#c?d%41&e+", "glob[1]"])
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
        assert place(results["DT01"]) == (study, line(study, "trained_until"))
        assert results["DT01"]["level"] == "error"
        assert "new (until 2023-10-09)" in results["DT01"]["message"]["text"]
        assert results["DT05"]["level"] == "warning"
        (suppressed,) = results["DT05"]["suppressions"]
        assert suppressed["justification"].startswith("the log is short: it ends, 100%")
        assert [code for code, one in results.items() if "suppressions" in one] == ["DT05"]
    for code, one in told.items():
        assert one["level"] == found[code]["severity"]
        assert place(one)[1] == found[code]["line"]


def test_sarif_points_at_the_service_too(world: World) -> None:
    world.table("events", lambda events: events.filter(pl.col("request_id").ne_missing("r02")))
    done = world.service("targets", "without_labels", to="zero").write().run("--format", "sarif")
    file = (world.folder / "service.yaml").resolve()
    assert place(results_of(done)["TG01"]) == (file, line(file, "without_labels"))


def test_the_line_of_a_variant_with_a_dot_in_its_name(world: World) -> None:
    world.study_document["variants"]["new.v2"] = world.study_document["variants"].pop("new")
    world.study("variants", "new.v2", "trained_until", to=INSIDE).write()
    study = (world.folder / "study.yaml").resolve()
    results = results_of(world.run("--format", "sarif", command="check"))
    assert place(results["DT01"]) == (study, line(study, "trained_until"))


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
        "metrics.primary": (study.resolve(), line(study, "primary")),
        "baseline": (study.resolve(), line(study, "baseline")),
        "labels.horizon": (service.resolve(), line(service, "horizon")),
    }
    told = {one["message"]["text"].partition(":")[0]: place(one) for one in log["runs"][0]["results"]}
    assert told == wanted


@pytest.mark.parametrize(("text", "at"), [(b"a: 1\n\tb: x\n", 2), (b"a: caf\xe9\n", 1), (b"", 1), (b"a: 1\na: 2\n", 2)])
def test_sarif_of_what_is_no_yaml(world: World, text: bytes, at: int) -> None:
    (world.write().folder / "study.yaml").write_bytes(text)
    outcome = world.run("--format", "sarif", command="check")
    assert outcome.code == 2
    assert place(results_of(outcome)["INPUT"]) == ((world.folder / "study.yaml").resolve(), at)


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
    lines = {
        given["title"].split()[0]: (name, given, data) for name, given, data in map(parsed, outcome.out.splitlines())
    }
    kinds = {one["rule"]: one["severity"] if one["status"] == "fired" else "notice" for one in told}
    shown = {one["rule"] for one in told if one["status"] in {"fired", "cannot check"}}
    assert {code: name for code, (name, _, _) in lines.items()} == {code: kinds[code] for code in shown}
    assert {"error", "notice"} <= {kinds[code] for code in shown}
    assert len(outcome.out.splitlines()) == len(shown)
    assert "DT05" not in lines  # waived
    name, given, data = lines["DT01"]
    assert (name, set(given)) == ("error", {"file", "line", "title"})
    assert (given["file"], given["title"]) == (str(study.relative_to(world.folder.parent)), "DT01 temporal-leakage")
    assert int(given["line"]) == line(study, "trained_until")
    assert f"{hostile} (until {INSIDE})" in data


def test_github_escapes() -> None:
    text = "a\r\nb: 10%, c\n::error::x %0A"
    one = Finding.model_validate(
        {
            "rule": "DT01",
            "name": "n",
            "severity": "warning",
            "status": "fired",
            "evidence": text,
            "remedy": "",
            "line": 3,
        }
        | {"file": "study"}
    )
    (shown,) = workflow_commands([one], {"study": "a,b:c%\nd.yaml"})
    assert shown == ("::warning file=a%2Cb%3Ac%25%0Ad.yaml,line=3,title=DT01 n::a%0D%0Ab: 10%25, c%0A::error::x %250A")
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
    assert int(given["line"]) == line(world.folder / "study.yaml", "baseline")


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
        assert all(
            one[key] for key in ("name", "severity", "moment", "wrong", "check", "remedy", "source", "good", "bad")
        )
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


# --- How rules are configured ---

WAIVER = {"reason": "r", "until": "2099-12-31"}


WRONG_WAIVERS: list[tuple[Any, str, str]] = [  # where, and what is said; the last key of where tells the line
    ({"DT05": {"until": "2099-12-31"}}, "DT05.reason", "required and is missing"),
    ({"DT05": {**WAIVER, "reason": " \t"}}, "DT05.reason", "found an empty text"),
    ({"DT05": {**WAIVER, "reason": 7}}, "DT05.reason", "expected text, found 7"),
    ({"DT05": {"reason": "r"}}, "DT05.until", "required and is missing"),
    *[({"DT05": {**WAIVER, "until": day}}, "DT05.until", "expected a date") for day in ("soon", "2099-02-30", None, 7)],
    ({"DT05": {**WAIVER, "until": "2099-W52T09"}}, "DT05.until", "expected a date"),
    ({"DT05": {**WAIVER, "untl": 1}}, "DT05.untl", "unknown key `untl`; did you mean `until`?"),
    ({"DT05": "why not"}, "DT05", 'expected keys and values, found "why not"'),
    ({"XX99": WAIVER}, "XX99", "unknown rule `XX99`"),
    *[({code: WAIVER}, code, "expected the code of a rule, such as RP02") for code in ("dt05", "DT0l", "")],
    *[({code: WAIVER}, code, "a rule about `allow` cannot be waived") for code in ("WV01", "WV02")],
    *[(given, "", f"expected keys and values, found {json.dumps(given)}") for given in (["DT05"], "DT05", 7)],
]


@pytest.mark.parametrize(("allow", "key", "said"), WRONG_WAIVERS, ids=str)
def test_a_waiver_that_is_none(world: World, allow: object, key: str, said: str) -> None:
    study = world.study("allow", to=allow).write().folder / "study.yaml"
    near = [one for one in ("allow", *key.split(".")) if f'"{one}":' in study.read_text().partition('"allow"')[2]] or [
        "allow"
    ]
    at = f"study.yaml:{line(study, near[-1])}: {'.'.join(['allow', *filter(None, [key])])}: "
    for command in ("check", "run"):
        assert_refused(world.run(command=command), at, said)
    assert world.left_behind() == []


NO_NUMBER = (
    '"high"',
    '"0.9"',
    '"%"',
    '"nan%"',
    '"inf%"',
    '"-5%"',
    "-0.1",
    ".nan",
    ".inf",
    "-.inf",
    "true",
    "null",
    "[0.9]",
)
WRONG_RULES = [
    ('{"XX99": {"warn": 0.9}}', "XX99", "unknown rule `XX99`"),
    ('{"rp02": {"warn": 0.9}}', "rp02", 'such as RP02, found "rp02"'),
    ('{"RP02": {"wran": 0.9}}', "RP02.wran", "rule RP02 has no threshold `wran`; did you mean `warn`?"),
    ('{"DT01": {"warn": 0.9}}', "DT01.warn", "it has none at all"),
    *[
        (f'{{"RP02": {{"warn": {one}}}}}', "RP02.warn", "expected a number from 0, or a share such as 5%")
        for one in NO_NUMBER
    ],
    *[
        (f'{{"RP02": {{"warn": {one}}}}}', "RP02.warn", "expected a share from 0 to 1")
        for one in ("95", '"950%"', "1.01")
    ],
    ('{"DT06": {"windows": 2.5}}', "DT06.windows", "expected a whole number, found 2.5"),
    ('{"RP02": 0.9}', "RP02", "expected keys and values, found 0.9"),
    ("[RP02]", "", 'expected keys and values, found ["RP02"]'),
]


@pytest.mark.parametrize(("rules", "key", "said"), WRONG_RULES, ids=str)
def test_a_threshold_that_is_none(world: World, rules: str, key: str, said: str) -> None:
    file = world.service("rules", to="@here").write().folder / "service.yaml"
    file.write_text(file.read_text().replace('"@here"', rules))
    at = f"service.yaml:{line(file, 'rules')}: {'.'.join(filter(None, ('rules', key)))}: "
    for command in ("check", "run"):
        assert_refused(world.run(command=command), at, said)
    assert world.left_behind() == []


def test_a_threshold_of_no_share_may_be_above_one(world: World) -> None:
    world.service("rules", to={"TG06": {"error": 1.5}, "RP02": {"rank_mae": 3}, "CM03": {"ratio": "150%"}})
    assert world.write().run(command="check").code == 0  # the population stability index is no share


@pytest.mark.parametrize("written", ["5%", " 5.0 %", 0.05])
def test_a_share_is_written_in_two_ways(world: World, written: object) -> None:
    world.service("rules", to={"TG02": {"error": written, "warn": 0}}).write()
    plan = json.loads(world.run("--json", command="explain").out)
    assert plan["service"]["rules"] == {"TG02": {"error": 0.05, "warn": 0.0}}


WRONG_TRAINING: list[tuple[Any, str, str]] = [
    ({"trails": 3}, "trails", "unknown key `trails`; did you mean `trials`?"),
    ({"tuned_on": {"from": "2023-09-15", "to": "2023-09-15"}}, "tuned_on", "the period is empty"),
    ({"tuned_on": {"from": "2023-09-15", "to": "2023-09-01"}}, "tuned_on", "it ends at 2023-09-01"),
    ({"trials": -1}, "trials", "found -1"),
    ({"trials": 1.5}, "trials", "expected an integer, found 1.5"),
    ({"split": "by_luck"}, "split", "expected 'global_temporal', 'rolling'"),
    ({"features": {"path": "data/nope.parquet"}}, "features", "no file matches `data/nope.parquet`"),
    ({"features": {"path": "data/scores.parquet"}}, "features.as_of", "column `as_of` is missing"),
]


@pytest.mark.parametrize(("training", "key", "said"), WRONG_TRAINING, ids=str)
def test_training_that_is_wrong(world: World, training: Any, key: str, said: str) -> None:
    world.study("variants", "new", "training", to=training).write()
    at = line(world.folder / "study.yaml", next(iter(training)))
    for command in ("check", "run"):
        assert_refused(world.run(command=command), f"study.yaml:{at}: variants.new.training.{key}: ", said)
    assert world.left_behind() == []


@pytest.mark.parametrize("events", [[], "click", [1], [""], {"click": 1}])
def test_online_events_that_are_none(world: World, events: object) -> None:
    world.study("online", to={"metric": "m", "events": events}).write()
    at = f"study.yaml:{line(world.folder / 'study.yaml', 'events')}: online.events: "
    assert_refused(world.run(command="check"), at, "expected a list of kinds of events, such as [click]")


# --- Waivers ---


def latest(world: World) -> dict[str, Any]:
    """The result and the manifest of the newest run."""
    folders = sorted((world.folder / "runs" / "first").iterdir(), key=lambda one: one.stat().st_mtime_ns)
    read = {name: json.loads((folders[-1] / f"{name}.json").read_text()) for name in ("result", "manifest")}
    return {**read, "runs": len(folders), "of": {one["rule"]: one for one in read["result"]["findings"]}}


def waiving(world: World, until: str, reason: str = "known", code: str = "DT01") -> World:
    """DT01 fires, an error; it, or another rule, is waived."""
    world.study("variants", "new", "trained_until", to=INSIDE)
    return world.study("allow", to={code: {"reason": reason, "until": until}}).write()


class Clock(datetime):
    """A clock that stands still."""

    moment = datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Clock:
        return cls.fromtimestamp(cls.moment.timestamp(), tz)


def test_a_waiver_in_force(world: World) -> None:
    checked = waiving(world, "2099-12-31").run(command="check")
    assert (checked.code, "DT01 temporal-leakage: waived, known (until 2099-12-31)" in checked.out) == (0, True)
    done, last = world.run(), latest(world)
    assert done.code in {0, 3, 4}
    assert last["result"]["decision"]["new"]["decision"] != "invalid"
    one = last["of"]["DT01"]
    assert (one["status"], one["severity"], one["waived"]) == ("waived", "error", "known (until 2099-12-31)")
    assert (last["of"]["WV01"]["status"], last["of"]["WV02"]["status"]) == ("passed", "passed")


def test_a_waiver_past_its_end(world: World) -> None:
    assert waiving(world, "2023-12-31").run(command="check").code == 5
    done, last = world.run(), latest(world)
    assert (done.code, last["result"]["decision"]["new"]["decision"]) == (5, "invalid")
    assert (last["of"]["DT01"]["status"], last["of"]["DT01"]["waived"]) == ("fired", None)
    over = last["of"]["WV01"]
    assert (over["status"], over["severity"], over["key"], over["count"]) == ("fired", "warning", "allow.DT01", 1)
    assert over["line"] == json.dumps(world.study_document, indent=1).split('"allow"')[0].count("\n") + 2
    assert "DT01 (until 2023-12-31)" in over["evidence"]
    assert last["of"]["WV02"]["status"] == "passed"


def test_a_waiver_that_is_not_used(world: World) -> None:
    checked = waiving(world, "2099-12-31", code="TG03").run(command="check")
    assert "WV02" not in checked.out  # what a run finds is not known yet
    done, unused = world.run(), latest(world)["of"]["WV02"]
    assert (done.code, unused["status"], unused["key"]) == (5, "fired", "allow.TG03")
    assert "TG03" in unused["evidence"]


def test_another_waiver_is_another_run_with_the_same_lists(world: World) -> None:
    ids = []
    for until, reason in (("2023-12-31", "known"), ("2099-12-31", "known"), ("2099-12-31", "well known")):
        waiving(world, until, reason).run()
        last = latest(world)
        ids.append(last["result"]["run"])
        assert last["manifest"]["work"].get("lists_of") in (ids[:-1] or [None])
    assert len(set(ids)) == 3
    world.run()
    assert latest(world)["runs"] == 3


def test_a_waiver_ends_between_two_runs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "datetime", Clock)
    assert waiving(world, "2026-01-31").run().code != 5
    first = latest(world)
    assert (first["of"]["DT01"]["status"], first["of"]["WV01"]["status"]) == ("waived", "passed")
    monkeypatch.setattr(Clock, "moment", datetime(2026, 2, 1, tzinfo=UTC))
    assert world.run(command="check").code == 5
    assert world.run().code == 5
    second = latest(world)
    assert (second["runs"], second["of"]["DT01"]["status"], second["of"]["WV01"]["status"]) == (2, "fired", "fired")
    assert second["result"]["run"] != first["result"]["run"]
    assert second["manifest"]["work"]["lists_of"] == first["result"]["run"]
    monkeypatch.setattr(Clock, "moment", datetime(2027, 1, 1, tzinfo=UTC))
    assert world.run().code == 5
    assert latest(world)["runs"] == 2


# --- Thresholds and effects ---


class Bench:
    """A small clean study and its run; further runs reuse its lists where they can."""

    def __init__(self, folder: Path) -> None:
        clean.write_data(folder / "data", requests=2_000)
        self.case = Case(folder / "case", folder / "data")
        self.plain = self.run()

    def run(self, service: Mapping[str, Any] | None = None, study: Mapping[str, Any] | None = None) -> Run:
        self.case.service = deepcopy(merged(clean.SERVICE, service or {}))
        self.case.study = deepcopy(merged(clean.STUDY, study or {}))
        return run(self.case.write(), self.case.folder / "runs", Progress())


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("bench"))
    yield bench
    shutil.rmtree(bench.case.folder)


def finding(done: Run, code: str) -> Finding:
    return next(one for one in done.findings if one.rule == code)


LIMITS: dict[str, dict[str, Any]] = {
    "RP02": {"covered": 1.0},
    "LB05": {"share": "10%"},
    "DT06": {"windows": 3},
    "CM06": {"least": 0.95},
    "MT05": {"most": "50%"},
    "TG02": {"warn": "0.1%"},
}


@pytest.mark.parametrize("code", LIMITS)
def test_another_threshold(bench: Bench, code: str) -> None:
    done = bench.run({"rules": {code: LIMITS[code]}})
    before = {one.rule: one.status for one in bench.plain.findings}
    after = {one.rule: one.status for one in done.findings}
    assert (before[code], after[code]) == ("passed", "fired")
    assert {**after, code: "passed"} == before
    assert done.manifest["work"]["lists_of"] == bench.plain.id


def test_reused_lists_give_the_same_results(bench: Bench) -> None:
    done = bench.run({"rules": {"RP02": {"warn": 0.8}}})
    anew = run(bench.case.write(), bench.case.folder / "anew", Progress())
    assert (done.id, "lists_of" in anew.manifest["work"]) == (anew.id, False)
    assert done.results == bench.plain.results == anew.results


def difference(done: Run, left: pl.Series | set[Any] | None = None) -> tuple[float, int]:
    """The mean difference of two_tower in the primary metric over the targets of some requests, and how many these are."""
    values = done.values.pivot("variant", index=["request_id", "user_id", "weight"], values="dcg@10")
    if left is not None:
        values = values.filter(pl.col("request_id").is_in(list(left)))
    both = (values["two_tower"] - values["production"]) * values["weight"]
    return both.sum() / values["weight"].sum(), len(values)


def assert_effect(done: Run, code: str, left: set[Any]) -> None:
    effect = finding(done, code).effect
    assert finding(done, code).status == "fired"
    assert effect is not None
    whole, without = difference(done), difference(done, left)
    assert 0 < without[1] < whole[1]
    assert abs(whole[0] - without[0]) > 1e-6
    assert (effect.variant, effect.metric, effect.requests) == ("two_tower", "dcg@10", without[1])
    assert effect.difference == pytest.approx(whole[0], rel=1e-9)
    assert effect.without == pytest.approx(without[0], rel=1e-9)
    assert effect.low is not None
    assert effect.low < effect.without < effect.high
    written = json.loads((done.folder / "result.json").read_text())["findings"]
    assert next(one for one in written if one["rule"] == code)["effect"] == effect.model_dump(mode="json")


@pytest.mark.parametrize("average", ["request", "user"])
def test_the_effect_of_targets_without_labels(bench: Bench, average: str) -> None:
    done = bench.run({"targets": {"without_labels": "zero", "average": average}})
    assert_effect(done, "TG01", set(done.labels.filter(pl.col("grade") > 0)["request_id"].drop_nulls()))


def test_the_effect_of_busy_users(bench: Bench) -> None:
    done = bench.run({"rules": {"DT07": {"least": 20, "times": 1, "share": "2%"}}})
    one = finding(done, "DT07")
    assert one.count == len(one.examples) > 0
    assert_effect(done, "DT07", set(done.values.filter(~pl.col("user_id").is_in(one.examples))["request_id"]))


def test_the_effect_of_the_most_shown(bench: Bench) -> None:
    done = bench.run({"rules": {"LB05": {"share": "10%"}}})
    asked = done.values["request_id"].unique()
    shown = bench.case.table("impressions").group_by("item_id").len().sort("len", descending=True)
    top = set(shown["item_id"].head(round(len(shown) / 100)))
    good = done.labels.filter(pl.col("grade") > 0, pl.col("request_id").is_in(asked.to_list()))
    assert_effect(done, "LB05", set(asked) - set(good.filter(pl.col("item_id").is_in(list(top)))["request_id"]))
