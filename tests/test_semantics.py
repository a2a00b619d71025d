"""Corners of the contract, one small service each, expected values by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import rankcast
from rankcast.records import Results
from rankcast.tables.timestamps import to_utc
from tiny import World

Rows = list[tuple[Any, ...]]


class Small(World):
    """Requests r1 (user u, 09:00) and r2 (user v, 10:00) on one day; items a, b, c; tables are given as rows."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.tables.clear()
        self.rows("requests", ["request_id", "user_id", "timestamp"], [("r1", "u", at(9)), ("r2", "v", at(10))])
        self.rows("items", ["item_id"], [("a",), ("b",), ("c",)])
        self.service("production", to={"served": 3})
        self.service("labels", to={"grades": {"click": 1, "seen": 0, "apply": 4}, "horizon": "1d"})
        self.service("targets", to={"without_labels": "exclude"})
        self.study("period", to={"from": "2023-10-02", "to": "2023-10-03"})
        self.study("metrics", to={"primary": "dcg", "also": ["rr"]})
        self.study("segments", to=[])

    def rows(self, table: str, names: list[str], rows: Rows) -> Small:
        self.tables[table] = pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)
        return self

    def events(self, rows: Rows) -> Small:
        late = ("u", "a", "2023-10-20T00:00:00Z", "other", None)  # so that everything is mature
        return self.rows("events", ["user_id", "item_id", "timestamp", "event", "request_id"], [*rows, late])

    def scores(self, **files: Rows) -> Small:
        for name, rows in files.items():
            self.rows(name, ["request_id", "item_id", "score"], rows)
        return self

    def results(self, variants: dict[str, Any]) -> Results:
        known = set(self.tables) & {"requests", "items", "availability", "impressions", "events", "users"}
        self.service("tables", to={name: {"path": f"data/{name}.parquet"} for name in known})
        self.study("variants", to=variants)
        self.study("baseline", to=next(iter(variants)))
        self.write()
        self.run_ = rankcast.run(self.folder / "study.yaml", out=self.folder / "runs")
        return self.run_.result.results

    def slate(self, variant: str, request: str) -> list[str]:
        rows = self.run_.slates.filter((pl.col("variant") == variant) & (pl.col("request_id") == request)).sort("rank")
        items: list[str] = rows["item_id"].to_list()
        return items


def at(hour: int, day: int = 2) -> str:
    return f"2023-10-{day:02}T{hour:02}:00:00Z"


def file(name: str) -> dict[str, Any]:
    return {"scores": {"path": f"data/{name}.parquet"}}


def value(results: Results, variant: str, metric: str) -> float | None:
    return next(
        row.value for row in results.metrics if (row.variant, row.metric) == (variant, metric) and row.segment is None
    )


ABC = [("r1", "a", 3.0), ("r1", "b", 2.0), ("r1", "c", 1.0), ("r2", "a", 3.0), ("r2", "b", 2.0), ("r2", "c", 1.0)]


def test_score_wins_over_rank(tmp_path: Path) -> None:
    world = Small(tmp_path).events([])
    world.rows("both", ["request_id", "item_id", "rank", "score"], [("r1", "a", 1, 0.1), ("r1", "b", 2, 0.9)])
    world.results({"both": file("both")})
    assert world.slate("both", "r1") == ["b", "a"]


def test_an_item_that_a_list_showed_twice(tmp_path: Path) -> None:
    shown = [("r1", "b", 1), ("r1", "a", 2), ("r1", "b", 3), ("r2", "c", 1)]
    world = Small(tmp_path).rows("impressions", ["request_id", "item_id", "rank"], shown)
    world.events([("u", "b", at(9), "click", "r1")])
    results = world.results({"logged": {"builtin": "logged"}, "popular": {"builtin": "popular"}})
    assert world.slate("logged", "r1") == ["b", "a", "b"]  # as it was shown
    assert world.slate("popular", "r1") == ["a", "b"]  # candidates are a set; no event before the day, so by item
    assert results.fidelity is not None
    assert (results.fidelity.overlap, results.fidelity.exact) == (1.0, 1.0)
    assert value(results, "logged", "dcg") == pytest.approx(1 / math.log2(2))  # b counts once, at its best rank
    repeated = next(count for count in results.counts if count.what == "of an item that the request showed already")
    assert (repeated.count, repeated.of) == (1, 4)


def test_a_grade_of_zero_is_no_success(tmp_path: Path) -> None:
    world = Small(tmp_path).scores(production=ABC)
    world.events([("u", "a", at(9), "seen", "r1"), ("v", "b", at(10), "click", "r2")])
    rows = world.results({"production": file("production")}).targets
    ledger = {row.step: row for row in rows if row.scope == "requests"}
    assert (ledger["labelled"].in_, ledger["labelled"].out) == (2, 1)


def test_builtins_of_a_logged_baseline_take_the_impressions(tmp_path: Path) -> None:
    world = (
        Small(tmp_path)
        .events([])
        .rows("impressions", ["request_id", "item_id", "rank"], [("r1", "c", 1), ("r1", "b", 2)])
    )
    world.rows("availability", ["item_id", "open_at", "close_at"], [("a", at(0), None), ("b", at(0), None)])
    world.results({"logged": {"builtin": "logged"}, "recent": {"builtin": "recent"}})
    assert world.slate("recent", "r1") == ["b", "c"]  # what was shown; c never opened, so it comes last


def test_recent_goes_by_the_first_opening(tmp_path: Path) -> None:
    world = Small(tmp_path).scores(production=ABC).events([])
    opened = [("a", at(0, 1), at(1, 1)), ("b", at(5, 1), None), ("a", at(8, 1), None)]
    world.rows("availability", ["item_id", "open_at", "close_at"], opened)
    world.results({"production": file("production"), "recent": {"builtin": "recent"}})
    assert world.slate("recent", "r1") == ["b", "a", "c"]  # a opened first at 00:00, though again at 08:00


def test_not_seen_by_the_very_first_event(tmp_path: Path) -> None:
    world = Small(tmp_path).scores(production=ABC).events([("u", "a", at(8), "click", None)])
    world.service("production", to={"served": 3, "steps": [{"not_seen": {"events": ["click"], "within": "1h"}}]})
    results = world.results({"production": file("production")})
    assert world.slate("production", "r1") == ["b", "c"]  # t - within <= event: exactly an hour before still counts
    assert world.slate("production", "r2") == ["a", "b", "c"]
    step = results.steps[0]
    assert (step.in_, step.removed, step.requests, step.emptied) == (6, 1, 1, 0)


def test_an_empty_text_is_a_filter_that_is_not_set(tmp_path: Path) -> None:
    world = Small(tmp_path).scores(production=ABC).events([])
    world.rows(
        "requests", ["request_id", "user_id", "timestamp", "kind"], [("r1", "u", at(9), ""), ("r2", "v", at(10), "x")]
    )
    world.rows("items", ["item_id", "kind"], [("a", "x"), ("b", ""), ("c", None)])
    world.service("production", to={"served": 3, "steps": [{"match": {"request.kind": "item.kind"}}]})
    world.results({"production": file("production")})
    assert world.slate("production", "r1") == ["a", "b", "c"]
    assert world.slate("production", "r2") == ["a"]


def test_a_filter_that_nobody_ever_set_may_have_any_type(tmp_path: Path) -> None:
    world = Small(tmp_path).scores(production=ABC).events([])
    world.tables["requests"] = world.tables["requests"].with_columns(kind=pl.lit(None, dtype=pl.String))
    world.rows("items", ["item_id", "kind"], [("a", 1), ("b", 2), ("c", None)])
    world.service("production", to={"served": 3, "steps": [{"match": {"request.kind": "item.kind"}}]})
    world.results({"production": file("production")})
    assert world.slate("production", "r1") == ["a", "b", "c"]


@pytest.mark.parametrize(("without_labels", "recall"), [("exclude", 1.0), ("zero", 0.5)])
def test_recall_at_a_level_that_no_label_reaches_is_not_measurable(
    tmp_path: Path, without_labels: str, recall: float
) -> None:
    world = Small(tmp_path).scores(production=ABC)
    world.events([("u", "a", at(9), "apply", "r1"), ("v", "b", at(10), "click", "r2")])
    world.service("targets", to={"without_labels": without_labels}).study("metrics", to={"primary": "recall(level=4)"})
    row = world.results({"production": file("production")}).metrics[0]
    assert (row.value, row.n_requests) == (recall, 1 if without_labels == "exclude" else 2)


def test_no_target_left_is_undecided(tmp_path: Path) -> None:
    world = Small(tmp_path).scores(production=ABC, new=ABC).events([])
    results = world.results({"production": file("production"), "new": file("new")})
    assert next(row for row in results.targets if row.step == "labelled").out == 0
    assert {row.value for row in results.metrics} == {None}
    assert world.run_.result.decision["new"].decision == "undecided"
    assert world.run_.exit_code() == 4


def test_without_impressions_fidelity_cannot_be_checked(tmp_path: Path) -> None:
    world = Small(tmp_path).scores(production=ABC).events([])
    assert world.results({"production": file("production")}).fidelity is None
    finding = next(one for one in world.run_.result.findings if one.rule == "RP02")
    assert finding.status == "cannot check"


def test_low_fidelity_is_invalid(tmp_path: Path) -> None:
    world = Small(tmp_path).scores(production=ABC, new=ABC).events([("u", "a", at(9), "click", "r1")])
    world.rows(
        "impressions",
        ["request_id", "item_id", "rank"],
        [("r1", "a", 1), ("r1", "x", 2), ("r1", "y", 3), ("r1", "z", 4)],
    )
    world.study("fidelity", to={"at_least": 0.5})
    results = world.results({"production": file("production"), "new": file("new")})
    assert results.fidelity is not None
    assert results.fidelity.overlap == pytest.approx(1 / 3)  # {a, b, c} against {a, x, y}: both cut to 3
    assert world.run_.result.decision["new"].decision == "invalid"
    assert world.run_.exit_code() == 5


def test_a_model_that_knows_the_answer_is_invalid(tmp_path: Path) -> None:
    world = Small(tmp_path).scores(production=ABC, new=ABC).events([("u", "a", at(9), "click", "r1")])
    world.results({"production": file("production"), "new": file("new") | {"trained_until": "2023-10-03"}})
    decision = world.run_.result.decision["new"]
    assert decision.decision == "invalid"
    assert "DT01" in decision.because


@pytest.mark.parametrize(
    ("reading", "instant"),
    [
        ("2023-10-29T02:30:00", "2023-10-29 00:30:00+00:00"),  # read twice that night: the first counts
        ("2023-03-26T02:30:00", "2023-03-26 01:30:00+00:00"),  # skipped: with the offset before the change
        ("2023-10-29", "2023-10-28 22:00:00+00:00"),
        ("2023-10-29T02:30:00.123456+05:30", "2023-10-28 21:00:00.123456+00:00"),
    ],
)
def test_local_readings_around_a_clock_change(reading: str, instant: str) -> None:
    read = to_utc(pl.Series([reading]), "Europe/Berlin")
    assert read is not None
    assert str(read[0]) == instant


def test_popular_counts_until_the_first_midnight(tmp_path: Path) -> None:
    world = Small(tmp_path).scores(production=ABC)
    # In Havana clocks went from 01:00 back to 00:00 on 2023-11-05: the day's first midnight is 04:00 UTC.
    world.rows("requests", ["request_id", "user_id", "timestamp"], [("r1", "u", "2023-11-05T15:00:00Z")])
    world.events([("u", "c", "2023-11-05T03:59:00Z", "click", None), ("u", "b", "2023-11-05T04:30:00Z", "click", None)])
    world.service("timezone", to="America/Havana").study("period", to={"from": "2023-11-05", "to": "2023-11-06"})
    world.results({"production": file("production"), "popular": {"builtin": "popular"}})
    assert world.slate("popular", "r1") == ["c", "a", "b"]


def test_random_is_the_same_for_any_rows(tmp_path: Path) -> None:
    lists = []
    for folder, order in (("one", ABC), ("other", ABC[::-1])):
        world = Small(tmp_path / folder).scores(production=order).events([])
        world.results({"production": file("production"), "random": {"builtin": "random"}})
        lists.append((world.slate("random", "r1"), world.slate("random", "r2")))
    assert lists[0] == lists[1]
