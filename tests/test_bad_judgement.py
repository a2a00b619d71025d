"""Wrong labels, averages, weights, segments and comparisons: refused with file, line, key and what was expected; and what is odd,
but no error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import rankcast
from rankcast.errors import RankcastError
from tiny import GONE, TABLES, Outcome, World, assert_refused
from tiny import rankcast as command

Place = tuple[str | int, ...]
EVENTS: dict[str, Any] = {"path": "data/events.parquet"}
HISTORY = {"user.history": {"none": 0, "few": "1-9", "many": "10-"}}
METHODS = ("clustered", "robust", "bootstrap", "permutation")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def refused(world: World, *said: str) -> Outcome:
    """Refused, with the line of a file, and nothing is left behind."""
    outcome = world.run()
    assert_refused(outcome, *said)
    assert re.search(r"(service|study)\.yaml:\d+: ", outcome.err), outcome.err
    assert world.left_behind() == []
    return outcome


def by_file(world: World, *said: str) -> None:
    """What the two files tell is told before data are read."""
    refused(world.write(data=False), *said)


def by_data(world: World, *said: str) -> None:
    refused(world.write(), *said)


def ids(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=True)[:60]


# -- tables.events


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "tables.events: expected "),
        (3, "tables.events: expected "),
        ("data/events.parquet", "tables.events: expected "),
        ([EVENTS, 3], "tables.events[1]: expected keys and values, found 3"),
        ([EVENTS, None], "tables.events[1]: expected keys and values, found nothing"),
        ([EVENTS, {}], "tables.events[1]: expected either `path`, or `sql` with `files`"),
        ([EVENTS, {"pth": "x"}], "tables.events[1].pth: unknown key `pth`; did you mean `path`?"),
        ([EVENTS, {**EVENTS, "distnct": []}], "tables.events[1].distnct: unknown key `distnct`; did you mean `distinct`?"),
        ([[EVENTS]], "tables.events[0]: expected keys and values"),
        ([EVENTS, {**EVENTS, "complete_until": "soon"}], "tables.events[1].complete_until: expected a date"),
        ([EVENTS, {**EVENTS, "complete_until": 3}], "tables.events[1].complete_until: expected a date"),
        ({**EVENTS, "event": 3}, "tables.events.event: expected text, found 3"),
        ({**EVENTS, "event": ""}, "tables.events.event: expected a name"),
        ({**EVENTS, "event": ["click"]}, "tables.events.event: expected text"),
        *(({**EVENTS, "distinct": wrong}, "tables.events.distinct: expected a list of columns, each once") for wrong in (
            "user_id", [], [3], [None], [""], ["user_id", "user_id"], {"user_id": 1},
        )),
    ],
    ids=ids,
)  # fmt: skip
def test_tables_of_events(world: World, value: Any, said: str) -> None:
    by_file(world.service("tables", "events", to=value), "service.yaml:", said)


@pytest.mark.parametrize("key", ["event", "distinct", "complete_until"])
@pytest.mark.parametrize("table", ["requests", "items", "users"])
def test_keys_of_events_alone(world: World, table: str, key: str) -> None:
    by_file(world.service("tables", table, key, to="click"), f"tables.{table}.{key}: unknown key `{key}`")


def test_several_tables_are_looked_at_at_once(world: World) -> None:
    tables = [{**EVENTS, "event": 3}, EVENTS, {**EVENTS, "distinct": "x"}]
    by_file(
        world.service("tables", "events", to=tables), "2 errors", "tables.events[0].event", "tables.events[2].distinct"
    )


def test_a_missing_file_among_several(world: World) -> None:
    world.service("tables", "events", to=[EVENTS, {"path": "data/nope.parquet"}])
    by_data(world, "tables.events[1]", "data/nope.parquet")


def two_tables(world: World, **terms: Any) -> World:
    """Clicks and applications in tables of their own."""
    events = world.tables.pop("events")
    world.tables["clicks"] = events.filter(pl.col("event") == "click").drop("event")
    world.tables["applies"] = events.filter(pl.col("event") == "apply").drop("event").with_columns(form=1)
    return world.service(
        "tables",
        "events",
        to=[
            {"path": "data/clicks.parquet", "event": "click"},
            {"path": "data/applies.parquet", "event": "apply", **terms},
        ],
    )


def test_a_kind_and_a_column_of_kinds(world: World) -> None:
    two_tables(world).table("applies", lambda frame: frame.with_columns(event=pl.lit("apply")))
    by_data(world, "tables.events[1]", "data/applies.parquet", "has a column `event`", "every row is `apply`")


def test_no_kind_and_no_column_of_kinds(world: World) -> None:
    two_tables(world).service("tables", "events", 0, "event", to=GONE)
    by_data(world, "tables.events[0]", "data/clicks.parquet", "column `event` is missing")


@pytest.mark.parametrize("column", ["visited", "frm", "event_id", "request"])
def test_distinct_names_no_column(world: World, column: str) -> None:
    two_tables(world, distinct=["user_id", column])
    by_data(world, "service.yaml:", "tables.events[1]", "data/applies.parquet", f"column `{column}` is missing")
    assert_refused(world.run(command="check"), f"column `{column}` is missing")


def test_distinct_names_no_request_id(world: World) -> None:
    two_tables(world, distinct=["request_id"]).table("applies", lambda frame: frame.drop("request_id"))
    by_data(world, "tables.events[1]", "distinct: no column `request_id`")


@pytest.mark.parametrize("column", ["user_id", "item_id", "request_id"])
@pytest.mark.parametrize("table", ["clicks", "applies"])
def test_ids_of_different_types(world: World, table: str, column: str) -> None:
    number = {"clicks": 0, "applies": 1}[table]
    two_tables(world).table(table, lambda frame: frame.with_columns(pl.col(column).str.slice(1).cast(pl.Int64)))
    by_data(world, f"tables.events[{number}].{column}", f"data/{table}.parquet", "ids are integers, but text in ")


def test_faults_of_two_tables_come_at_once(world: World) -> None:
    two_tables(world, distinct=["visited"]).table("clicks", lambda frame: frame.drop("timestamp"))
    by_data(world, "2 errors", "column `timestamp` is missing", "column `visited` is missing")


# -- labels


@pytest.mark.parametrize(
    ("grade", "said"),
    [
        *((wrong, "labels.grades: apply: expected a number, or `{grade: 4, within: 14d}`, found ") for wrong in (
            "4", "", True, None, [], [1], {}, {"within": "7d"}, {"after": "click"}, {"grade": "4"}, {"grade": True},
            {"grade": None}, {"grade": [4]}, float("inf"), float("nan"), {"grade": float("nan")},
        )),
        *((wrong, "labels.grades: apply: expected a grade up to 1000, found ") for wrong in (
            1001, -1001, 1e300, {"grade": 1000.5}, {"grade": -1e300},
        )),
        *(({"grade": 4, "within": wrong}, "labels.grades.apply.within: expected a duration such as ") for wrong in (
            7, "7", "", "-7d", "0d", "7D", "1.5d", [], {}, True, "９d",
        )),
        *(({"grade": 4, "after": wrong}, "grades.apply.after: expected text, found ") for wrong in (3, True, [], ["click"], {})),
        ({"grade": 4, "after": ""}, "labels.grades.apply.after: expected a name"),
        ({"grade": 4, "whitin": "7d"}, "labels.grades.apply.whitin: unknown key `whitin`; did you mean `within`?"),
        ({"grade": 4, "aftr": "click"}, "labels.grades.apply.aftr: unknown key `aftr`; did you mean `after`?"),
        ({"grade": 4, "grades": 4}, "labels.grades.apply.grades: unknown key `grades`; did you mean `grade`?"),
        ({"grade": 4, "x": 1}, "labels.grades.apply.x: unknown key `x`; known: after, grade, within"),
        (-1, "apply: -1 is below 0, which most metrics do not understand; if it is meant, add `negative_grades: true`"),
        ({"grade": -0.5, "within": "1d"}, "apply: -0.5 is below 0"),
        ({"grade": 4, "after": "apply"}, "apply: `after` leads in a circle: apply after apply"),
    ],
    ids=ids,
)  # fmt: skip
def test_grade(world: World, grade: Any, said: str) -> None:
    by_file(world.service("labels", "grades", "apply", to=grade), "service.yaml:", said)


@pytest.mark.parametrize(
    "grade",
    [{"grade": 4, "within": None}, {"grade": 4, "after": None}, {"grade": 4, "after": "call"}, 0, 1000, {"grade": 0.5}],
    ids=ids,
)
def test_grade_that_is_right(world: World, grade: Any) -> None:
    assert world.service("labels", "grades", "apply", to=grade).write().run().code in (0, 3, 4)


def after(**leads: str) -> dict[str, Any]:
    return {kind: {"grade": 1, "after": one} for kind, one in leads.items()}


@pytest.mark.parametrize(
    ("grades", "circle"),
    [
        (after(a="b", b="a"), "a after b after a"),
        (after(a="b", b="c", c="a"), "a after b after c after a"),
        (after(a="b", b="c", c="b"), "after b after c after b"),
        ({"click": 1, **after(x="click", y="y")}, "y after y"),
    ],
)
def test_after_in_a_circle(world: World, grades: Any, circle: str) -> None:
    by_file(world.service("labels", "grades", to=grades), "service.yaml:", "`after` leads in a circle", circle)


def test_grades_of_nothing(world: World) -> None:
    by_file(world.service("labels", "grades", to={}), "labels.grades: expected grades such as")


def test_grade_of_a_kind_without_a_name(world: World) -> None:
    by_file(world.service("labels", "grades", to={"": 1}), "labels.grades")


@pytest.mark.parametrize("value", [None, True, 3, "", "exlude", "Report", [], ["report"], {}], ids=ids)
def test_late(world: World, value: Any) -> None:
    by_file(world.service("labels", "late", to=value), "labels.late: expected 'exclude' or 'report', found ")


@pytest.mark.parametrize("value", [None, "yes", "true", 1, 0, [], {}], ids=ids)
def test_negative_grades(world: World, value: Any) -> None:
    by_file(world.service("labels", "negative_grades", to=value), "labels.negative_grades: expected true or false")


def test_negative_grades_that_are_not_meant(world: World) -> None:
    world.service("labels", "negative_grades", to=False).service("labels", "grades", "hide", to=-2)
    by_file(world, "hide: -2 is below 0", "add `negative_grades: true`")


# -- targets


@pytest.mark.parametrize(
    "value",
    [
        None, "", 3, True, {"user": 1}, "request.", "users", "Request", "user.tenure", "item.kind", "day", [["request"]],
        ["request", "user.tenure"], ["request", "item.kind"], ["request", "day"], ["request", ""], ["user", 3],
        ["user", None], ["user", "requests.surface"],
    ],
    ids=ids,
)  # fmt: skip
def test_average(world: World, value: Any) -> None:
    by_file(
        world.service("targets", "average", to=value),
        "service.yaml:",
        "targets.average: expected request, user or request.<column>, found ",
    )


@pytest.mark.parametrize(
    "value", [[], ["user", "user"], ["request", "user", "request"], ["request.surface", "request.surface"]], ids=ids
)
def test_average_not_once(world: World, value: Any) -> None:
    by_file(world.service("targets", "average", to=value), "targets.average: expected each average once, found ")


@pytest.mark.parametrize("value", ["request.nope", ["request", "request.nope"], ["request.nope", "user"]], ids=ids)
def test_average_by_no_column(world: World, value: Any) -> None:
    world.service("targets", "average", to=value)
    by_data(world, "service.yaml:", "targets.average: no column `nope` in the table of requests; known: ")
    assert_refused(world.run(command="check"), "no column `nope`")


@pytest.mark.parametrize(
    "value",
    ["", 3, True, "request", "request.", "user.tenure", "item.wage", "wage", "user.history", ["request.bot"], {}],
    ids=ids,
)
def test_weight(world: World, value: Any) -> None:
    by_file(
        world.service("targets", "weight", to=value),
        "service.yaml:",
        "targets.weight: expected request.<column>, such as request.value, found ",
    )


def test_weight_in_no_column(world: World) -> None:
    by_data(
        world.service("targets", "weight", to="request.value"), "targets.weight: no column `value` in the table of req"
    )


@pytest.mark.parametrize("column", ["surface", "wanted", "request_id", "timestamp"])
def test_weight_in_a_column_of_something_else(world: World, column: str) -> None:
    world.service("targets", "weight", to=f"request.{column}")
    by_data(world, "service.yaml:", f"targets.weight: `request.{column}` holds ", "expected numbers")


def weighed(world: World, values: pl.Expr) -> World:
    return world.service("targets", "weight", to="request.value").table(
        "requests", lambda frame: frame.with_columns(values.alias("value"))
    )


FIRST = pl.int_range(pl.len()) == 0


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "nothing"), (float("nan"), "nothing"), (-1.0, "-1"), (-1e-9, "-1e-09"), (float("inf"), "Infinity")],
    ids=ids,
)
def test_weight_of_a_request(world: World, value: Any, shown: str) -> None:
    weighed(world, pl.when(FIRST).then(pl.lit(value)).otherwise(2.0))
    by_data(world, "targets.weight: `request.value`: 1 of 6 weights are ", f"request r00: {shown}", "0 or more")


@pytest.mark.parametrize("value", [None, float("nan"), -1])
def test_weight_of_all_requests(world: World, value: Any) -> None:
    by_data(weighed(world, pl.lit(value)), "6 of 6 weights are null, negative or infinite")


# -- segments


@pytest.mark.parametrize(
    ("value", "said"),
    [
        *((wrong, "segments: expected a list, found ") for wrong in (None, 3, "user.tenure", {"user.history": {"a": 0}})),
        *(([wrong], "segments[0]: expected request.<column>, user.<column>, item.<column>, day, ranges such as ") for wrong in (
            3, None, True, "", "tenure", "request.", "user.", "item.", "x.y", "Day", "event.kind", [], {}, ["user.tenure"],
            ["request.surface", "user.tenure", "item.kind"], ["day", ["user.tenure", "item.kind"]], [["day"], "user.tenure"],
            ["day", 3], ["day", None], {"user.history": {"a": 0}, "item.wage": {"b": 1}}, {"history": {"a": 0}},
        )),
        *(([{"user.history": wrong}], "segments[0]: user.history: expected named ranges such as ") for wrong in (
            None, {}, [], [1], "0", "1-9", 3,
        )),
        *(([{"user.history": {"a": wrong}}], "segments[0]: a: expected a range such as 0, 1-9 or 10-, found ") for wrong in (
            None, True, "", "x", "-1", -1, "-", "1-2-3", "1..2", ">3", "1e5", "1,5", [1, 2], {"from": 1}, " 1-2", "1 2", "1-x",
        )),
        ([{"user.history": {"a": "5-1"}}], "segments[0]: a: the range 5-1 ends before it begins"),
        ([{"user.history": {"a": "1-5", "b": "5-9"}}], "user.history: the ranges 1-5 and 5-9 overlap"),
        ([{"user.history": {"a": "5-9", "b": "1-6"}}], "user.history: the ranges 1-6 and 5-9 overlap"),
        ([{"user.history": {"a": "1-", "b": "7"}}], "user.history: the ranges 1- and 7 overlap"),
        ([{"user.history": {"a": 0, "b": "0"}}], "user.history: the ranges 0 and 0 overlap"),
        ([{"item.wage": {"a": "0-2.5", "b": "2.5-"}}], "item.wage: the ranges 0-2.5 and 2.5- overlap"),
        (["day", {"user.history": {"a": "1-5", "b": "0-"}}], "segments[1]: user.history: the ranges 0- and 1-5 overlap"),
        (["user.history"], "segments[0]: expected ranges: `{user.history: {none: 0, few: 1-9, many: 10-}}`"),
        ([["day", "user.history"]], "segments[0]: expected ranges: `{user.history: "),
        (["user.tenure", "user.tenure"], "segments[1]: `user.tenure` stands here already"),
        (["day", "user.tenure", "day"], "segments[2]: `day` stands here already"),
        ([HISTORY, {"user.history": {"some": "1-"}}], "segments[1]: `user.history` stands here already"),
        ([["day", "user.tenure"], ["day", "user.tenure"]], "segments[1]: `day, user.tenure` stands here already"),
        ([["day", "day"]], "segments[0]: `day, day`: expected two different columns"),
        ([[HISTORY, HISTORY]], "segments[0]: `user.history, user.history`: expected two different columns"),
        ([{"user.history": {"a": "９"}}], "segments[0]: a: expected a range such as"),
    ],
    ids=ids,
)  # fmt: skip
def test_segments(world: World, value: Any, said: str) -> None:
    by_file(world.study("segments", to=value), "study.yaml:", said)


@pytest.mark.parametrize("table", ["items", "users"])
@pytest.mark.parametrize("pair", [False, True])
def test_segments_of_a_table_that_is_not_there(world: World, table: str, pair: bool) -> None:
    column = {"items": "item.kind", "users": "user.tenure"}[table]
    world.service("tables", table, to=GONE).service("production", "steps", to=[])
    world.study("segments", to=[["day", column]] if pair else [column])
    by_file(world, "study.yaml:", f"segments[0]: `{column}`: add `tables.{table}` to the service")


@pytest.mark.parametrize("segment", ["item.kind", HISTORY, ["day", HISTORY]], ids=ids)
def test_segments_without_events(world: World, segment: Any) -> None:
    world.service("tables", "events", to=GONE).service("production", "steps", to=[]).study("segments", to=[segment])
    by_file(world, "study.yaml:", "segments[0]: ", "add `tables.events` to the service")


@pytest.mark.parametrize(("scope", "table"), [("request", "requests"), ("user", "users"), ("item", "items")])
@pytest.mark.parametrize("form", [lambda one: one, lambda one: ["day", one], lambda one: {one: {"a": "0-"}}])
def test_segments_by_no_column(world: World, scope: str, table: str, form: Callable[[str], Any]) -> None:
    world.study("segments", to=["day", form(f"{scope}.nope")])
    by_data(world, "study.yaml:", f"segments[1]: no column `nope` in the table of {table}; known: ")
    assert_refused(world.run(command="check"), "no column `nope`")


@pytest.mark.parametrize(
    "column", ["user.tenure", "request.surface", "request.bot", "request.timestamp", "item.kind", "day"]
)
@pytest.mark.parametrize("pair", [False, True])
def test_ranges_of_what_is_no_number(world: World, column: str, pair: bool) -> None:
    ranges = {column: {"low": "0-9", "high": "10-"}}
    world.study("segments", to=[["request.wanted", ranges] if pair else ranges])
    by_data(world, "study.yaml:", f"segments[0]: `{column}` holds ", "which has no ranges; expected numbers")


# -- guardrails and compare


@pytest.mark.parametrize(
    ("value", "said"),
    [
        *(([wrong], "metrics.guardrails[0]: expected a metric, or `{coverage@20: {at_most_worse: 0.5%}}`, found ") for wrong in (
            3, None, True, [], {}, ["coverage@3"], {"coverage@3": 3}, {"coverage@3": None}, {"coverage@3": "1%"},
            {"coverage@3": ["1%"]}, {"coverage@3": {"at_most_worse": "1%"}, "rr@3": {}},
        )),
        *(([{"coverage@3": {"at_most_worse": wrong}}], "guardrails[0]: expected a share such as 1% or 0.01") for wrong in (
            "500%", 5, "101%", 1.01, "-1%", -0.1, "x", "", "%", True, [], {}, float("nan"), float("inf"),
        )),
        (["list_length@3", {"coverage@3": {"at_most_worse": "500%"}}], "metrics.guardrails[1]: expected a share"),
        ([{"covrage@3": {"at_most_worse": "1%"}}], "unknown metric `covrage`; did you mean `coverage`?"),
        ([{"dcg@10": {"at_most_worse": "1%"}}], "`dcg@10` is the metric `dcg@10`, which the study names already"),
        (["coverage@3", {"coverage@3": {"at_most_worse": "1%"}}], "metrics.guardrails[1]: `coverage@3` is the metric"),
        ("coverage@3", "metrics.guardrails: expected a list"),
        ({"coverage@3": {"at_most_worse": "1%"}}, "metrics.guardrails: expected a list"),
        ([{"coverage@3": {"at_most_wors": "1%"}}], "`at_most_wors`; did you mean `at_most_worse`?"),
        ([{"coverage@3": {"at_most_worse": "1%", "x": 1}}], "unknown key `x`"),
        ([{"coverage@3": {"metric": "rr@3"}}], "unknown key `metric`"),
    ],
    ids=ids,
)  # fmt: skip
def test_guardrails(world: World, value: Any, said: str) -> None:
    by_file(world.study("metrics", "guardrails", to=value), "study.yaml:", said)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        *(("method", wrong, "expected 'clustered', 'robust', 'bootstrap' or 'permutation', found ") for wrong in (
            None, 3, "", "Clustered", "bootstap", [], ["robust"],
        )),
        *(("replications", wrong, "100, found ") for wrong in (0, -1, 99)),
        ("replications", 100_001, "100000, found 100001"),
        *(("replications", wrong, "expected an integer, found ") for wrong in (None, 1.5, "2000", True, [])),
        *(("cluster", wrong, "expected [user], or [user, item.<column>] (request.<column>, user.<column>), found ") for wrong in (
            [], ["item.kind"], ["request.surface"], ["user", "user"], ["user", "item"], ["user", "item."], ["user", "x.y"],
            ["user", "day"], ["item.kind", "user"], ["user", "item.kind", "request.surface"],
        )),
        *(("cluster", wrong, "expected a list, found ") for wrong in (None, "user", "item.kind", 3, {})),
        *(("cluster", ["user", wrong], "compare.cluster[1]: expected text, found ") for wrong in (3, None, ["item.kind"])),
        *(("cuped", wrong, "expected user.history, user.<column> or request.<column>, found ") for wrong in (
            "", "history", "user", "user.", "request.", "item.wage", "day", 3, True, [], ["user.history"], {},
        )),
        *(("least_users", wrong, "2, found ") for wrong in (-3, 0, 1)),
        *(("least_users", wrong, "expected an integer, found ") for wrong in (None, 1.5, "30", True, [])),
        ("least_user", 3, "unknown key `least_user`; did you mean `least_users`?"),
        ("clusters", ["user"], "unknown key `clusters`; did you mean `cluster`?"),
        ("replication", 200, "unknown key `replication`; did you mean `replications`?"),
    ],
    ids=ids,
)  # fmt: skip
def test_compare(world: World, key: str, value: Any, said: str) -> None:
    by_file(world.study("compare", key, to=value), "study.yaml:", f"compare.{key}", said)


@pytest.mark.parametrize(("scope", "table"), [("request", "requests"), ("user", "users"), ("item", "items")])
def test_clusters_by_no_column(world: World, scope: str, table: str) -> None:
    world.study("compare", "cluster", to=["user", f"{scope}.nope"])
    by_data(world, "study.yaml:", f"compare.cluster[1]: no column `nope` in the table of {table}; known: ")


@pytest.mark.parametrize(("scope", "table"), [("request", "requests"), ("user", "users")])
def test_cuped_by_no_column(world: World, scope: str, table: str) -> None:
    world.study("compare", "cuped", to=f"{scope}.nope")
    by_data(world, "study.yaml:", f"compare.cuped: no column `nope` in the table of {table}; known: ")


@pytest.mark.parametrize("column", ["user.tenure", "request.surface", "request.timestamp", "user.user_id"])
def test_cuped_by_what_is_no_number(world: World, column: str) -> None:
    by_data(world.study("compare", "cuped", to=column), f"compare.cuped: `{column}` holds ", "expected numbers")


@pytest.mark.parametrize("method", ["bootstrap", "permutation"])
def test_two_clusters_and_a_method_that_draws_users(world: World, method: str) -> None:
    world.study("compare", "cluster", to=["user", "item.kind"]).study("compare", "method", to=method)
    by_file(world, "study.yaml:", "compare", f"`method: {method}` draws users", "expected clustered or robust")


@pytest.mark.parametrize(
    ("gone", "key", "value"),
    [
        ("items", "cluster", ["user", "item.kind"]),
        ("users", "cluster", ["user", "user.tenure"]),
        ("events", "cluster", ["user", "item.kind"]),
        ("users", "cuped", "user.tenure"),
        ("events", "cuped", "user.history"),
    ],
)
def test_compare_by_a_table_that_is_not_there(world: World, gone: str, key: str, value: Any) -> None:
    world.service("tables", gone, to=GONE).service("production", "steps", to=[]).study("compare", key, to=value)
    by_file(world.study("segments", to=[]), f"compare.{key}", f"add `tables.{gone}` to the service")


# -- how far users look


@pytest.mark.parametrize(
    ("value", "said"),
    [
        *((wrong, "behaviour: expected keys and values, found ") for wrong in (3, "click", [], True)),
        ({"cliks": ["click"]}, "behaviour.cliks: unknown key `cliks`; did you mean `clicks`?"),
        *(({"clicks": wrong}, "behaviour.clicks: expected a list of kinds of events, such as [click], found ") for wrong in (
            None, 3, "click", [], [3], [None], {"click": 1},
        )),
        *(({"depth": wrong}, "behaviour.depth: expected request.<column>, such as request.depth, found ") for wrong in (
            3, "", "depth", "request.", "user.tenure", "item.wage", [], ["request.depth"],
        )),
        *(({"by": wrong}, "behaviour.by: expected request.<column>, such as request.keyword, found ") for wrong in (
            3, "", "keyword", "request.", "user.tenure", "item.kind", [], ["request.keyword"],
        )),
    ],
    ids=ids,
)  # fmt: skip
def test_behaviour(world: World, value: Any, said: str) -> None:
    by_file(world.service("behaviour", to=value), "service.yaml:", said)


@pytest.mark.parametrize("table", ["impressions", "events"])
def test_behaviour_without_its_table(world: World, table: str) -> None:
    world.service("behaviour", to={"clicks": ["click"]}).service("tables", table, to=GONE)
    world.service("production", "steps", to=[])
    by_file(world, "service.yaml:", "behaviour: clicks on what was shown tell how far", f"add `tables.{table}`")


@pytest.mark.parametrize("key", ["depth", "by"])
def test_behaviour_by_no_column(world: World, key: str) -> None:
    world.service("behaviour", to={key: "request.nope"})
    by_data(world, "service.yaml:", f"behaviour.{key}: no column `nope` in the table of requests; known: ")
    assert_refused(world.run(command="check"), "no column `nope`")


def test_depth_in_words(world: World) -> None:
    by_data(world.service("behaviour", to={"depth": "request.surface"}), "behaviour.depth: `request.surface` holds ")


@pytest.mark.parametrize("metric", ["dcg(discount=examined)@10", "ndcg(discount=examined)@10"])
def test_examined_without_impressions(world: World, metric: str) -> None:
    world.service("tables", "impressions", to=GONE).study("metrics", "primary", to=metric)
    by_file(world, "study.yaml:", "metrics", "discount=examined", "needs `tables.impressions`")


def few_clicks(world: World) -> Outcome:
    outcome = world.study("metrics", "primary", to="dcg(discount=examined)@10").write().run()
    assert_refused(outcome, "study.yaml:30: metrics: discount=examined", "it takes at least 50 clicks (click)")
    return outcome


def test_examined_with_too_few_clicks(world: World) -> None:
    few_clicks(world)
    assert world.left_behind() == []


@pytest.mark.parametrize("table", ["events", "impressions"])
def test_examined_without_any_click(world: World, table: str) -> None:
    few_clicks(world.table(table, lambda frame: frame.clear()).service("targets", "without_labels", to="zero"))


@pytest.mark.parametrize("metric", ["dcg(discount=examined)@10", "ndcg(discount=examined)@3"])
def test_examined_in_score(tmp_path: Path, metric: str) -> None:
    slates, labels = pl.DataFrame({"request_id": ["q"], "item_id": ["a"], "score": [1.0]}), tmp_path / "labels.csv"
    slates.write_csv(tmp_path / "slates.csv")
    labels.write_text("request_id,item_id,grade\nq,a,1\n", encoding="utf-8")
    outcome = command("score", str(tmp_path / "slates.csv"), str(labels), "--metric", metric)
    assert_refused(outcome, metric, "needs to know how far users look")
    with pytest.raises(RankcastError, match="how far users look"):
        rankcast.score({"q": {"a": 1.0}}, {"q": {"a": 1}}, [metric])


def test_examined_is_a_discount_of_two_metrics(world: World) -> None:
    by_file(world.study("metrics", "primary", to="rr(discount=examined)@3"), "unknown parameter `discount`")


def test_all_faults_come_at_once(world: World) -> None:
    world.service("labels", "late", to="x").service("targets", "weight", to="x").study("compare", "method", to="x")
    world.study("segments", to=["user.history"]).study("compare", "least_users", to=0)
    by_file(world, "labels.late", "targets.weight", "compare.method", "compare.least_users")


# -- odd, but no error


EVERYWHERE: list[Any] = [
    "request.surface",
    "user.tenure",
    "item.kind",
    "day",
    HISTORY,
    ["request.wanted", "user.tenure"],
    ["day", {"item.wage": {"low": "0-3", "high": "4-"}}],
]


def everything(world: World, method: str = "clustered", cuped: bool = False) -> World:
    """All that there is to say of judgement, said; `new` orders the other way round."""
    two_tables(world, distinct=["user_id", "item_id", "form"])
    world.service("tables", "events", 0, "complete_until", to="2023-10-30")
    world.service("labels", "negative_grades", to=True).service("labels", "late", to="report")
    reply = {"grade": 8, "within": "20d", "after": "apply"}
    world.service(
        "labels", "grades", to={"click": 1, "apply": {"grade": 4, "within": "14d"}, "reply": reply, "hide": -2}
    )
    world.service("targets", "average", to=["request", "user", "request.surface"])
    weighed(world, 1 + pl.int_range(pl.len()) % 3)
    world.service("behaviour", to={"clicks": ["click"], "by": "request.wanted", "depth": "request.depth"})
    world.table("requests", lambda frame: frame.with_columns(depth=3))
    guardrails = ["list_length@3", {"coverage@3": {"at_most_worse": "1%"}}, {"rr@3": {"at_most_worse": "5%"}}]
    world.study("segments", to=EVERYWHERE).study("metrics", "guardrails", to=guardrails)
    cluster = ["user", "item.kind"] if method in ("clustered", "robust") else ["user"]
    terms = {"method": method, "replications": 100, "cluster": cluster, "least_users": 2}
    for key, value in terms.items():
        world.study("compare", key, to=value)
    if cuped:
        world.study("compare", "cuped", to="user.history")
    return world.table("new", lambda frame: frame.with_columns(score=-pl.col("score")))


def no_events(world: World) -> World:
    return world.table("clicks", lambda frame: frame.clear()).table("applies", lambda frame: frame.clear())


def judged(world: World) -> dict[str, Any]:
    """It runs; its result, in which no number is NaN or infinite."""
    outcome = world.write().run()
    assert outcome.code in (0, 3, 4), outcome.text
    (file,) = world.folder.glob("runs/first/*/result.json")

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in result.json")

    result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"), parse_constant=refuse)
    assert outcome.code == (3 if result["decision"]["new"]["decision"] == "no-go" else 4)
    return result


def one_of(result: dict[str, Any], table: str, metric: str = "dcg@10") -> list[dict[str, Any]]:
    return [row for row in result["results"][table] if row["metric"] == metric and not row.get("segment")]


@pytest.mark.parametrize("cuped", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_everything(world: World, method: str, cuped: bool) -> None:
    result = judged(everything(world, method, cuped))
    assert {row["method"] for row in one_of(result, "comparisons")} == {method}
    assert bool(result["results"]["cuped"]) is cuped
    assert {row["average"] for row in one_of(result, "averages")} == {"request", "user", "request.surface"}


@pytest.mark.parametrize("without_labels", ["exclude", "zero"])
@pytest.mark.parametrize("method", METHODS)
def test_no_events(world: World, method: str, without_labels: str) -> None:
    result = judged(
        no_events(everything(world, method, cuped=True)).service("targets", "without_labels", to=without_labels)
    )
    assert result["decision"]["new"]["decision"] == "undecided"
    assert {row["difference"] for row in one_of(result, "comparisons")} == (
        {None} if without_labels == "exclude" else {0.0}
    )


@pytest.mark.parametrize("method", METHODS)
def test_one_user(world: World, method: str) -> None:
    everything(world, method, cuped=True)
    for table in ("requests", "clicks", "applies"):
        world.table(table, lambda frame: frame.with_columns(user_id=pl.lit("u1")))
    result = judged(world)
    assert result["decision"]["new"]["decision"] == "undecided"
    for row in one_of(result, "comparisons"):
        assert (row["n_users"], row["low"], row["high"], row["p"], row["verdict"]) == (1, None, None, None, "undecided")


@pytest.mark.parametrize("method", METHODS)
def test_one_request(world: World, method: str) -> None:
    result = judged(everything(world, method, cuped=True).table("requests", lambda frame: frame.head(1)))
    assert result["decision"]["new"]["decision"] == "undecided"
    assert {row["n_requests"] for row in one_of(result, "comparisons")} == {1}


@pytest.mark.parametrize("method", METHODS)
def test_all_weights_zero(world: World, method: str) -> None:
    result = judged(everything(world, method).table("requests", lambda frame: frame.with_columns(value=0)))
    assert result["decision"]["new"]["decision"] == "undecided"
    assert {row["value"] for row in one_of(result, "metrics")} == {None}
    assert {(row["difference"], row["verdict"]) for row in one_of(result, "comparisons")} == {(None, "undecided")}


@pytest.mark.parametrize("method", METHODS)
def test_some_weights_zero(world: World, method: str) -> None:
    everything(world, method).table("requests", lambda frame: frame.with_columns(value=pl.int_range(pl.len()) % 3))
    assert {row["n_requests"] for row in one_of(judged(world), "comparisons")} == {4}


def test_some_weights_zero_with_cuped(world: World) -> None:
    everything(world, cuped=True).table("requests", lambda frame: frame.with_columns(value=pl.int_range(pl.len()) % 3))
    judged(world)


def test_weights_of_true_and_false(world: World) -> None:
    everything(world).table("requests", lambda frame: frame.with_columns(value=pl.int_range(pl.len()) % 4 == 0))
    assert {row["n_requests"] for row in one_of(judged(world), "comparisons")} == {3}


@pytest.mark.parametrize("method", METHODS)
def test_no_target_is_left(world: World, method: str) -> None:
    everything(world, method, cuped=True).service("labels", "grades", to={"call": 1, "hide": -1})
    result = judged(world)
    assert result["decision"]["new"]["decision"] == "undecided"
    assert {row["value"] for row in one_of(result, "metrics")} == {None}


@pytest.mark.parametrize("method", METHODS)
def test_nothing_differs(world: World, method: str) -> None:
    everything(world, method, cuped=True).tables["new"] = world.tables["scores"]
    result = judged(world)
    (row,) = [row for row in one_of(result, "comparisons") if row["variant"] == "new"]
    assert (row["difference"], row["low"], row["high"], row["p"], row["verdict"]) == (0, 0, 0, 1, "equivalent")


@pytest.mark.parametrize("method", METHODS)
def test_the_same_difference_everywhere(world: World, method: str) -> None:
    """Lists of one item less for each request: no error, though no test can weigh it."""
    everything(world, method, cuped=True).service("production", "steps", to=[])
    world.study("metrics", "primary", to="list_length@10").study("metrics", "guardrails", to=[])
    world.study("treatment", to=["scores", "served"]).study("variants", "new", "served", to=2)
    (row,) = [row for row in one_of(judged(world), "comparisons", "list_length@10") if row["variant"] == "new"]
    assert (row["difference"], row["wins"]) == (-1, 0)


NEVER = """
from dataclasses import dataclass

import numpy as np

from rankcast.evaluate.metric import RequestMetric


@dataclass(frozen=True)
class Never(RequestMetric):
    name = "never"
    cuts = False
    needs_labels = False

    def values(self, judged):
        return np.full(judged.n, np.nan)
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_metric_without_any_value(world: World, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    (world.folder / "never_known.py").write_text(NEVER, encoding="utf-8")
    monkeypatch.syspath_prepend(world.folder)
    everything(world, method, cuped=True).study("metrics", "primary", to="never_known:Never")
    world.study("metrics", "guardrails", to=[])
    result = judged(world)
    assert result["decision"]["new"]["decision"] == "undecided"
    assert {(row["value"], row["n_requests"]) for row in one_of(result, "metrics", "never_known:Never")} == {(None, 0)}
    for row in one_of(result, "comparisons", "never_known:Never"):
        assert (row["difference"], row["low"], row["p"], row["verdict"]) == (None, None, None, "undecided")


def test_ranges_that_nothing_is_in(world: World) -> None:
    result = judged(world.study("segments", to=[{"user.history": {"a": "1000-"}}]))
    assert {row["segment"]["value"] for row in result["results"]["comparisons"] if row["segment"]} == {None}


def test_columns_of_nulls(world: World) -> None:
    world.table("requests", lambda frame: frame.with_columns(nothing=pl.lit(None)))
    world.study("segments", to=["request.nothing", ["day", {"request.nothing": {"a": "0-"}}]])
    world.study("compare", "cluster", to=["user", "request.nothing"]).service(
        "targets", "average", to="request.nothing"
    )
    judged(world)


def test_events_of_no_kind_that_counts(world: World) -> None:
    world.service("labels", "grades", to={"click": 1, "reply": {"grade": 3, "after": "phone"}})
    assert [row["event"] for row in judged(world)["results"]["late"]] == ["click", "reply"]


def test_the_same_table_twice(world: World) -> None:
    """The same rows twice are duplicates."""
    once = judged(World(world.folder / "once"))
    twice = judged(world.service("tables", "events", to=[EVENTS, EVENTS]))
    assert once["results"]["comparisons"] == twice["results"]["comparisons"]


def test_without_a_request_id_in_one_table(world: World) -> None:
    world.tables["more"] = TABLES["events"].drop("request_id").head(3)
    judged(world.service("tables", "events", to=[EVENTS, {"path": "data/more.parquet"}]))
