"""Judgement (labels, averages, segments, comparisons, doubts): the oracle by hand, then every figure of random worlds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import agreement
import oracle
import oracle_compare
import oracle_segments
import worlds
from oracle_compare import Pair, Terms

SERVICE = """
rankcast: 1
service: hand
tables:
  requests: {path: requests.csv}
  impressions: {path: shown.csv}
  events:
    - {path: clicks.csv, complete_until: 2023-10-20}
    - {path: visits.csv, event: visit, distinct: [user_id, item_id, day], complete_until: 2023-10-20}
    - {path: hires.csv, complete_until: 2023-10-08}
production: {served: 2}
labels:
  grades: {click: 1, hide: -2, hire: {grade: 4, within: 5d, after: visit}, visit: {grade: 0, after: click}}
  horizon: 2d
  attribute: last_shown
  negative_grades: true
  late: report
targets: {without_labels: exclude, average: [request, user], weight: request.worth}
"""
STUDY = """
rankcast: 1
study: hand
service: service.yaml
period: {from: 2023-10-02, to: 2023-10-09}
variants:
  production: {scores: {path: old.csv}}
  rival: {scores: {path: new.csv}}
baseline: production
metrics: {primary: dcg@2, guardrails: [{recall@2: {at_most_worse: 10%}}]}
segments: [day, {user.history: {none: 0, some: 1-}}, [request.worth, user.tenure]]
"""
TABLES = {
    "requests": "request_id,user_id,timestamp,worth\n"
    "1,a,2023-10-02T00:00:00,1\n2,a,2023-10-04T00:00:00,3\n3,b,2023-10-02T12:00:00,2\n4,b,2023-10-08T00:00:00,0.5",
    "shown": "request_id,item_id,rank\n1,8,1\n1,9,2\n2,7,1\n3,8,1\n3,6,2\n4,8,1",
    # Ann: clicks 8 of request 1, hides 9; Bob: clicks 8 of request 3 and again of request 4
    "clicks": "user_id,item_id,timestamp,event\n"
    "a,8,2023-10-02T01:00:00,click\na,9,2023-10-02T02:00:00,hide\nb,8,2023-10-02T13:00:00,click\n"
    "b,8,2023-10-08T01:00:00,click\nc,8,2023-10-02T13:00:00,click\nb,6,2023-10-04T12:00:00,click\n"
    "a,8,2023-10-02T01:00:00,click\na,7,2023-10-04T00:00:00,look",
    # Ann visits twice on a day, and it is the first one that counts: too early to come after anything
    "visits": "user_id,item_id,timestamp,day\n"
    "a,8,2023-10-02T00:30:00,1\na,8,2023-10-02T03:00:00,1\na,8,2023-10-03T03:00:00,2\nb,8,2023-10-03T00:00:00,1",
    # Ann's hire comes after her second visit, hence from her click, hence for request 1; Bob's is too late by a second
    "hires": "user_id,item_id,timestamp,event\n"
    "a,8,2023-10-06T00:00:00,hire\nb,8,2023-10-07T12:00:00,hire\na,7,2023-10-06T00:00:00,hire",
    "old": "user_id,item_id,score\na,9,3\na,8,2\nb,6,3\nb,8,2",
    "new": "user_id,item_id,score\na,8,3\na,9,2\nb,8,3\nb,6,2",
}


@pytest.fixture
def hand(tmp_path: Path) -> dict[str, Any]:
    for name, text in TABLES.items():
        (tmp_path / f"{name}.csv").write_text(text + "\n")
    (tmp_path / "service.yaml").write_text(SERVICE)
    (tmp_path / "study.yaml").write_text(STUDY)
    return oracle.evaluate(tmp_path / "study.yaml")


def ledger(hand: dict[str, Any], scope: str) -> list[tuple[Any, ...]]:
    return [(row["step"], row["in"], row["out"]) for row in hand["targets"] if row["scope"] == scope]


def test_who_fell_out(hand: dict[str, Any]) -> None:
    # request 4 is not mature for hires (known until the 8th), but only reported; request 2 has no label above 0
    assert ledger(hand, "requests") == [("period", 4, 4), ("where", 4, 4), ("mature", 4, 4), ("labelled", 4, 3)]
    assert ledger(hand, "users") == [("period", 2, 2), ("where", 2, 2), ("mature", 2, 2), ("labelled", 2, 2)]
    assert ledger(hand, "items") == [("labelled", 4, 1)]  # 6, 7, 8 and 9 occur
    assert ledger(hand, "labels") == [
        ("duplicate", 15, 13),  # a click that is there twice, a second visit of a day
        ("graded", 13, 12),  # the look
        ("user", 12, 11),  # Carol never asked
        ("attributed", 11, 9),  # Ann's first visit has no click before it; her hire of 7 no visit
        ("before", 9, 9),
        ("horizon", 9, 7),  # Bob's hire, five days after request 3; his click of 6, two days after it
        ("period", 7, 7),
        ("where", 7, 7),
        ("mature", 7, 7),
        ("labelled", 7, 7),
        ("highest", 7, 4),  # on 8 of request 1 the hire decides, on 8 of request 3 the click
    ]


def test_new_users(hand: dict[str, Any]) -> None:
    rows = {(row["scope"], row["step"]): row for row in hand["targets"]}
    # Ann's first request and Bob's first have nothing before them; what is left loses request 2, by then she is known
    shares = rows["requests", "labelled"]["new_lost"], rows["requests", "labelled"]["new_kept"]
    assert shares == (0, pytest.approx(2 / 3))
    assert (rows["users", "labelled"]["new_lost"], rows["users", "labelled"]["new_kept"]) == (None, 1)
    assert "new_lost" not in rows["items", "labelled"]


def test_what_is_still_to_come(hand: dict[str, Any]) -> None:
    rows = {row["event"]: row for row in hand["late"]}
    # hires are known until the 8th: requests 2 and 4 are too young. Of the two others one was hired, after 96 hours;
    # request 2 was 96 hours old, request 4 none: both may still see it
    assert (rows["hire"]["requests"], rows["hire"]["seen"], rows["hire"]["missing"]) == (2, 0, 0.5 + 0.5)
    assert rows["hire"]["share_missing"] == pytest.approx(1 / 2)
    assert rows["click"] == {"event": "click", "requests": 0, "seen": 0, "missing": 0, "share_missing": 0}


def test_averages(hand: dict[str, Any]) -> None:
    rows = {row["average"]: row for row in hand["averages"] if row["metric"] == "dcg@2"}
    third = 1 / math.log2(3)
    # labels: {8: 4, 9: -2}, {8: 1}, {8: 1}; worth 1, 2, 1/2
    each = [(4 - 2 * third) - (-2 + 4 * third), 1 - third, 1 - third]
    assert rows["request"]["difference"] == pytest.approx((each[0] + 2.5 * each[1]) / 3.5)
    assert rows["user"]["difference"] == pytest.approx((each[0] + each[1]) / 2)
    assert rows["request"]["effective_requests"] == pytest.approx(3.5**2 / (1 + 4 + 0.25))
    assert rows["user"]["effective_requests"] == pytest.approx(4 / (1 + 0.64 + 0.04))
    assert rows["user"]["effective_users"] == pytest.approx(2)
    assert [row["decides"] for row in rows.values()] == [True, False]


def test_segments(hand: dict[str, Any]) -> None:
    found = [(row["segment"], row["n_requests"]) for row in hand["comparisons"] if row["metric"] == "dcg@2"]
    assert [(one and (one["column"], one["value"]), count) for one, count in found] == [
        (None, 3),
        (("day", "2023-10-02"), 2),
        (("day", "2023-10-08"), 1),
        (("user.history", "none"), 2),
        (("user.history", "some"), 1),
        (("request.worth, user.tenure", "0.5, null"), 1),
        (("request.worth, user.tenure", "1.0, null"), 1),
        (("request.worth, user.tenure", "2.0, null"), 1),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [(0, (0, 0)), ("1-9", (1, 9)), ("10-", (10, math.inf)), ("0-99.5", (0, 99.5)), ("7", (7, 7))],
)
def test_ranges(text: Any, expected: tuple[float, float]) -> None:
    assert oracle_segments.bounds(text) == expected


# --- Statistics, in other words ---


def sample(seed: int) -> list[Pair]:
    rng = np.random.default_rng(seed)
    users = rng.integers(0, 8, 40)
    return [
        Pair(float(rng.choice([0.5, 1, 2])), float(rng.normal(1.2)), float(rng.normal(1) + 3), int(user), (int(user),))
        for user in users
    ]


@pytest.mark.parametrize("seed", range(5))
def test_fieller_has_the_ratios_that_a_t_test_does_not_refuse(seed: int) -> None:
    pairs, terms = sample(seed), Terms(0.9)
    row = oracle_compare.compared(pairs, terms)
    for ratio in (row["relative_low"], row["relative_high"]):
        shifted = [Pair(one.weight, one.difference, ratio * one.theirs, one.user, one.clusters) for one in pairs]
        assert oracle_compare.compared(shifted, terms)["p"] == pytest.approx(0.1)
    assert row["relative_low"] < row["relative"] < row["relative_high"]


@pytest.mark.parametrize("seed", range(5))
def test_bell_and_mccaffrey_with_matrices(seed: int) -> None:
    """CR2 of a weighted mean by its definition, and the degrees of freedom from the eigenvalues of G'G."""
    pairs = sample(seed)
    w = np.array([one.weight for one in pairs])
    d = np.array([one.difference for one in pairs])
    users = np.array([one.user for one in pairs])
    x = np.sqrt(w)[:, None]  # the mean is a regression on a constant, once both sides are multiplied by sqrt(w)
    y, bread = np.sqrt(w) * d, 1 / w.sum()
    hat = x @ x.T * bread
    left = y - hat @ y
    meat, columns = 0.0, []
    for user in np.unique(users):
        own = users == user
        values, vectors = np.linalg.eigh(np.eye(own.sum()) - hat[np.ix_(own, own)])
        adjusted = vectors @ np.diag(values**-0.5) @ vectors.T
        meat += float((x[own, 0] @ adjusted @ left[own]) ** 2)
        columns.append((np.eye(len(w)) - hat)[:, own] @ adjusted @ x[own, 0] * bread)
    eigen = np.linalg.eigvalsh(np.stack(columns).dot(np.stack(columns).T))
    df = eigen.sum() ** 2 / (eigen**2).sum()
    weights, ways = [one.weight for one in pairs], [one.clusters for one in pairs]
    made = oracle_compare.estimated(weights, [one.difference for one in pairs], ways, Terms(method="robust"))
    assert made.error == pytest.approx(math.sqrt(meat) * bread)
    assert made.df == pytest.approx(df)


def test_clusters_both_ways() -> None:
    # users a, b; companies x, y; d = 1, 2, 4, 1 with mean 2: u = -1, 0, 2, -1
    ways = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
    made = oracle_compare.estimated([1] * 4, [1, 2, 4, 1], ways, Terms())
    by_user, by_company, by_both = 2 * (1 + 1), 2 * (1 + 1), 4 / 3 * (1 + 0 + 4 + 1)
    assert by_user + by_company - by_both == 0  # then the larger one
    assert (made.error, made.df) == (pytest.approx(math.sqrt(4 / 16)), 1)
    made = oracle_compare.estimated([1] * 4, [1, 1, 4, 2], ways, Terms())
    assert made.error == pytest.approx(math.sqrt((2 * (4 + 4) + 2 * (1 + 1) - 4 / 3 * (1 + 1 + 4 + 0)) / 16))


def test_margins() -> None:
    pairs = sample(1)
    terms = Terms(0.95, smallest=0.3, margins={"dcg": 0.5})
    row = oracle_compare.compared(pairs, terms, "dcg")

    def one_sided(sign: float, margin: float) -> float:
        """Half the p of a t test of difference against the margin, both with their error."""
        shifted = [
            Pair(one.weight, sign * one.difference, -margin * one.theirs, one.user, one.clusters) for one in pairs
        ]
        found = oracle_compare.compared(shifted, Terms())
        return float(found["p"] / 2 if found["difference"] > 0 else 1 - found["p"] / 2)

    assert row["p_noninferior"] == pytest.approx(one_sided(1, 0.5))
    assert row["p_equivalent"] == pytest.approx(max(one_sided(1, 0.3), one_sided(-1, 0.3)))
    times = (row["minimum_detectable"] / (0.3 * row["reference"])) ** 2
    assert row["users_needed"] == pytest.approx(8 * times)


# --- Random worlds ---

TURNED = {
    "labels": ("event_tables", "distinct", "untils", "within", "after", "negative", "late"),
    "averages": ("averages", "weight"),
    "segments": ("cuts", "least_users"),
    "comparisons": ("method", "cluster", "at_most_worse", "least_users"),
    "everything": tuple(worlds.JUDGEMENT),
}


@pytest.mark.parametrize("subject", list(TURNED))
@settings(max_examples=20)
@given(data=worlds.st.data())
def test_every_figure_equals_the_oracle(
    subject: str, data: worlds.st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("world")
    for study in data.draw(worlds.worlds(judgement=TURNED[subject])).write(folder):
        assert agreement.differences(study, folder / "runs") == []
