"""The record of past online tests: YAML files, what is refused, what `history add` writes, what a run makes of them."""

from __future__ import annotations

import json
import math
import os
import shutil
import threading
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from scipy import stats

from rankcast.errors import RankcastError
from rankcast.memory import adding
from rankcast.runs.folder import Run
from tiny import Outcome, World, assert_refused, rankcast

proportion = pytest.importorskip("statsmodels.stats.proportion")

Change = Callable[[dict[str, Any]], object]
GOOD: dict[str, Any] = {
    "rankcast": 1,
    "online_test": "autumn",
    "study": "first",
    "period": {"from": "2023-11-01", "to": "2023-11-15"},
    "control": "production",
    "users": {"production": 1000, "new": 1010},
    "online": {"apply_rate": {"production": {"successes": 100}, "new": {"successes": 130}}},
}
HUGE = 10**400


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the study `first`: its variants are new and popular, its baseline production."""
    return run_of(World(tmp_path_factory.mktemp("first")).write())


def run_of(world: World) -> Run:
    """The newest run, after running once more."""
    before = set(folders(world))
    outcome = world.run()
    assert outcome.code in (0, 3, 4), outcome.text
    (place,) = set(folders(world)) - before
    return Run(place)


def folders(world: World) -> list[Path]:
    """Folders of runs."""
    return [path for path in (world.folder / "runs").glob("*/*") if not path.name.startswith(".")]


def put(*path: Any) -> Change:
    """A change of one key: `put("users", "new", 0)`."""

    def change(document: dict[str, Any]) -> None:
        *places, last, value = path
        for place in places:
            document = document[place]
        document[last] = value

    return change


def online(**numbers: dict[str, Any]) -> Change:
    """Other numbers: metric `m` by arm."""
    return put("online", {"m": numbers})


def add(first: Run, folder: Path, change: Change | str | bytes | None = None, *more: str) -> Outcome:
    """`rankcast history add` of GOOD after a change, or of a text."""
    results = folder / "results.yaml"
    if isinstance(change, bytes):
        results.write_bytes(change)
    else:
        document = deepcopy(GOOD)
        if callable(change):
            change(document)
        results.write_text(change if isinstance(change, str) else json.dumps(document, indent=1), encoding="utf-8")
    return rankcast("history", "add", str(first.folder), "--online", str(results), "--to", str(folder / "past"), *more)


def kept(folder: Path) -> list[str]:
    """What stands in the record, hidden files too."""
    past = folder / "past"
    return sorted(path.name for path in past.iterdir()) if past.exists() else []


def report(folder: Path, *more: str) -> dict[str, Any]:
    """`rankcast history report --json`."""
    outcome = rankcast("history", "report", str(folder), "--json", "--out", str(folder / "none"), *more)
    assert outcome.code == 0, outcome.text
    return dict(json.loads(outcome.out))


def pair(folder: Path, metric: str = "m", offline: str = "dcg@10") -> dict[str, Any]:
    """The one pair of a record."""
    (link,) = report(folder, "--online", metric, "--offline", offline)["links"]
    (found,) = link["pairs"]
    return {**found, "scale": link["scale_online"]}


# --- Every form of numbers, against numbers made by hand ---


def shares(c: int, n: int, t: int, m: int) -> tuple[float, float]:
    """ln(p / q) and its error by the delta method."""
    q, p = c / n, t / m
    return math.log(p / q), math.sqrt((1 - p) / (p * m) + (1 - q) / (q * n))


def means(c: float, d: float, n: int, t: float, e: float, m: int) -> tuple[float, float]:
    """The same of two means."""
    return math.log(t / c), math.sqrt((e / math.sqrt(m) / t) ** 2 + (d / math.sqrt(n) / c) ** 2)


C, T = "production", "new"
FORMS: dict[str, tuple[dict[str, Any], str, float, float | None]] = {
    "successes": ({C: {"successes": 100}, T: {"successes": 130}}, "relative", *shares(100, 1000, 130, 1010)),
    "mean": (
        {C: {"mean": 2.0, "sd": 3.0}, T: {"mean": 2.2, "sd": 3.5}},
        "relative",
        *means(2.0, 3.0, 1000, 2.2, 3.5, 1010),
    ),
    "mean alone": ({C: {"mean": 2.0}, T: {"mean": 2.2}}, "relative", math.log(1.1), None),
    "value": (
        {C: {"value": "10%", "standard_error": "0.5%"}, T: {"value": 0.12, "standard_error": 0.006}},
        "relative",
        math.log(1.2),
        math.hypot(0.05, 0.05),
    ),
    "value below 0": (
        {C: {"value": -1, "standard_error": 3}, T: {"value": 2, "standard_error": 4}},
        "absolute",
        3.0,
        5.0,
    ),
    "difference": ({T: {"difference": -0.25, "standard_error": 0.1}}, "absolute", -0.25, 0.1),
    "relative": ({T: {"relative": "2.1%", "standard_error": "0.7%"}}, "relative", math.log(1.021), 0.007 / 1.021),
    "relative alone": ({T: {"relative": -0.5}}, "relative", math.log(0.5), None),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form(first: Run, tmp_path: Path, form: str) -> None:
    numbers, scale, value, error = FORMS[form]
    assert add(first, tmp_path, online(**numbers)).code == 0
    found = pair(tmp_path / "past")
    assert found["scale"] == scale
    assert found["online"] == pytest.approx(value, rel=1e-9)
    assert found["online_error"] == (None if error is None else pytest.approx(error, rel=1e-9))
    assert (found["test"], found["variant"], found["study"], found["run"]) == ("autumn", "new", "first", first.id)


def test_levels_have_no_control(tmp_path: Path) -> None:
    folder = tmp_path / "past"
    folder.mkdir()
    document = {"rankcast": 1, "online_test": "a", "online": {"m": {"x": {"value": 0.5, "standard_error": 0.1}}}}
    document |= {"offline": {"x": {"dcg@10": {"value": 0.25, "value_error": 0.01}}}}
    (folder / "a.yaml").write_text(json.dumps(document))
    found = pair(folder)
    assert [found[key] for key in ("scale", "offline", "offline_error", "online", "online_error")] == [
        "level", 0.25, 0.01, 0.5, 0.1,
    ]  # fmt: skip


def test_the_interval_that_is_told(first: Run, tmp_path: Path) -> None:
    told = add(first, tmp_path)
    value, error = shares(100, 1000, 130, 1010)
    low, high = (math.exp(value + sign * 1.959964 * error) - 1 for sign in (-1, 1))
    assert f"new: apply_rate {math.exp(value) - 1:+.1%} ({low:+.1%} to {high:+.1%}, 95 %)" in told.out


@pytest.mark.parametrize(("control", "treatment"), [(0, 4), (0, 0), (1, 6)])
def test_an_interval_of_few_successes_is_no_narrower_than_newcombe(
    first: Run, tmp_path: Path, control: int, treatment: int
) -> None:
    """Fisher's test finds nothing here; the interval must not either."""
    table = [[treatment, 1010 - treatment], [control, 1000 - control]]
    assert stats.fisher_exact(table).pvalue > 0.05
    low, high = proportion.confint_proportions_2indep(treatment, 1010, control, 1000, compare="diff", method="newcomb")
    assert low < 0 < high
    told = add(first, tmp_path, online(production={"successes": control}, new={"successes": treatment}))
    assert told.code == 0, told.text
    (line,) = [one for one in told.out.splitlines() if "new: m" in one]
    ends = [float(one.rstrip("%,")) for one in line.split("(")[1].split() if one[0] in "+-"]
    assert ends[0] < 0 < ends[1]


# --- What add writes ---


def test_what_the_run_said_is_written_beside(first: Run, tmp_path: Path) -> None:
    assert add(first, tmp_path).code == 0
    text = (tmp_path / "past" / "autumn.yaml").read_text()
    written = yaml.safe_load(text)
    assert (written["study"], written["run"]) == ("first", first.id)
    assert written["offline_period"] == {"from": "2023-10-01", "to": "2023-10-15"}
    assert written["treatment"] == ["scores"]
    assert "data/new.parquet" in " ".join(written["changes"])
    rows = [one for one in first.results.comparisons if one.variant == "new" and one.segment is None]
    assert set(written["offline"]["new"]) == {one.metric for one in rows} == {"dcg@10", "coverage@3", "ndcg@10"}
    for row in rows:
        assert written["offline"]["new"][row.metric]["difference"] == pytest.approx(row.difference, rel=1e-5)
    assert list(written["offline"]) == ["new"]
    assert written["online"] == GOOD["online"]


def test_add_for_programs(first: Run, tmp_path: Path) -> None:
    told = add(first, tmp_path, None, "--json")
    assert json.loads(told.out) == {
        "path": str(tmp_path / "past" / "autumn.yaml"),
        "online_test": "autumn",
        "problems": [],
    }


def test_offline_numbers_of_ones_own_do_not_stand_against_the_runs(first: Run, tmp_path: Path) -> None:
    change = put("offline", {"new": {"dcg@10": {"difference": 77.0}}})
    assert add(first, tmp_path, change).code == 0
    assert pair(tmp_path / "past", "apply_rate")["offline"] == 0.0


def test_a_sample_ratio_that_is_off_is_told_and_does_not_count(first: Run, tmp_path: Path) -> None:
    users = {"production": 1000, "new": 1200}
    p = stats.chisquare(list(users.values())).pvalue
    assert p < 0.001
    told = add(first, tmp_path, put("users", users))
    assert told.code == 0
    assert f"sample ratio, p {p:.2g}" in told.err
    found = report(tmp_path / "past")
    assert all(not link["pairs"] for link in found["links"])
    assert f"p {p:.2g}" in found["links"][0]["left_out"][0]["why"]
    assert len(found["problems"]) == 1


def test_a_sample_ratio_of_an_uneven_split(first: Run, tmp_path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document |= {"users": {"production": 9000, "new": 1000}, "split": {"production": "90%", "new": "10%"}}

    told = add(first, tmp_path, change)
    assert (told.code, told.err) == (0, "")


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"model": "b", "offline_model": "a"}, "model: a was evaluated, b was tested"),
        ({"population": "all", "offline_population": "new"}, "population: new was evaluated, all was tested"),
        ({"period": {"from": "2024-11-01", "to": "2024-11-15"}}, "383 days lie between"),
    ],
)
def test_unlike_numbers_are_told(first: Run, tmp_path: Path, keys: dict[str, Any], why: str) -> None:
    told = add(first, tmp_path, lambda document: document.update(keys))
    assert told.code == 0
    assert why in told.err
    assert all(not link["pairs"] for link in report(tmp_path / "past")["links"])


def test_excluded_is_remembered_and_does_not_count(first: Run, tmp_path: Path) -> None:
    assert add(first, tmp_path, put("excluded", "the logging was broken")).code == 0
    link = report(tmp_path / "past")["links"][0]
    assert (link["pairs"], link["left_out"][0]["why"]) == ([], "the logging was broken")


def test_the_schema_of_the_file(tmp_path: Path) -> None:
    import jsonschema

    schema = json.loads(rankcast("schema", "online_test").out)
    jsonschema.validate(GOOD, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**GOOD, "perod": 1}, schema)


# --- What is refused: file, line, what was found, what was expected; and nothing is left ---


def both(**keys: Any) -> Change:
    return lambda document: document.update(keys)


def without(key: str) -> Change:
    return lambda document: document.pop(key)


REFUSED: dict[str, tuple[Change, str, tuple[str, ...]]] = {
    "unknown key": (put("perod", 1), '"perod"', ("did you mean `period`",)),
    "no name": (without("online_test"), "{", ("online_test", "required")),
    "no format": (without("rankcast"), "{", ("rankcast", "required")),
    "another format": (put("rankcast", 2), '"rankcast"', ("expected 1", "found 2")),
    "a path for a name": (put("online_test", "../up"), '"online_test"', ('found "../up"',)),
    "a hidden name": (put("online_test", ".up"), '"online_test"', ("no dot in front",)),
    "escapes in a name": (put("online_test", "a\x1b[31m"), '"online_test"', ("printable",)),
    "no metric": (put("online", {}), '"online"', ("what was seen",)),
    "no arm": (put("online", {"m": {}}), '"m"', ("an arm",)),
    "only the control": (online(production={"successes": 1}), '"m"', ("no arm beside the control",)),
    "two forms": (online(new={"difference": 1, "relative": 1}), '"new": {', ("found difference, relative",)),
    "no form": (online(new={"standard_error": 1}), '"new": {', ("none of them",)),
    "arms of two forms": (
        online(production={"successes": 1}, new={"mean": 1}),
        '"m"',
        ("found mean, successes",),
    ),
    "successes below 0": (put("online", "apply_rate", "new", "successes", -1), '"successes": -1', ("found -1",)),
    "half a success": (put("online", "apply_rate", "new", "successes", 1.5), '"successes": 1.5', ("1.5",)),
    "true successes": (put("online", "apply_rate", "new", "successes", True), '"successes": true', ("true",)),
    "more successes than users": (
        put("online", "apply_rate", "new", "successes", 1011),
        '"apply_rate"',
        ("1,011 successes of 1,010 users",),
    ),
    "no user": (put("users", "new", 0), '"new": 0', ("found 0",)),
    "users unknown": (put("users", {"production": 1000}), '"apply_rate"', ('"new"', "users")),
    "a text for users": (put("users", "new", "many"), '"new": "many"', ("many",)),
    "an error below 0": (online(new={"difference": 1, "standard_error": -1}), '"standard_error"', ("found -1",)),
    "an error of counts": (
        online(production={"successes": 1}, new={"successes": 1, "standard_error": 1}),
        '"new": {',
        ("leave it out",),
    ),
    "sd without a mean": (online(new={"difference": 1, "sd": 1}), '"new": {', ("mean",)),
    "not a number": (online(new={"difference": "lots"}), '"difference"', ('found "lots"',)),
    "nan": (online(new={"difference": math.nan}), '"difference"', ("found",)),
    "infinite": (online(new={"difference": "inf%"}), '"difference"', ("found",)),
    "a fall of all": (online(new={"relative": "-100%"}), '"relative"', ("above -100%",)),
    "a list for a number": (online(new={"difference": [1]}), '"difference"', ("[1]",)),
    "no control": (without("control"), '"apply_rate"', ("control",)),
    "the control is no arm": (online(new={"successes": 1}), '"m"', ('"production" is missing',)),
    "the control against itself": (
        online(production={"relative": 0}, new={"relative": 1}),
        '"m"',
        ("has none itself",),
    ),
    "dates reversed": (
        put("period", {"from": "2023-11-15", "to": "2023-11-01"}),
        '"period"',
        ("ends on 2023-11-01", "begins on 2023-11-15"),
    ),
    "no such date": (
        put("period", {"from": "2023-02-30", "to": "2023-03-01"}),
        '"from"',
        ("expected a date", "2023-02-30"),
    ),
    "half a period": (put("period", {"from": "2023-11-01"}), '"period"', ("to",)),
    "launched what was no arm": (put("launched", ["nwe"]), '"launched"', ("did you mean `new`",)),
    "launched the control": (put("launched", ["production"]), '"launched"', ("is the control",)),
    "a split of others": (put("split", {"x": 1}), '"split"', ("found x",)),
    "a split of nothing": (put("split", {"new": 0}), '"new": 0', ("above 0",)),
    "offline of nobody": (put("offline", {"x": {"m": {"difference": 1}}}), '"offline"', ('"x"',)),
    "another study": (put("study", "second"), '"study"', ("the run is of the study first",)),
    "another run": (put("run", "0123456789ab"), '"run"', ("the run given is",)),
    "an arm of no variant": (
        both(users={}, split={}, online={"m": {"nwe": {"difference": 1}}}),
        '"online"',
        ("`nwe`", "did you mean `new`"),
    ),
    "the control is not the baseline": (
        both(control="popular", users={"popular": 9, "new": 9}, online={"m": {"new": {"difference": 1}}}),
        '"control"',
        ("expected the run's baseline, production, found popular",),
    ),
    "users of nobody": (
        both(users={"production": 1000, "nwe": 1000}, online={"m": {"new": {"difference": 1}}}),
        '"users"',
        ("nwe",),
    ),
    "a split of some": (
        both(users={"production": 90000, "new": 10000}, split={"new": "10%"}),
        '"split"',
        ("production",),
    ),
    "a number beyond all": (online(new={"difference": HUGE}), '"difference"', ("found",)),
    "users beyond all": (put("users", {"production": HUGE, "new": HUGE}), '"production": 1', ("number of users",)),
    "a change beyond all": (online(new={"relative": 1e308}), '"relative"', ("found",)),
    "a ratio beyond all": (
        online(production={"mean": 1e300, "sd": 1e300}, new={"mean": 1e-320, "sd": 1}),
        '"mean": 1e+300',
        ("from 1e-30 to 1e+15",),
    ),
    "a name longer than a file's": (put("online_test", "試" * 100), '"online_test"', ("online_test",)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(first: Run, tmp_path: Path, name: str) -> None:
    change, place, said = REFUSED[name]
    outcome = add(first, tmp_path, change)
    assert_refused(outcome, "results.yaml", *said)
    assert not (tmp_path / "past").exists()
    lines = (tmp_path / "results.yaml").read_text().splitlines()
    (expected,) = {number for number, line in enumerate(lines, 1) if line.strip().startswith(place)} or {1}
    assert f"results.yaml:{expected}:" in outcome.err


TEXTS: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "nothing": ("", ("rankcast", "required")),
    "a list": ("- a", ("expected keys and values",)),
    "a number": ("7", ("expected keys and values",)),
    "no YAML": ("a: [", (":1:", "not YAML")),
    "an alias": ("a: &x 1\nb: *x\n", ("alias",)),
    "a key twice": ("rankcast: 1\nrankcast: 1\n", (":2:", "rankcast")),
    "a tag": ("a: !!python/object/apply:os.system [ls]\n", (":1:", "tag")),
    "two documents": ("rankcast: 1\n---\nrankcast: 1\n", ("not YAML",)),
    "no UTF-8": (b"\xff\xfe\x00", ("not UTF-8",)),
    "too much": ("#" * (1 << 21), ("bytes",)),
    "5,000 digits": ("rankcast: " + "1" * 5000, (":1:", "rankcast")),
    "deep": ("[" * 5000, ("results.yaml",)),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_is_no_record(first: Run, tmp_path: Path, name: str) -> None:
    text, said = TEXTS[name]
    assert_refused(add(first, tmp_path, text), "results.yaml", *said)
    assert not (tmp_path / "past").exists()


def test_files_that_are_not_there(first: Run, tmp_path: Path) -> None:
    where = str(tmp_path / "past")
    for online_file, said in ((tmp_path / "none.yaml", "no such file"), (tmp_path, "cannot be read")):
        told = rankcast("history", "add", str(first.folder), "--online", str(online_file), "--to", where)
        assert_refused(told, said)
    (tmp_path / "results.yaml").write_text(json.dumps(GOOD))
    told = rankcast("history", "add", str(tmp_path / "no"), "--online", str(tmp_path / "results.yaml"), "--to", where)
    assert_refused(told, "rankcast runs")
    assert not (tmp_path / "past").exists()


@pytest.mark.parametrize("below", ["", "below"])
def test_a_record_where_a_file_is(first: Run, tmp_path: Path, below: str) -> None:
    (tmp_path / "results.yaml").write_text(json.dumps(GOOD))
    (tmp_path / "file").write_text("mine")
    where = str(tmp_path / "file" / below) if below else str(tmp_path / "file")
    told = rankcast("history", "add", str(first.folder), "--online", str(tmp_path / "results.yaml"), "--to", where)
    assert_refused(told, "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write into every folder")
def test_a_folder_that_is_read_only(first: Run, tmp_path: Path) -> None:
    (tmp_path / "past").mkdir(mode=0o500)
    assert_refused(add(first, tmp_path), "past")
    assert kept(tmp_path) == []


def test_a_disk_that_is_full(first: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "past")

    monkeypatch.setattr(os, "link", full)
    assert_refused(add(first, tmp_path), "No space left on device")
    assert kept(tmp_path) == []


# --- Duplicates ---


def test_a_name_twice(first: Run, tmp_path: Path) -> None:
    assert add(first, tmp_path).code == 0
    before = (tmp_path / "past" / "autumn.yaml").read_bytes()
    told = add(first, tmp_path, put("users", {"production": 1000, "new": 1005}))
    assert_refused(told, "autumn.yaml exists", "online_test")
    assert (kept(tmp_path), (tmp_path / "past" / "autumn.yaml").read_bytes()) == (["autumn.yaml"], before)


def test_the_same_test_under_another_name(first: Run, tmp_path: Path) -> None:
    assert add(first, tmp_path).code == 0
    assert_refused(add(first, tmp_path, put("online_test", "again")), "results.yaml:", "autumn.yaml already")
    assert kept(tmp_path) == ["autumn.yaml"]


def test_another_group_of_the_same_test_is_another_test(first: Run, tmp_path: Path) -> None:
    assert add(first, tmp_path, put("group", "new users")).code == 0
    change = both(online_test="again", group="old users")
    assert add(first, tmp_path, change).code == 0
    links = report(tmp_path / "past", "--offline", "dcg@10")["links"]
    assert {link["group"]: len(link["pairs"]) for link in links} == {"new users": 1, "old users": 1}


def test_names_twice_in_a_folder_by_hand(first: Run, tmp_path: Path) -> None:
    assert add(first, tmp_path).code == 0
    shutil.copy(tmp_path / "past" / "autumn.yaml", tmp_path / "past" / "copy.yml")
    told = rankcast("history", "report", str(tmp_path / "past"))
    assert_refused(told, "copy.yml:2", "a test autumn stands in", "autumn.yaml already")


def test_a_broken_file_beside_is_named_and_nothing_is_added(first: Run, tmp_path: Path) -> None:
    (tmp_path / "past").mkdir()
    (tmp_path / "past" / "broken.yaml").write_text("rankcast: 1\nonline_test: [")
    assert_refused(add(first, tmp_path), "broken.yaml:2", "not YAML")
    assert kept(tmp_path) == ["broken.yaml"]


def test_every_broken_file_is_named(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.yaml").write_text("rankcast: 1\n")
    assert_refused(rankcast("history", "report", str(tmp_path)), "a.yaml:1", "b.yaml:1", "online_test")


def test_the_goal_of_the_study_must_be_there(tmp_path: Path) -> None:
    world = World(tmp_path / "world").study("online", to={"metric": "revenue"}).write()
    told = add(run_of(world), tmp_path)
    assert_refused(told, "results.yaml", "goal is revenue", "apply_rate")
    assert not (tmp_path / "past").exists()
    change = put("online", {"revenue": {"new": {"relative": "1%", "standard_error": "1%"}}})
    assert add(Run(folders(world)[0]), tmp_path, change).code == 0


def test_what_a_killed_command_left_is_no_hindrance(first: Run, tmp_path: Path) -> None:
    (tmp_path / "past").mkdir()
    (tmp_path / "past" / ".autumn.yaml.partial").write_text("half of")
    assert add(first, tmp_path).code == 0
    assert "half of" not in (tmp_path / "past" / "autumn.yaml").read_text()


def test_the_loser_of_a_race_changes_nothing(first: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two adds of one name: the second looked before the first had written, and writes before the first has ended."""
    looked, linked, lost = threading.Event(), threading.Event(), threading.Event()
    exists, link = Path.exists, os.link
    told: dict[str, Any] = {}

    def late(path: Path, **how: Any) -> bool:
        found = exists(path, **how)
        if path.name == "autumn.yaml" and threading.current_thread().name == "loser":
            looked.set()
            linked.wait(30)
        return found

    def slow(one: Path, other: Path) -> None:
        link(one, other)
        linked.set()
        lost.wait(30)

    def work(name: str) -> None:
        try:
            told[name] = adding.add(first, tmp_path / f"{name}.yaml", tmp_path / "past")
        except RankcastError as error:
            told[name] = error
        finally:
            (linked if name == "winner" else lost).set()

    for name in ("winner", "loser"):
        (tmp_path / f"{name}.yaml").write_text(json.dumps({**GOOD, "notes": f"of the {name}"}))
    monkeypatch.setattr(Path, "exists", late)
    monkeypatch.setattr(os, "link", slow)
    second = threading.Thread(target=work, args=("loser",), name="loser")
    second.start()
    assert looked.wait(30)
    one = threading.Thread(target=work, args=("winner",), name="winner")
    one.start()
    one.join(60)
    second.join(60)
    assert (told["winner"][0], isinstance(told["loser"], RankcastError)) == (tmp_path / "past" / "autumn.yaml", True)
    assert "of the winner" in (tmp_path / "past" / "autumn.yaml").read_text()
    assert kept(tmp_path) == ["autumn.yaml"]


# --- A table with a row a user ---

USERS = pl.DataFrame(
    {
        "arm": ["production"] * 60 + ["new"] * 62,
        "clicks": [n % 3 for n in range(60)] + [n % 4 for n in range(62)],
        "seen": [3 + n % 2 for n in range(60)] + [3 + n % 5 for n in range(62)],
    }
)


def per_user(frame: pl.DataFrame, folder: Path, metrics: dict[str, str], **keys: Any) -> Change:
    frame.write_csv(folder / "users.csv")

    def change(document: dict[str, Any]) -> None:
        del document["online"], document["users"]
        document |= {"from_users": {"path": "users.csv", "metrics": metrics}, **keys}

    return change


def linearised(frame: pl.DataFrame, arm: str) -> tuple[float, float]:
    """A ratio of sums and its error: the standard error of the mean of (a - r b) / mean(b)."""
    part = frame.filter(pl.col("arm") == arm)
    a, b = (part[name].to_numpy().astype(float) for name in ("clicks", "seen"))
    ratio = a.sum() / b.sum()
    return ratio, float(stats.sem((a - ratio * b) / b.mean()))


def test_ratios_by_user(first: Run, tmp_path: Path) -> None:
    assert add(first, tmp_path, per_user(USERS, tmp_path, {"m": "clicks/seen"})).code == 0
    (t, e), (c, d) = linearised(USERS, "new"), linearised(USERS, "production")
    found = pair(tmp_path / "past")
    assert found["online"] == pytest.approx(math.log(t / c), abs=1e-5)
    assert found["online_error"] == pytest.approx(math.hypot(e / t, d / c), rel=1e-5)
    assert "from_users" not in (tmp_path / "past" / "autumn.yaml").read_text()


def test_means_by_user(first: Run, tmp_path: Path) -> None:
    assert add(first, tmp_path, per_user(USERS, tmp_path, {"m": "clicks"})).code == 0
    parts = {arm: USERS.filter(arm=arm)["clicks"].to_numpy() for arm in ("new", "production")}
    (t, e), (c, d) = ((float(np.mean(one)), float(stats.sem(one))) for one in parts.values())
    found = pair(tmp_path / "past")
    assert found["online"] == pytest.approx(math.log(t / c), abs=1e-5)
    assert found["online_error"] == pytest.approx(math.hypot(e / t, d / c), rel=1e-5)


def test_numbers_beside_a_table_of_users(first: Run, tmp_path: Path) -> None:
    change = per_user(USERS, tmp_path, {"m": "clicks"}, online={"revenue": {"new": {"relative": "1%"}}})
    assert add(first, tmp_path, change).code == 0
    links = report(tmp_path / "past", "--offline", "dcg@10")["links"]
    assert {link["online"]: len(link["pairs"]) for link in links} == {"m": 1, "revenue": 1}


def arms(*more: str | None) -> pl.DataFrame:
    """The users, and two in each of these arms."""
    return pl.concat([USERS, pl.DataFrame({"arm": [*more, *more], "clicks": 1, "seen": 1}, schema=USERS.schema)])


BAD_USERS: dict[str, tuple[pl.DataFrame, dict[str, str], dict[str, Any], tuple[str, ...]]] = {
    "a column missing": (USERS, {"m": "clics"}, {}, ("`clics`", "did you mean `clicks`")),
    "no user": (USERS.clear(), {"m": "clicks"}, {}, ("users.csv", "no rows")),
    "no control": (USERS.filter(pl.col("arm") == "new"), {"m": "clicks"}, {}, ("no user was in the control",)),
    "a text": (USERS.with_columns(clicks=pl.lit("x")), {"m": "clicks"}, {}, ("expected a number", "'x'")),
    "a hole": (
        USERS.with_columns(clicks=pl.when(pl.col("seen") == 7).then(None).otherwise("clicks")),
        {"m": "clicks"},
        {},
        ("expected a number",),
    ),
    "infinite": (USERS.with_columns(clicks=pl.lit(math.inf)), {"m": "clicks"}, {}, ("expected a number", "inf")),
    "nothing seen": (USERS.with_columns(seen=0), {"m": "clicks/seen"}, {}, ("divided by is 0",)),
    "an arm of no variant": (arms("nwe"), {"m": "clicks"}, {}, ("did you mean `new`",)),
    "an arm of one user": (arms("x")[:-1], {"m": "clicks"}, {}, ('"x" has one user', "two at least")),
    "only the control": (USERS.filter(pl.col("arm") == "production"), {"m": "clicks"}, {}, ("no arm beside",)),
    "a long arm": (arms("x" * 101), {"m": "clicks"}, {}, ("results.yaml",)),
    "an arm of control characters": (arms("x\x07"), {"m": "clicks"}, {}, ("results.yaml",)),
    "launched what was no arm": (USERS, {"m": "clicks"}, {"launched": ["nwe"]}, ("did you mean `new`",)),
    "a split of others": (USERS, {"m": "clicks"}, {"split": {"zz": 1}}, ("zz",)),
    "more successes than users": (
        USERS,
        {"m": "clicks"},
        {"users": {"production": 99, "new": 99}, "online": {"r": {"production": {"successes": 1}, "new": {"successes": 90}}}},
        ("90 successes",),
    ),
    "values beyond all": (USERS.with_columns(clicks=pl.lit(1e308)), {"m": "clicks"}, {}, ("results.yaml",)),
    "users of no arm": (arms(None), {"m": "clicks"}, {}, ("arm",)),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_USERS)
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_users_that_are_refused(first: Run, tmp_path: Path, name: str) -> None:
    frame, metrics, keys, said = BAD_USERS[name]
    assert_refused(add(first, tmp_path, per_user(frame, tmp_path, metrics, **keys)), "results.yaml", *said)
    assert not (tmp_path / "past").exists()


@pytest.mark.parametrize(("path", "said"), [("none.csv", "no file matches"), (".", "folder"), ("empty.csv", "empty")])
def test_no_table_of_users(first: Run, tmp_path: Path, path: str, said: str) -> None:
    (tmp_path / "empty.csv").write_text("")
    change = both(from_users={"path": path, "metrics": {"m": "clicks"}})
    assert_refused(add(first, tmp_path, change), "results.yaml", said)
    assert not (tmp_path / "past").exists()


def test_users_are_read_by_add_alone(tmp_path: Path) -> None:
    change = per_user(USERS, tmp_path, {"m": "clicks"})
    document = deepcopy(GOOD)
    change(document)
    (tmp_path / "past").mkdir()
    (tmp_path / "past" / "a.yaml").write_text(json.dumps(document, indent=1))
    assert_refused(rankcast("history", "report", str(tmp_path / "past")), "a.yaml:", "from_users", "history add")


# --- A run of a study whose service has a record ---


def past_test(at: int) -> dict[str, Any]:
    """An online test of another study: offline 0, 1, .. 4 %, online 0.7 of it, and some noise."""
    offline = 0.01 * (at % 5)
    number = {"relative": round(0.7 * offline + 0.002 * (at % 3), 6), "standard_error": 0.004}
    return {
        "rankcast": 1,
        "online_test": f"t{at}",
        "study": f"s{at}",
        "period": {"from": f"2022-{at + 1:02}-01", "to": f"2022-{at + 1:02}-15"},
        "control": "production",
        "online": {"apply_rate": {"new": number}},
        "offline": {"new": {"dcg@10": {"relative": offline, "relative_error": 0.003}}},
    }


class Past:
    """A service with a record of nine tests and its run; then one test more, and the run again."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder).service("history", to={"path": "history", "smallest_effect": "1%"}).write()
        (folder / "history").mkdir()
        for at in range(9):
            self.write(at)
        self.before = run_of(self.world)
        self.write(9)
        self.after = run_of(self.world)

    def write(self, at: int) -> None:
        (self.world.folder / "history" / f"t{at}.yaml").write_text(json.dumps(past_test(at)))


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    return Past(tmp_path_factory.mktemp("past"))


def test_the_forecast_stands_in_every_report(past: Past) -> None:
    result = json.loads((past.before.folder / "result.json").read_text())
    (forecast,) = result["history"]["forecasts"]
    assert (forecast["variant"], forecast["offline"], forecast["online"], forecast["n"]) == (
        "new",
        "dcg@10",
        "apply_rate",
        9,
    )
    assert forecast["intervals"][2][0] < forecast["intervals"][1][0] < forecast["mean"] < forecast["intervals"][1][1]
    assert forecast["smallest"] == pytest.approx(math.log(1.01))
    assert 0 < forecast["above_smallest"] < forecast["positive"] < 1
    said = forecast["says"]
    assert said.startswith("By 9 past tests, apply_rate will change by")
    assert said in (past.before.folder / "report.html").read_text()
    assert said.replace("_", "\\_") in (past.before.folder / "report.md").read_text()


def test_the_links_are_those_of_the_report_command(past: Past) -> None:
    result = json.loads((past.after.folder / "result.json").read_text())
    link = result["history"]["links"][0]
    same = next(
        one for one in report(past.world.folder / "history", "--seed", "7")["links"] if one["offline"] == "dcg@10"
    )
    for key in ("pairs", "pearson", "spearman", "kendall", "denoised", "line"):
        assert link[key] == same[key], key
    x, y = ([one[key] for one in link["pairs"]] for key in ("offline", "online"))
    assert link["pearson"]["value"] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)


def test_another_record_is_another_run_with_the_same_lists_and_results(past: Past) -> None:
    assert past.after.id != past.before.id
    assert past.after.manifest["work"]["lists_of"] == past.before.id
    one, other = (json.loads((run.folder / "result.json").read_text()) for run in (past.before, past.after))
    assert (one["history"]["tests"], other["history"]["tests"]) == (9, 10)
    assert json.dumps(one["results"]).encode() == json.dumps(other["results"]).encode()


def test_the_same_record_is_the_same_run(past: Past) -> None:
    count = len(folders(past.world))
    assert past.world.run().code in (0, 3, 4)
    assert len(folders(past.world)) == count


def test_a_test_of_this_very_study_takes_no_part_in_its_forecast(past: Past, tmp_path: Path) -> None:
    world = World(tmp_path / "world").service("history", to={"path": "history"}).write()
    (world.folder / "history").mkdir()
    for at in range(9):
        document = past_test(at) | ({"study": "first"} if at == 8 else {})
        (world.folder / "history" / f"t{at}.yaml").write_text(json.dumps(document))
    history = json.loads((run_of(world).folder / "result.json").read_text())["history"]
    assert (history["tests"], len(history["links"][0]["pairs"]), history["forecasts"][0]["n"]) == (9, 9, 8)


def test_four_tests_foretell_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "world").service("history", to={"path": "history"}).write()
    (world.folder / "history").mkdir()
    for at in range(4):
        (world.folder / "history" / f"t{at}.yaml").write_text(json.dumps(past_test(at)))
    done = run_of(world)
    history = json.loads((done.folder / "result.json").read_text())["history"]
    assert history["forecasts"][0]["mean"] is None
    assert history["forecasts"][0]["says"].startswith("Nothing can be foretold of apply_rate: 4 past tests")
    assert history["links"][0]["says"].startswith("Nothing can be said: 4 pairs")
    assert "Nothing can be foretold" in (done.folder / "report.html").read_text()


def test_an_empty_record_says_no_nameless_metric(tmp_path: Path) -> None:
    world = World(tmp_path / "world").service("history", to={"path": "history"}).write()
    (world.folder / "history").mkdir()
    text = (run_of(world).folder / "report.md").read_text()
    assert "foretold of :" not in text
    assert "with ;" not in text


def test_a_metric_of_which_less_is_better_is_foretold_as_it_is(tmp_path: Path) -> None:
    """It fell in every test: to foretell a rise would be wrong."""
    world = World(tmp_path / "world").service("history", to={"path": "history"}).write()
    (world.folder / "history").mkdir()
    for at in range(9):
        document = past_test(at) | {"lower_is_better": ["apply_rate"]}
        number = {"relative": round(-0.05 - 0.7 * 0.01 * (at % 5) - 0.002 * (at % 3), 6), "standard_error": 0.004}
        document["online"] = {"apply_rate": {"new": number}}
        (world.folder / "history" / f"t{at}.yaml").write_text(json.dumps(document))
    (forecast,) = json.loads((run_of(world).folder / "result.json").read_text())["history"]["forecasts"]
    assert forecast["positive"] > 0.99
    assert "will change by +" not in forecast["says"]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"path": "none"}, "rankcast history add"),
        ({"path": "history/*.yaml"}, "folder"),
        ({"path": "history", "onlin": ["x"]}, "did you mean `online`"),
        ({"path": "history", "scale": "log"}, "relative"),
        ({"path": "history", "sql": "SELECT 1"}, "either"),
        ({"path": "history", "smallest_effect": 2}, "share"),
    ],
)
def test_a_history_that_a_service_cannot_have(tmp_path: Path, told: dict[str, Any], said: str) -> None:
    world = World(tmp_path / "world").service("history", to=told).write()
    (world.folder / "history").mkdir()
    (world.folder / "history" / "a.yaml").write_text(json.dumps(past_test(0)))
    assert_refused(world.run(), "service.yaml", said)
    assert world.left_behind() == []


def test_a_broken_record_stops_a_run_before_it_begins(tmp_path: Path) -> None:
    world = World(tmp_path / "world").service("history", to={"path": "history"}).write()
    (world.folder / "history").mkdir()
    (world.folder / "history" / "a.yaml").write_text("rankcast: 1\nonline_test: a\nonline: []\n")
    for command in ("run", "check"):
        assert_refused(world.run(command=command), "history/a.yaml:3", "online")
    assert world.left_behind() == []
