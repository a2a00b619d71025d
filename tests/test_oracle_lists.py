"""The oracle's steps, functions and comparisons of lists against cases small enough to compute by hand."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foreign
import oracle
import oracle_fidelity
import oracle_foreign
import oracle_replay

PINNED = {
    "service.yaml": """
rankcast: 1
service: pinned
tables:
  requests: {path: requests.csv}
  items: {path: items.csv}
  availability: {path: open.csv}
  impressions: {path: shown.csv}
production:
  steps: [{where: NOT item.is_test}, {pin: {path: pins.csv}}]
  served: 3
labels: {grades: {click: 1}, horizon: 7d}
targets: {without_labels: zero}
""",
    "study.yaml": """
rankcast: 1
study: pinned
service: service.yaml
period: {from: 2023-10-02, to: 2023-10-05}
variants: {production: {scores: {path: scores.csv}}}
baseline: production
metrics: {primary: dcg@2}
""",
    "requests.csv": "request_id,user_id,timestamp\n1,a,2023-10-03\n2,b,2023-10-03\n3,c,2023-10-03\n4,a,2023-10-03",
    "items.csv": "item_id,is_test\n1,false\n2,true\n3,false\n4,false\n5,false\n6,false\n9,false",
    "open.csv": "item_id,open_at,close_at\n3,2023-10-01,\n4,2023-10-01,\n5,2023-10-01,\n6,2023-10-01,",
    "scores.csv": """user_id,computed_at,item_id,score
a,2023-10-01,1,2
a,2023-10-01,9,1
a,2023-10-02,1,9
a,2023-10-02,2,8
a,2023-10-02,3,7
a,2023-10-02,4,6
a,2023-10-02,5,5
b,2023-10-04,1,1""",
    "pins.csv": "request_id,item_id,rank\n1,6,1\n77,6,1",
    "shown.csv": "request_id,item_id,rank\n1,2,1\n1,9,2\n1,2,3\n1,1,4\n2,1,1\n3,4,1\n4,5,1",
}


def test_why_lists_differ(tmp_path: Path) -> None:
    for name, text in PINNED.items():
        (tmp_path / name).write_text(text + "\n")
    result = oracle.evaluate(tmp_path / "study.yaml")
    # 1: 1 2 3 4 5 -> 1 3 4 5 -> 6 1 3 4 5 -> 6 1 3 against 2 9;  2 and 3: nothing;  4: 1 3 4 against 5
    rows = [tuple(row.values())[1:] for row in result["steps"]]
    assert rows == [("where", 10, 2, 2, 0, 0, 0), ("pin", 8, 0, 0, 0, 1, 1), ("served", 9, 3, 2, 0, 0, 0)]
    faith = result["fidelity"]
    assert faith["mismatches"] == {
        "shown_twice": 1,
        "removed_by:where": 1,
        "shown_in_older_batch": 1,
        "not_shown:pinned": 1,
        "not_shown:unavailable": 2,  # 1, twice
        "not_shown:beyond_log": 1 + 2,
        "shown_no_batch": 1,
        "shown_not_scored": 1,
        "below_cut": 1,
    }
    assert (faith["requests"], faith["overlap"], faith["kendall_tau"], faith["rank_mae"]) == (4, 0, None, None)
    # 2 and 3 are empty, from the start: nothing was removed
    assert [tuple(row.values()) for row in result["variants"]] == [("production", 0, 0, 2, 0)]


def test_lists_that_a_step_made_shorter_than_the_log(tmp_path: Path) -> None:
    steps = "steps: [{match: {request.job: item.job}}, {where: NOT item.is_test}, {pin: {path: pins.csv}}]"
    shorter = PINNED["service.yaml"].replace("steps: [{where: NOT item.is_test}, {pin: {path: pins.csv}}]", steps)
    requests = "request_id,user_id,timestamp,job\n1,a,2023-10-03,k\n4,a,2023-10-03,l"
    items = "item_id,is_test,job\n1,false,k\n2,true,k\n3,false,l\n4,true,l\n5,true,l\n6,false,m"
    changed = {"service.yaml": shorter, "requests.csv": requests, "items.csv": items}
    shown = {"shown.csv": "request_id,item_id,rank\n1,2,1\n1,6,2\n1,1,3\n4,3,1"}
    for name, text in (PINNED | changed | shown).items():
        (tmp_path / name).write_text(text + "\n")
    result = oracle.evaluate(tmp_path / "study.yaml")
    # 1: 1 2 3 4 5 -> 1 2 -> 1 -> 6 1 against 2 6 1;  4: 3 4 5 -> 3 against 3
    assert [tuple(row.values()) for row in result["variants"]] == [("production", 0, 0, 2, 1)]
    assert result["fidelity"]["mismatches"] == {"removed_by:where": 1}
    assert result["fidelity"]["overlap"] == pytest.approx((2 / 3 + 1) / 2)
    assert result["fidelity"]["without_step"] == pytest.approx({
        "match": (2 / 3 + 1 / 2) / 2,  # 6 1 3;  1 3
        "where": (1 + 1 / 3) / 2,  # 6 1 2;  3 4 5
        "pin": (1 / 3 + 1) / 2,  # 1;  3
    })  # fmt: skip


# --- Two lists ---


@pytest.mark.parametrize(
    ("one", "other", "p", "expected"),
    [
        ([1, 2, 3, 4, 5], [2, 3, 4, 1, 5], 0.9, 0.8280),
        ("abcdefg", "zcavwxy", 0.9, 0.2882173),
        ("abcdefg", "zcavwxy", 0.95, 0.2907304),
        ("abcd", "bace", 0.8, 0.672),
        ("a", "ab", 0.7, (1 - 0.7) * (1 + 0.7 / 2 + 0.7 / 2) + 0.7**2),
        ("b", "ab", 0.5, 0.5 * (0 + 0.5 / 2) + (1 - 0) / 2 * 0.5**2),  # the formula: X_s = 0 at depth s, X_l = 1
        ("abc", "", 0.9, 0),
        ("abc", "abc", 0.9, 1),
        ("abc", "def", 0.9, 0),
    ],
)
def test_rank_biased_overlap(one: Any, other: Any, p: float, expected: float) -> None:
    for pair in ([*one], [*other]), ([*other], [*one]):
        assert oracle_fidelity.rbo(*pair, p) == pytest.approx(expected, abs=5e-4 if expected == 0.828 else 1e-7)


def test_bounds_of_rank_biased_overlap() -> None:
    assert oracle_fidelity.rbo_low([1, 2, 3, 4, 5], [2, 3, 4, 1, 5]) == pytest.approx(0.4999889, abs=1e-7)
    assert oracle_fidelity.rbo_high([1], [2, 3]) == pytest.approx(0.1 * 0.9 / 2 + 0.9**2)
    assert (oracle_fidelity.rbo_low([], [1]), oracle_fidelity.rbo_high([], [1])) == (0, pytest.approx(1))


@settings(deadline=None)
@given(one=st.permutations(range(8)), other=st.permutations(range(8)), sizes=st.tuples(*[st.integers(0, 6)] * 2))
def test_bounds_are_reached_by_lists_that_go_on(one: list[int], other: list[int], sizes: tuple[int, int]) -> None:
    one, other = sorted((one[: sizes[0]], other[: sizes[1]]), key=len)
    low, high = oracle_fidelity.rbo_low(one, other), oracle_fidelity.rbo_high(one, other)
    assert low == pytest.approx(oracle_fidelity.rbo([*one, *range(1000, 1400)], [*other, *range(2000, 2400)]))
    only_one, only_other = [x for x in one if x not in other], [x for x in other if x not in one]
    together = [*one, *only_other, *range(1000, 1400)], [*other, *only_one, *range(1000, 1400)]
    assert high == pytest.approx(oracle_fidelity.rbo(*together))
    assert low - 1e-9 <= oracle_fidelity.rbo(one, other) <= high + 1e-9


def test_places_of_common_items() -> None:
    one, other = list("abcd"), list("bace")
    assert oracle_fidelity.kendall_tau(one, other) == pytest.approx(1 / 3)  # a and b have changed places
    assert oracle_fidelity.kendall_tau(one, one[::-1]) == -1
    assert oracle_fidelity.kendall_tau(one, ["b", "x"]) is None
    assert oracle_fidelity.rank_mae(one, other) == pytest.approx(2 / 3)
    assert oracle_fidelity.rank_mae(one, ["x", "y", "z", "a"]) == 3
    assert oracle_fidelity.rank_mae(one, ["x"]) is None


# --- Steps ---


def test_pins() -> None:
    table = [{"item_id": item, "rank": rank} for item, rank in [("b", 9), ("x", 1), ("a", 3)]]
    slate = [("a", 4.0), ("b", 3.0), ("c", 2.0), ("d", 1.0)]
    placed = oracle_replay.pin(table, {"request_id": 1}, slate)
    assert placed == [("x", None), ("c", 2.0), ("a", 4.0), ("d", 1.0), ("b", 3.0)]
    assert oracle_replay.pin(table, {"request_id": 1}, []) == [("x", None), ("a", None), ("b", None)]
    of_two = [row | {"request_id": 2} for row in table]
    assert oracle_replay.pin(of_two, {"request_id": 1}, slate) == slate


def test_pages() -> None:
    rule, slate = {"size": 2, "number": "request.page"}, [(item, None) for item in range(5)]
    pages = [oracle_replay.page(rule, {"page": number}, slate) for number in (None, 1, 2, 3, 4)]
    assert [[item for item, _ in page] for page in pages] == [[0, 1], [0, 1], [2, 3], [4], []]


def test_what_counts_as_another_order() -> None:
    for after, expected in [("abc", False), ("ac", False), ("", False), ("ba", True), ("abx", True)]:
        assert oracle_replay.is_reordered(list("abc"), list(after)) == expected


# --- The functions of `foreign`, and what the oracle says of them ---

ITEMS = {"item.wage": pl.Float64, "item.city": pl.String, "item.company": pl.String, "item.is_test": pl.Boolean}
REQUESTS = {
    "request_id": pl.Int64,
    "user_id": pl.Int64,
    "timestamp": pl.Datetime("us", "UTC"),
    "user.tenure": pl.String,
}
CONTEXT = {"request.city": pl.String, "request.keyword": pl.String, "request.surface": pl.String}
LISTED = {"item_id": pl.Int64, "rank": pl.Int64, "score": pl.Float64}


def lists(rng: Random) -> dict[int, list[dict[str, Any]]]:
    """Rows of a few requests, best first."""
    made: dict[int, list[dict[str, Any]]] = {}
    for request in rng.sample(range(9), 4):
        asked = {"request_id": request, "user_id": 1, "timestamp": datetime(2023, 10, 2, tzinfo=UTC)}
        asked |= {"user.tenure": rng.choice(["new", "old", None]), "request.city": rng.choice(["x", "y", None])}
        asked |= {"request.keyword": None, "request.surface": "home"}
        items = sorted(rng.sample(range(1, 20), rng.randint(0, 9)))
        made[request] = [
            asked
            | {"item_id": item, "rank": rank, "score": 1 / item}
            | {"item.wage": rng.choice([8.5, 10.0, None]), "item.city": rng.choice(["x", "y", None])}
            | {"item.company": rng.choice(["acme", "umbra", None]), "item.is_test": rng.choice([True, False, None])}
            for rank, item in enumerate(items, start=1)
        ]
    return made


def call(name: str, *frames: pl.DataFrame) -> Any:
    function = getattr(foreign, name.removeprefix("foreign:"))
    generators = {request: np.random.default_rng(request) for request in range(9)}
    return function(*frames, generators) if "generators" in function.__annotations__ else function(*frames)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000))
def test_steps_of_a_team(seed: int) -> None:
    made = lists(Random(seed))
    frame = pl.DataFrame([row for rows in made.values() for row in rows], REQUESTS | CONTEXT | LISTED | ITEMS)
    for name, step in oracle_foreign.STEPS.items():
        found: dict[int, list[Any]] = defaultdict(list)
        new = call(name, frame)
        for row in new.iter_rows(named=True):
            found[row["request_id"]].append((row["item_id"], row.get("score", 1 / row["item_id"])))
        for request, rows in made.items():
            assert found[request] == [(row["item_id"], row["score"]) for row in step(rows)], name


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000))
def test_models_of_a_team(seed: int) -> None:
    made = lists(Random(seed))
    rows = pl.DataFrame([row for rows in made.values() for row in rows], REQUESTS | CONTEXT | LISTED | ITEMS)
    context = [pl.col(name).alias(name.removeprefix("request.")) for name in CONTEXT]
    requests = rows.select(*REQUESTS, *context).unique("request_id", maintain_order=True)
    candidates = rows.select("request_id", "item_id", *ITEMS)
    for name, score in oracle_foreign.SCORES.items():
        new = call(name, requests, candidates)
        if not isinstance(new, pl.DataFrame):
            new = candidates.with_columns(score=pl.Series(new, dtype=pl.Float64))
        found = {(row["request_id"], row["item_id"]): row["score"] for row in new.iter_rows(named=True)}
        wanted = {(one, item): value for one, own in made.items() for item, value in score(own).items()}
        assert found == wanted, name
