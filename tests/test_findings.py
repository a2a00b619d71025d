"""How findings are shown to people and tools: SARIF, workflow commands, the commands `rules` and `explain`."""

from __future__ import annotations

import json
import re
import sys
from urllib.parse import unquote

import polars as pl
import pytest

from rankcast.records import Finding
from rankcast.report.annotations import workflow_commands
from tiny import World, assert_refused, rankcast
from told import INSIDE, latest, leaking, line, place, results_of, world

__all__ = ["world"]  # a fixture


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
