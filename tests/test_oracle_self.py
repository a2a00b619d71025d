"""The oracle against cases small enough to compute by hand: who checks the checker."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings

import oracle
import oracle_compare
import oracle_measure
import oracle_read
from worlds import World, worlds

SERVICE = """
rankcast: 1
service: hand
timezone: Asia/Tokyo
tables:
  requests: {path: requests.csv}
  items: {path: items.csv}
  availability: {path: open.csv}
  impressions: {path: shown.csv}
  events: {path: events.csv, complete_until: "2023-10-11T23:00:00"}
production:
  steps: [{match: {request.job: item.job}}, available, {cap: {by: item.company, at_most: 1}}]
  served: 2
labels: {grades: {click: 1, apply: 4}, horizon: 7d, attribute: last_shown}
targets: {without_labels: zero, average: user}
"""
STUDY = """
rankcast: 1
study: hand
service: service.yaml
period: {from: 2023-10-02, to: 2023-10-05}
variants:
  production: {scores: {path: old.csv}}
  rival: {scores: {path: new.csv}}
  popular: {builtin: popular}
baseline: production
metrics: {primary: dcg@2, also: [coverage@1]}
compare: {confidence: 0.9, smallest_effect: 1%}
fidelity: {at_least: 0.5}
"""
TABLES = {
    # 1 and 2 are Ann's, 3 is Bob's; 4 is one microsecond before the period; 5 matures one microsecond too late
    "requests": """request_id,user_id,timestamp,job
1,a,2023-10-02T00:00:00,cook
2,a,2023-10-03T00:00:00,
3,b,2023-10-04T00:00:00,
4,b,2023-10-01T23:59:59.999999,
5,b,2023-10-04T14:00:00.000001Z,cook""",
    "items": "item_id,job,company\n10,cook,x\n9,cook,x\n8,nurse,\n7,nurse,",
    # 10 opens with request 1, closes with request 3; 7 is not there at all
    "open": """item_id,open_at,close_at
10,2023-10-02,2023-10-04
9,2023-09-01,
8,2023-09-01,2023-10-03
8,2023-10-03,""",
    "shown": "request_id,item_id,rank\n1,9,1\n2,9,1\n2,8,2\n3,8,1",
    # the same click twice; an application at the horizon of request 2 is too late for it
    "events": """user_id,item_id,timestamp,event
a,9,2023-10-02T12:00:00,click
a,9,2023-10-02T12:00:00,click
a,8,2023-10-10T00:00:00,apply
b,8,2023-10-04T00:00:00,apply""",
    # equal scores go by item number: 9 before 10
    "old": "user_id,item_id,score\na,10,0.0\na,9,-0.0\na,8,-1\na,7,-2\nb,10,3\nb,9,2",
    "new": "request_id,item_id,rank\n1,9,1\n2,8,1\n3,8,1\n3,9,2",
}


@pytest.fixture
def hand(tmp_path: Path) -> dict[str, Any]:
    for name, text in TABLES.items():
        (tmp_path / f"{name}.csv").write_text(text + "\n")
    (tmp_path / "service.yaml").write_text(SERVICE)
    (tmp_path / "study.yaml").write_text(STUDY)
    return oracle.evaluate(tmp_path / "study.yaml")


def test_ledger_steps_and_fidelity(hand: dict[str, Any]) -> None:
    requests = [row for row in hand["targets"] if row["scope"] == "requests"]
    rows = [(row["step"], row["in"], row["out"], row["lost"]) for row in requests]
    assert rows == [("period", 5, 4, 1), ("where", 4, 4, 0), ("mature", 4, 3, 1), ("labelled", 3, 3, 0)]
    # 1: 9 10 8 7 -> 9 10 -> 9 10 -> 9;  2: 9 10 8 7 -> 9 10 8 7 -> 9 10 8 -> 9 8;  3: 10 9 -> 10 9 -> 9;  5: as 3
    rows = [tuple(row.values())[1:] for row in hand["steps"] if row["variant"] == "production"]
    available = ("available", 2 + 4 + 2 + 2, 0 + 1 + 1 + 1, 3, 0, 0, 0, 1)  # 7 has no row: unknown
    assert rows == [("match", 12, 2, 1, 0, 0, 0), available, ("cap", 7, 2, 2, 0, 0, 0), ("served", 5, 0, 0, 0, 0, 0)]


def test_fidelity(hand: dict[str, Any]) -> None:
    faith = hand["fidelity"]
    # replayed against shown, 1: 9 / 9;  2: 9 8 / 9 8;  3: 9 / 8;  5 has no impressions
    assert (faith["variant"], faith["requests"], faith["overlap"], faith["exact"]) == ("production", 3, 2 / 3, 2 / 3)
    assert (faith["kendall_tau"], faith["rank_mae"]) == (1, 0)  # of request 2; of requests 1 and 2
    forever = math.log(10)  # sum of 0.9^d / d
    assert faith["rbo"] == pytest.approx(2 / 3)
    assert faith["rbo_low"] == pytest.approx((forever / 9 + (2 * forever - 0.9) / 9 + 0) / 3)
    assert faith["rbo_high"] == pytest.approx((1 + 1 + 0.9) / 3)
    # without match, 1: 9 8;  without available, 3: 10;  without cap, 1: 9 10, 2: 9 10
    assert faith["without_step"] == pytest.approx({"match": 1.5 / 3, "available": 2 / 3, "cap": 1 / 3})
    by_step = {row["step"]: row["overlap"] for row in faith["by_step"]}
    assert list(by_step) == ["candidates", "match", "available", "cap"]
    assert by_step == pytest.approx({"candidates": 1 / 3, "match": 1 / 3, "available": 1 / 3, "cap": 2 / 3})
    assert faith["mismatches"] == {"shown_not_scored": 1, "not_shown:other": 1}
    by = [(row["segment"]["value"], row["requests"], row["overlap"], row["exact"]) for row in faith["by"]]
    assert by == [("2023-10-02", 1, 1, 1), ("2023-10-03", 1, 1, 1), ("2023-10-04", 1, 0, 0)]
    (row,) = faith["replayed_against_logged"]  # coverage has no value per request
    assert (row["metric"], row["replayed"], row["logged"]) == ("dcg@2", pytest.approx(0.25), pytest.approx(2.25))
    assert (row["difference"], row["n_requests"], row["n_users"]) == (pytest.approx(-2), 3, 2)
    assert row["high"] + 2 == pytest.approx(2 * math.tan(0.45 * math.pi)) == pytest.approx(-2 - row["low"])


def test_what_variants_lack(hand: dict[str, Any]) -> None:
    rows = [tuple(row.values()) for row in hand["variants"]]
    # labels: 9 of request 1 and 8 of request 3, which Bob's scores lack; nobody's list is shorter than another's
    assert rows == [("production", 2, 1, 3, 0), ("rival", 2, 0, 3, 0), ("popular", 2, 1, 3, 0)]


def test_values_and_comparison(hand: dict[str, Any]) -> None:
    values = {(row["variant"], row["metric"]): row["value"] for row in hand["metrics"]}
    # labels: {9: 1} for request 1, none for 2, {8: 4} for 3; Ann's two requests weigh a half each
    assert values["production", "dcg@2"] == pytest.approx((1 / 2 + 0 / 2 + 0) / 2)
    assert values["rival", "dcg@2"] == pytest.approx((1 / 2 + 0 / 2 + 4) / 2)
    assert values["production", "coverage@1"] == 1 / 3  # only 9 of 10, 9 and 8 was on top
    row = next(row for row in hand["comparisons"] if (row["variant"], row["metric"]) == ("rival", "dcg@2"))
    assert (row["difference"], row["relative"]) == (pytest.approx(2.0), pytest.approx(8.0))
    assert (row["wins"], row["ties"], row["losses"], row["n_requests"], row["n_users"]) == (1, 2, 0, 3, 2)
    # Ann: 2 * 1/2 * (0 - 2) = -2, Bob: 4 - 2 = 2; var = 2/1 * (4 + 4) / 2^2 = 4; t = 1 with one degree of freedom
    assert row["p"] == pytest.approx(1 - 2 / math.pi * math.atan(1)) == pytest.approx(row["p_adjusted"])
    assert row["high"] - 2 == pytest.approx(2 * math.tan(0.45 * math.pi)) == pytest.approx(2 - row["low"])
    assert row["minimum_detectable"] == pytest.approx(2 * (1.6448536 + 0.8416212))
    assert hand["decision"] == {"rival": "undecided"}


def test_metrics() -> None:
    expected = {
        "dcg@3": 4 / math.log2(3) + 1 / math.log2(4),
        "ndcg(gain=exp)@2": (15 / math.log2(3)) / (15 + 1 / math.log2(3)),
        "recall@2": 1 / 3,
        "precision@5": 2 / 5,
        "precision": 2 / 3,
        "ap": (1 / 2 + 2 / 3) / 3,
        "ap(norm=cut)@2": (1 / 2) / 2,
        "rr(level=2)@3": 1 / 2,
        "hit@1": 0,
        "recall(level=5)": None,
        "list_length@2": 2,
        "dcg(gain=binary, discount=none)@2": 1,
        "dcg(discount=reciprocal)": 4 / 2 + 1 / 3,
        "dcg(discount=log2_from_2)": 4 / 1 + 1 / math.log2(3),
        "recall(norm=cut)@2": 1 / 2,
        "f1@2": 2 * 1 / (2 + 3),
        "rbp(p=0.5)": 0.5 * (0.5 + 0.25),
        "err@2": 1 / 2 * 15 / 16,
        "err(max_grade=5)": 1 / 2 * 15 / 32 + 1 / 3 * 17 / 32 * 1 / 32,
        "bpref": (2 * (1 - 1 / 2)) / 3,  # x and y are judged and not relevant; c is not in the list
        "bpref(level=2)": 0,  # of x, y, b and c, all not good enough, one stands above the only relevant item
        "auc": 0,  # x stands above both, and c is not there
        "auc(level=2)": 1 / 2,  # above b, below x
        "r_precision": 2 / 3,
        "judged": 2 / 3,
        "unjudged(norm=cut)@4": 1 / 4,
        "novelty@2": (math.log2(3 / 2) + math.log2(3 / 1)) / 2,  # nobody had to do with a: as if one had
        "popularity": (3 + 0 + 1) / 3,
        "serendipity@2": 1 / 2,  # x and b are the most popular: a
        "serendipity(level=2)": 1 / 3,
        "diversity(by=item.kind)": 2 / 3,
    }
    past = oracle_measure.History({"x": 3, "b": 1}, {"x": {1, 2}, "b": {3}})
    items = {"x": {"kind": "k"}, "a": {"kind": None}}  # nothing is known about b
    known = oracle_measure.Known({"a": 4, "b": 1, "c": 1}, {"x", "y", "b"}, past, items, zero=False)
    values = {name: oracle_measure.measure(oracle_measure.parse(name), ["x", "a", "b"], known) for name in expected}
    assert values == pytest.approx(expected)


def test_an_item_that_stands_there_again_takes_a_place_and_is_worth_nothing() -> None:
    expected = {
        "dcg": 4 + 1 / math.log2(4),
        "precision": 2 / 3,
        "precision@2": 1 / 2,
        "list_length": 3,
        "judged": 1 / 3,
        "unjudged": 2 / 3,
        "popularity": 3 / 3,
        "diversity(by=item.kind)": 1,
        "auc": (1 + 0) / 2,
    }
    past = oracle_measure.History({"a": 3}, {"a": {1}})
    items = {"a": {"kind": "k"}}
    known = oracle_measure.Known({"a": 4, "b": 1}, {"a"}, past, items, zero=False)
    values = {name: oracle_measure.measure(oracle_measure.parse(name), ["a", "a", "b"], known) for name in expected}
    assert values == pytest.approx(expected)


def test_what_is_not_measurable() -> None:
    names = ["judged@2", "unjudged", "novelty", "popularity", "diversity(by=item.kind)", "judged(norm=cut)@2", "auc"]
    known = oracle_measure.Known({"a": 1}, set(), oracle_measure.History({}, {}), {}, zero=True)
    values = [oracle_measure.measure(oracle_measure.parse(name), [], known) for name in names]
    assert values == [None, None, None, None, 0, 0, 0]


def test_metrics_of_a_variant() -> None:
    assert oracle_measure.gini([0, 0, 3]) == pytest.approx(2 / 3)
    assert oracle_measure.gini([1, 2, 3]) == pytest.approx((-2 * 1 + 2 * 3) / (3 * 6))
    assert oracle_measure.gini([0, 0]) is oracle_measure.gini([]) is None
    lists = [
        ("ann", {1, 2}),
        ("ann", {1, 2}),
        ("bob", {1}),
        ("eve", set[int]()),
    ]  # two pairs, both alike by 1 / sqrt(2)
    assert oracle_measure.personalization(lists) == pytest.approx(1 - 1 / math.sqrt(2))
    assert oracle_measure.personalization(lists[:2]) is None


def test_corrections() -> None:
    assert oracle_compare.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert oracle_compare.benjamini_hochberg([0.04, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])


def test_local_times_that_a_clock_change_repeats_or_skips() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert oracle_read.instant("2023-10-29T02:30:00", berlin) == datetime(2023, 10, 29, 0, 30, tzinfo=UTC)
    assert oracle_read.instant("2023-03-26T02:30:00", berlin) == datetime(2023, 3, 26, 1, 30, tzinfo=UTC)


@settings(max_examples=30, deadline=None)
@given(world=worlds())
def test_any_world_has_an_answer(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    for study in world.write(tmp_path_factory.mktemp("world")):
        result = oracle.evaluate(study)
        assert result["targets"][1]["out"] > 0, "a study without requests to replay would be refused"
