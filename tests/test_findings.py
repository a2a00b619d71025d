"""How findings are shown to people and tools, and how a study and a service configure the rules."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
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

INSIDE = "2023-10-09"  # of the period


def of(required: str = "", **properties: Any) -> dict[str, Any]:
    """An object of these properties and no others."""
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


# fmt: off
TEXT = {"type": "string", "minLength": 1}
NUMBER, LINE = ({"type": "integer", "minimum": least} for least in (0, 1))
SEMANTIC = {"type": "string", "pattern": r"^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"}
URI = {"type": "string", "pattern": r"^([A-Za-z0-9\-._~!$&'()*+,;=@/]|%[0-9A-F]{2})+$"}
SAID = of("text", text=TEXT)
RULE = of("id", id=TEXT, name=TEXT, shortDescription=SAID, fullDescription=SAID, help=SAID)
DRIVER = of("name rules", name=TEXT, semanticVersion=SEMANTIC, rules={"type": "array", "items": RULE, "uniqueItems": True})
PHYSICAL = of("artifactLocation region", artifactLocation=of("uri", uri=URI), region=of("startLine", startLine=LINE))
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


@pytest.mark.parametrize("name", ["plain", "mit Blank", "求人 Böden", "a:b#c?d%41&e+", "glob[1]"])
def test_sarif_of_check_run_and_report(world: World, name: str) -> None:
    world = leaking(World(world.folder / name)).write()
    study = (world.folder / "study.yaml").resolve()
    outcomes = [world.run("--format", "sarif", command="check"), world.run("--format", "sarif")]
    assert [(one.code, one.err) for one in outcomes] == [(5, "")] * 2
    last = latest(world)
    assert rankcast("report", str(last["folder"]), "--format", "sarif").out == outcomes[1].out
    assert {"passed", "cannot check", "fired", "waived"} == {one["status"] for one in last["of"].values()}
    wanted = {code: one for code, one in last["of"].items() if one["status"] in {"fired", "waived"}}
    told = {code: (one["level"], place(one)[1]) for code, one in results_of(outcomes[1]).items()}
    assert told == {code: (one["severity"], one["line"]) for code, one in wanted.items()}
    for results in map(results_of, outcomes):
        assert place(results["DT01"]) == (study, line(study, "trained_until"))
        assert (results["DT01"]["level"], results["DT05"]["level"]) == ("error", "warning")
        assert "new (until 2023-10-09)" in results["DT01"]["message"]["text"]
        assert results["DT05"]["suppressions"][0]["justification"].startswith("the log is short: it ends, 100%")
        assert [code for code, one in results.items() if "suppressions" in one] == ["DT05"]


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
    lines = {given["title"][:4]: (name, given, data) for name, given, data in map(parsed, outcome.out.splitlines())}
    kinds = {one["rule"]: {"fired": one["severity"], "cannot check": "notice"}.get(one["status"]) for one in told}
    assert {code: name for code, (name, _, _) in lines.items()} == {code: kind for code, kind in kinds.items() if kind}
    assert (outcome.code, outcome.err, len(outcome.out.splitlines())) == (5, "", len(lines))
    assert {"error", "notice", None} == {*kinds.values()}
    name, given, data = lines["DT01"]
    file, at = str(study.relative_to(world.folder.parent)), str(line(study, "trained_until"))
    assert (name, given) == ("error", {"file": file, "line": at, "title": "DT01 temporal-leakage"})
    assert f"{hostile} (until {INSIDE})" in data


def test_github_escapes() -> None:
    text = "a\r\nb: 10%, c\n::error::x %0A"
    known = {"name": "n", "severity": "warning", "status": "fired", "remedy": "", "line": 3, "file": "study"}
    one = Finding.model_validate({"rule": "DT01", "evidence": text, **known})
    (shown,) = workflow_commands([one], {"study": "a,b:c%\nd.yaml"})
    assert shown == "::warning file=a%2Cb%3Ac%25%0Ad.yaml,line=3,title=DT01 n::a%0D%0Ab: 10%25, c%0A::error::x %250A"
    assert parsed(shown) == ("warning", {"file": "a,b:c%\nd.yaml", "line": "3", "title": "DT01 n"}, text)


def test_a_workflow_of_github_reads_annotations_on_stderr(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    leaking(world).write().run()
    report = ["report", str(latest(world)["folder"])]
    calls = [["check", "study.yaml"], ["run", "study.yaml", "-q"], report, [*report, "--markdown"]]
    before = [rankcast(*call) for call in calls]
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    for call, plain in zip(calls, before, strict=True):
        told, asked = rankcast(*call), [one for one in call if one != "--markdown"]
        assert (told.out, told.code, plain.err) == (plain.out, plain.code, "")
        assert told.err == rankcast(*asked, "--format", "github").out
        assert "error" in [parsed(one)[0] for one in told.err.splitlines()]
        assert rankcast(*asked, "--json").err == ""
    broken = world.study("baseline", to="q").write().run(command="check")
    name, given, data = parsed(broken.err.splitlines()[0])
    assert (broken.code, broken.out, name, "no variant `q`" in data) == (2, "", "error", True)
    assert (given["file"], given["line"]) == ("study.yaml", str(line(world.folder / "study.yaml", "baseline")))


SIZES = {"DT": 7, "TG": 6, "CA": 5, "RP": 6, "LB": 9, "MT": 4, "CM": 5, "ST": 5, "CF": 6, "RE": 2, "ON": 5}
PAGE = ("wrong", "check", "remedy", "source", "good", "bad")
CATALOGUE = {f"{family}{number:02}" for family, size in SIZES.items() for number in range(1, size + 1)}


def test_rules_lists_every_code_once() -> None:
    pages, printed = json.loads(rankcast("rules", "--json").out), rankcast("rules").out.splitlines()
    codes = [one["code"] for one in pages]
    assert codes == sorted(set(codes)) == [text[:4] for text in printed[:-1]]
    assert (len(CATALOGUE), CATALOGUE - set(codes)) == (60, set())
    assert all(one["name"] in text for one, text in zip(pages, printed, strict=False))
    assert all(one[key] for one in pages for key in (*PAGE, "name", "severity", "moment"))


@pytest.mark.parametrize("code", ["DT01", "CA05", "RP02"])
def test_explain_a_rule(code: str) -> None:
    (page,) = [one for one in json.loads(rankcast("rules", "--json").out) if one["code"] == code]
    shown, flat = rankcast("explain", code), " ".join(rankcast("explain", code).out.split())
    assert (shown.code, shown.out.splitlines()[0]) == (0, f"{code} {page['name']}")
    assert {rankcast("explain", name).out for name in (code.lower(), page["name"])} == {shown.out}
    assert [part for part in PAGE if " ".join(page[part].split()) not in flat] == []
    assert all(f"  {name}: {value} " in shown.out for name, value in page["thresholds"].items())
    assert ("thresholds" in shown.out) == bool(page["thresholds"]) == (code != "DT01")


@pytest.mark.parametrize("code", ["DT99", "dt0l", "temporal-leakge"])
def test_explain_an_unknown_rule(code: str) -> None:
    told = rankcast("explain", code)
    assert_refused(told, f"nothing is known as `{code}`")
    assert re.search(r"did you mean `(DT\d\d|temporal-leakage)`|rankcast rules", told.err)


def test_check_executes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(world.folder)
    left = world.folder / "left"
    (world.folder / "boobytrap.py").write_text(f"print('hello')\nopen({str(left)!r}, 'w').close()\n")
    world.study("variants", "new", to={"python": "boobytrap:score"}).study("metrics", "also", to=["boobytrap:Thing@10"])
    world.service("production", "steps", to=["available", {"python": "boobytrap:step"}]).write()
    for more in (["text"], ["json"], ["sarif"], ["github"], ["sarif", "--without-data"]):
        outcome = world.run("--format", *more, command="check")
        assert (outcome.code, outcome.err, left.exists(), "boobytrap" in sys.modules) == (0, "", False, False)
        assert "sarif" not in more or results_of(outcome) == {}
    assert set(results_of(world.run("--format", "sarif"))) == {"INPUT"}  # a run imports it, and stdout is still JSON
    assert left.exists()
    sys.modules.pop("boobytrap", None)


# fmt: off
NO_NUMBER = ('"high"', '"0.9"', '"%"', '"nan%"', '"-5%"', "-0.1", ".nan", ".inf", "true", "null", "[0.9]")
NO_DATE = ('"soon"', '"2099-02-30"', "null", "7")
ALLOW, RULES, ONLINE, TRAINING = "study allow", "service rules", "study online events", "study variants new training"
REFUSED = [  # where, what, the key inside, what is said; whatever is wrong is the first of its mapping
    (ALLOW, '{"DT05": {"until": "2099-12-31"}}', "DT05.reason", "required and is missing"),
    (ALLOW, '{"DT05": {"reason": " ", "until": "2099-12-31"}}', "DT05.reason", "found an empty text"),
    (ALLOW, '{"DT05": {"reason": "r"}}', "DT05.until", "required and is missing"),
    *[(ALLOW, f'{{"DT05": {{"until": {day}, "reason": "r"}}}}', "DT05.until", "expected a date") for day in NO_DATE],
    (ALLOW, '{"DT05": {"untl": 1, "reason": "r", "until": "2099-12-31"}}', "DT05.untl", "did you mean `until`?"),
    *[(ALLOW, f'{{"{code}": {{"reason": "r", "until": "2099-12-31"}}}}', code, said) for code, said in
      [("XX99", "unknown rule `XX99`"), ("dt05", "such as RP02"), ("WV01", "cannot be waived"), ("WV02", "cannot be waived")]],
    (ALLOW, '{"DT05": "why not"}', "DT05", 'expected keys and values, found "why not"'),
    (ALLOW, '["DT05"]', "", 'expected keys and values, found ["DT05"]'),
    (RULES, '{"XX99": {"warn": 0.9}}', "XX99", "unknown rule `XX99`"),
    (RULES, '{"rp02": {"warn": 0.9}}', "rp02", 'such as RP02, found "rp02"'),
    (RULES, '{"RP02": {"wran": 0.9}}', "RP02.wran", "rule RP02 has no threshold `wran`; did you mean `warn`?"),
    (RULES, '{"DT01": {"warn": 0.9}}', "DT01.warn", "it has none at all"),
    *[(RULES, f'{{"RP02": {{"warn": {one}}}}}', "RP02.warn", "expected a number from 0, or a share") for one in NO_NUMBER],
    *[(RULES, f'{{"RP02": {{"warn": {one}}}}}', "RP02.warn", "a share from 0 to 1") for one in ("95", '"950%"', "1.01")],
    (RULES, '{"DT06": {"windows": 2.5}}', "DT06.windows", "expected a whole number, found 2.5"),
    (RULES, '{"RP02": 0.9}', "RP02", "expected keys and values, found 0.9"),
    (TRAINING, '{"trails": 3}', "trails", "unknown key `trails`; did you mean `trials`?"),
    (TRAINING, '{"tuned_on": {"from": "2023-09-15", "to": "2023-09-15"}}', "tuned_on", "the period is empty"),
    (TRAINING, '{"trials": -1}', "trials", "found -1"),
    (TRAINING, '{"features": {"path": "data/nope.parquet"}}', "features", "no file matches `data/nope.parquet`"),
    (TRAINING, '{"features": {"path": "data/scores.parquet"}}', "features.as_of", "column `as_of` is missing"),
    *[(ONLINE, one, "", "expected a list of kinds of events") for one in ("[]", '"click"', "[1]", '[""]', '{"click": 1}')],
]
# fmt: on


@pytest.mark.parametrize(("where", "what", "key", "said"), REFUSED, ids=str)
def test_what_is_refused(world: World, where: str, what: str, key: str, said: str) -> None:
    name, *at = where.split()
    world.study("online", to={"metric": "m"})
    (world.study if name == "study" else world.service)(*at, to="@here").write()
    file = world.folder / f"{name}.yaml"
    file.write_text(file.read_text().replace('"@here"', what.replace("{", "{\n")))
    number = line(file, at[-1]) + sum(f'"{one}"' in what for one in key.split(".") if one)
    for command in ("check", "run"):
        assert_refused(
            world.run(command=command), f"{file.name}:{number}: {'.'.join([*at, *key.split('.')]).rstrip('.')}: ", said
        )
    assert world.left_behind() == []


def test_a_threshold_of_no_share_may_be_above_one(world: World) -> None:
    world.service("rules", to={"TG06": {"error": 1.5}, "RP02": {"rank_mae": 3}, "CM03": {"ratio": "150%"}})
    assert world.write().run(command="check").code == 0  # the population stability index is no share


@pytest.mark.parametrize("written", ["5%", " 5.0 %", 0.05])
def test_a_share_is_written_in_two_ways(world: World, written: object) -> None:
    world.service("rules", to={"TG02": {"error": written, "warn": 0}}).write()
    plan = json.loads(world.run("--json", command="explain").out)
    assert plan["service"]["rules"] == {"TG02": {"error": 0.05, "warn": 0.0}}


def latest(world: World) -> dict[str, Any]:
    """The newest run: how many there are, its folder, result, manifest and findings."""
    folders = sorted((world.folder / "runs" / "first").iterdir(), key=lambda one: one.stat().st_mtime_ns)
    result, manifest = (json.loads((folders[-1] / f"{name}.json").read_text()) for name in ("result", "manifest"))
    found = {one["rule"]: one for one in result["findings"]}
    told = {"runs": len(folders), "folder": folders[-1], "lists_of": manifest["work"].get("lists_of"), "of": found}
    return {**told, "run": result["run"], "decision": result["decision"]["new"]["decision"]}


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


def test_a_waiver_in_force_past_its_end_or_not_used(world: World) -> None:
    checked, done = waiving(world, "2099-12-31").run(command="check"), world.run()
    last, one = latest(world), latest(world)["of"]["DT01"]
    assert (checked.code, "DT01 temporal-leakage: waived, known (until 2099-12-31)" in checked.out) == (0, True)
    assert (done.code in {0, 3, 4}, last["decision"] != "invalid") == (True, True)
    assert (one["status"], one["severity"], one["waived"]) == ("waived", "error", "known (until 2099-12-31)")
    assert (last["of"]["WV01"]["status"], last["of"]["WV02"]["status"]) == ("passed", "passed")
    checked, done = waiving(world, "2023-12-31").run(command="check"), world.run()
    last, over = latest(world), latest(world)["of"]["WV01"]
    assert (checked.code, done.code, last["decision"], last["of"]["DT01"]["status"]) == (5, 5, "invalid", "fired")
    assert (over["status"], over["severity"], over["count"]) == ("fired", "warning", 1)
    assert (over["key"], over["line"]) == ("allow.DT01", line(world.folder / "study.yaml", "DT01"))
    assert last["of"]["WV02"]["status"] == "passed"
    checked, done = waiving(world, "2099-12-31", code="TG03").run(command="check"), world.run()
    unused = latest(world)["of"]["WV02"]
    assert ("WV02" in checked.out, done.code) == (False, 5)  # what a run finds is not known to a check
    assert (unused["status"], unused["key"], "TG03" in unused["evidence"]) == ("fired", "allow.TG03", True)


def test_another_waiver_is_another_run_with_the_same_lists(world: World) -> None:
    ids: list[str] = []
    for until, reason in (("2023-12-31", "known"), ("2099-12-31", "known"), ("2099-12-31", "well known")):
        waiving(world, until, reason).run()
        last = latest(world)
        assert last["lists_of"] in (ids or [None])
        ids.append(last["run"])
    world.run()
    assert len(set(ids)) == latest(world)["runs"] == 3


def test_a_waiver_ends_between_two_runs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "datetime", Clock)
    assert waiving(world, "2026-01-31").run().code != 5
    first = latest(world)
    monkeypatch.setattr(Clock, "moment", datetime(2026, 2, 1, tzinfo=UTC))
    assert (world.run(command="check").code, world.run().code) == (5, 5)
    second = latest(world)
    told = [[one["of"][code]["status"] for code in ("DT01", "WV01")] for one in (first, second)]
    assert told == [["waived", "passed"], ["fired", "fired"]]
    assert (second["run"] != first["run"], second["lists_of"]) == (True, first["run"])
    monkeypatch.setattr(Clock, "moment", datetime(2027, 1, 1, tzinfo=UTC))
    assert (world.run().code, latest(world)["runs"]) == (5, 2)


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
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


def finding(done: Run, code: str) -> Finding:
    return next(one for one in done.findings if one.rule == code)


# fmt: off
LIMITS: dict[str, dict[str, Any]] = {
    "RP02": {"covered": 1.0}, "LB05": {"share": "10%"}, "DT06": {"windows": 3},
    "CM06": {"least": 0.95}, "MT05": {"most": "50%"}, "TG02": {"warn": "0.1%"},
}
# fmt: on


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


def assert_effect(done: Run, code: str, left: set[Any]) -> None:
    """The effect is the mean difference in the primary metric over the targets that are left, made by hand."""
    values = done.values.pivot("variant", index=["request_id", "weight"], values="dcg@10")
    both = values.select("request_id", "weight", d=pl.col("two_tower") - pl.col("production"))
    kept, one = both.filter(pl.col("request_id").is_in(list(left))), finding(done, code)
    whole, without = ((rows["d"] * rows["weight"]).sum() / rows["weight"].sum() for rows in (both, kept))
    assert 0 < len(kept) < len(both)
    assert abs(whole - without) > 1e-6
    assert one.effect is not None
    shown = one.effect.model_dump(mode="json")
    assert (one.status, shown["variant"], shown["metric"], shown["requests"]) == (
        "fired",
        "two_tower",
        "dcg@10",
        len(kept),
    )
    assert (shown["difference"], shown["without"]) == (pytest.approx(whole, rel=1e-9), pytest.approx(without, rel=1e-9))
    assert shown["low"] < shown["without"] < shown["high"]
    written = json.loads((done.folder / "result.json").read_text())["findings"]
    assert shown == next(found for found in written if found["rule"] == code)["effect"]


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
