"""What lists show, what the order of ties is worth, and small statistics of rules, each against a slow and plain way."""

from __future__ import annotations

import json
import math
from itertools import permutations, product
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy.stats import mannwhitneyu, spearmanr

from oracle_read import World, is_open, open_world
from rankcast.experiment.evidence import _spearman
from rankcast.rules.labels.lb09_novelty_window import _trend
from rankcast.rules.telling import area
from rankcast.runs.folder import Run
from rankcast.study import run
from worlds import write_world

Row = dict[str, Any]


# --- What lists show, over random worlds ---


def counted(world: World, lists: dict[Any, list[Any]]) -> Row:
    """By hand: rows, closed and unlisted items, items acted on before, lists with repeats."""
    when = {request["request_id"]: request for request in world.requests}
    row: Row = {"requests": 0, "rows": 0, "closed": 0, "unlisted": 0, "repeated": 0, "consumed": {}}
    kinds = [kind for kind, grade in world.service["labels"]["grades"].items() if _grade(grade) >= 0]
    row["consumed"] = dict.fromkeys(sorted(kinds), 0)
    for request_id, items in lists.items():
        request = when[request_id]
        row["requests"] += bool(items)
        row["repeated"] += len(set(items)) < len(items)
        for item in items:
            row["rows"] += 1
            listed = bool(world.intervals.get(item))
            row["unlisted"] += not listed
            row["closed"] += listed and not is_open(world, item, request["timestamp"])
            for kind in kinds:
                row["consumed"][kind] += any(
                    (event["user_id"], event["item_id"], event["event"]) == (request["user_id"], item, kind)
                    and event["timestamp"] < request["timestamp"]
                    for event in world.events
                )
    return row


def _grade(grade: Any) -> float:
    return float(grade["grade"] if isinstance(grade, dict) else grade)


def slates(done: Run) -> dict[str, dict[Any, list[Any]]]:
    """Every variant's lists as they are on disk."""
    lists: dict[str, dict[Any, list[Any]]] = {}
    for row in done.slates.sort("variant", "request_id", "rank").iter_rows(named=True):
        lists.setdefault(row["variant"], {}).setdefault(row["request_id"], []).append(row["item_id"])
    return lists


@pytest.mark.parametrize("seed", range(25))
def test_what_lists_show_equals_the_oracle(seed: int, tmp_path: Path) -> None:
    for study in write_world(tmp_path, Random(seed)):
        done, world = run(study, tmp_path / "runs"), open_world(study)
        mine, replayed = slates(done), _replayed(done)
        base = mine.get(world.study["baseline"], {})
        for row in json.loads((done.folder / "result.json").read_text())["results"]["shown"]:
            if row["variant"] is None:
                served = world.served[world.study["baseline"]]
                lists = {request: world.impressions.get(request, [])[:served] for request in replayed}
            else:
                lists = mine.get(row["variant"], {})
                same = sum(lists.get(request, []) == base.get(request, []) for request in replayed)
                assert row["same_as_baseline"] == same
            expected = counted(world, lists)
            if row["closed"] is None:
                assert not any(world.intervals.values())
                expected["closed"] = expected["unlisted"] = None
            assert {key: row[key] for key in expected} == expected


def _replayed(done: Run) -> list[Any]:
    frames = [pl.read_parquet(path) for path in (done.folder / "replays").glob("*.parquet")]
    return (
        pl.concat([frame.select("request_id") for frame in frames], how="vertical_relaxed")["request_id"]
        .unique()
        .to_list()
    )


# --- Ties ---

FILES = {
    "service": """
rankcast: 1
service: s
tables:
  requests: {path: requests.parquet}
  events: {path: events.parquet, complete_until: 2024-02-01}
production: {served: 3}
labels: {grades: {click: 1, apply: 4}, horizon: 1d}
targets: {without_labels: exclude}
""",
    "study": """
rankcast: 1
study: ties
service: service.yaml
period: {from: 2024-01-01, to: 2024-01-08}
variants: {production: {scores: {path: scores.parquet}}}
baseline: production
metrics: {primary: dcg@3}
""",
}


@pytest.mark.parametrize("seed", range(10))
def test_ties_at_best_and_at_worst_are_the_extremes_of_all_orders(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    requests, items = [f"r{n}" for n in range(8)], [f"i{n}" for n in range(6)]
    scores = {request: {item: float(rng.randrange(3)) for item in items} for request in requests}
    grades = {request: {rng.choice(items): float(rng.choice((1, 4))) for _ in range(2)} for request in requests}
    at = pl.datetime(2024, 1, 3, time_zone="UTC")
    asked = pl.DataFrame({"request_id": requests, "user_id": [f"u{n % 3}" for n in range(8)]}).with_columns(
        timestamp=at
    )
    asked.write_parquet(tmp_path / "requests.parquet")
    happened = [(r, i, {1.0: "click", 4.0: "apply"}[g]) for r, labels in grades.items() for i, g in labels.items()]
    events = pl.DataFrame(happened, schema=["request_id", "item_id", "event"], orient="row")
    events.join(asked, on="request_id").write_parquet(tmp_path / "events.parquet")
    rows = [(request, item, score) for request, of in scores.items() for item, score in of.items()]
    pl.DataFrame(rows, schema=["request_id", "item_id", "score"], orient="row").write_parquet(
        tmp_path / "scores.parquet"
    )
    for name, text in FILES.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    (row,) = run(tmp_path / "study.yaml", tmp_path / "runs").result.results.ties
    every = [[dcg(order, grades[request]) for order in _orders(scores[request])] for request in requests]
    assert row.best == pytest.approx(sum(map(max, every)) / 8)
    assert row.worst == pytest.approx(sum(map(min, every)) / 8)
    assert row.tied == sum(len(set(of.values())) < len(of) for of in scores.values())
    assert row.requests == 8


def _orders(scores: dict[str, float]) -> list[tuple[str, ...]]:
    """Every order that the scores allow."""
    groups = [
        [item for item, of in scores.items() if of == score] for score in sorted(set(scores.values()), reverse=True)
    ]
    return [sum(parts, ()) for parts in product(*(list(permutations(group)) for group in groups))]


def dcg(order: tuple[str, ...], grades: dict[str, float]) -> float:
    return sum(grades.get(item, 0.0) / math.log2(at + 1) for at, item in enumerate(order[:3], 1))


# --- Small statistics ---


@pytest.mark.parametrize("seed", range(20))
def test_the_area_under_the_curve_is_mann_whitneys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    score, answer = rng.integers(0, 6, 60).astype(float), rng.random(60) < 0.4
    u = mannwhitneyu(score[answer], score[~answer]).statistic
    assert area(score, answer) == pytest.approx(u / (answer.sum() * (~answer).sum()), abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_a_rank_correlation_is_spearmans(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, 9, 40).astype(float), rng.normal(size=40)
    assert _spearman(one, other) == pytest.approx(spearmanr(one, other).statistic, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_a_trend_is_a_weighted_line(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rate, weight = 0.1 + 0.01 * rng.normal(size=14), rng.integers(50, 500, 14).astype(float)
    fit = sm.WLS(rate, sm.add_constant(np.arange(14.0)), weights=weight).fit()
    p, slope = _trend(rate, weight)
    assert (p, slope) == (pytest.approx(fit.pvalues[1], abs=1e-10), pytest.approx(fit.params[1], abs=1e-12))
