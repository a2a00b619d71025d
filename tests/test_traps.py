"""Traps that other libraries fell into (read in their code and trackers): what we answer instead."""

from __future__ import annotations

import math

import polars as pl
import pytest

import rankcast
from rankcast.errors import RankcastError


def one(metric: str, slate: list[str], labels: dict[str, float]) -> float:
    """The metric of one list, best first."""
    slates = pl.DataFrame({"request_id": "q", "item_id": slate, "rank": range(1, len(slate) + 1)}, strict=False)
    return rankcast.score(slates.with_columns(pl.col("item_id").cast(pl.String)), {"q": labels}, [metric])[metric].value


def test_tied_scores_do_not_share_a_rank() -> None:
    """Two tied hits at rank 1 would be worth 1.23 of the best list."""
    scores = rankcast.score({"q": {"a": 1.0, "b": 1.0}}, {"q": {"a": 1, "b": 1}}, ["ndcg@2", "dcg@2"])
    assert scores["ndcg@2"].value == 1.0
    assert scores["dcg@2"].value == pytest.approx(1 + 1 / math.log2(3))
    assert scores.counts.tied_rows == 2


def test_a_short_list_is_held_against_all_labels() -> None:
    """One hit of five labels in a list of one is no perfect nDCG@5."""
    labels = dict.fromkeys("abcde", 1.0)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, 6))
    assert one("ndcg@5", ["a"], labels) == pytest.approx(1 / ideal)
    assert one("precision@5", ["a"], labels) == 0.2  # by k, not by the length of the list
    assert one("list_length", ["a"], labels) == 1.0


def test_one_label_and_a_perfect_list_are_worth_one() -> None:
    """Dividing by ten ideal hits would give 0.22."""
    assert one("ndcg@10", ["a", *"bcdefghij"], {"a": 1.0}) == 1.0
    assert one("ap@10", ["a", *"bcdefghij"], {"a": 1.0}) == 1.0


def test_ap_divides_by_all_labels_not_by_those_found() -> None:
    assert one("ap@3", ["a", "x", "y"], {"a": 1.0, "b": 1.0}) == 0.5
    assert one("ap(norm=cut)@1", ["a", "x", "y"], {"a": 1.0, "b": 1.0}) == 1.0


def test_a_request_without_a_slate_does_not_vanish() -> None:
    """A model that serves only easy users must not win by that."""
    labels = {"easy": {"a": 1}, "hard": {"b": 1}}
    all_of_them = rankcast.score({"easy": {"a": 1.0}}, labels, ["rr"])
    assert (all_of_them["rr"].value, all_of_them["rr"].n_requests, all_of_them.counts.without_slate) == (0.5, 2, 1)
    served = rankcast.score({"easy": {"a": 1.0}}, labels, ["rr"], missing="exclude")
    assert (served["rr"].value, served["rr"].n_requests) == (1.0, 1)


def test_an_empty_slates_table_is_worth_nothing_and_is_told() -> None:
    nothing = pl.DataFrame(schema={"request_id": pl.String, "item_id": pl.String, "score": pl.Float64})
    scores = rankcast.score(nothing, {"q": {"a": 1}}, ["ndcg", "hit@5", "list_length", "empty"])
    assert [scores[name].value for name in scores] == [0.0, 0.0, 0.0, 1.0]
    assert scores.notes == ("1 of 1 requests have no slate: they count as 0",)


def test_slates_nobody_asked_to_score_are_counted() -> None:
    scores = rankcast.score({"q": {"a": 1.0}, "other": {"a": 1.0}}, {"q": {"a": 1}}, ["rr"])
    assert (scores["rr"].n_requests, scores.counts.slates_without_labels) == (1, 1)


def test_duplicates_are_refused_not_mended() -> None:
    """A suffix that makes ids distinct may collide with a real id and invent relevance."""
    slates = pl.DataFrame({"request_id": ["q"] * 3, "item_id": ["a", "a", "a_2"], "rank": [1, 2, 3]})
    with pytest.raises(RankcastError, match="1 rows repeat"):
        rankcast.score(slates, {"q": {"a_2": 1}})


def test_nothing_is_rounded_on_the_way() -> None:
    labels = {f"q{n}": {"hit": 1} for n in range(3)}
    slates = {f"q{n}": {**{f"x{at}": 9.0 - at for at in range(n + 2)}, "hit": 0.5} for n in range(3)}
    value = rankcast.score(slates, labels, ["rr"])["rr"].value
    assert value == (1 / 3 + 1 / 4 + 1 / 5) / 3


def test_grades_are_used_where_there_are_any() -> None:
    labels = {"great": 3.0, "fair": 1.0}
    assert one("ndcg", ["great", "fair"], labels) == 1.0
    assert one("ndcg", ["fair", "great"], labels) < 0.85
    assert one("ndcg(gain=binary)", ["fair", "great"], labels) == 1.0


def test_recall_is_not_capped_unless_asked() -> None:
    labels = dict.fromkeys("abcd", 1.0)
    assert one("recall@2", ["a", "b", "c"], labels) == 0.5
    assert one("recall(norm=cut)@2", ["a", "b", "c"], labels) == 1.0


def test_lists_of_all_lengths_together() -> None:
    """Uneven groups broke one library's nDCG only; the same number comes from each list alone."""
    slates = {f"q{n}": {f"i{at}": -float(at) for at in range(n)} for n in range(1, 30)}
    labels = {f"q{n}": {f"i{n // 2}": 1, f"i{n}": 2} for n in range(1, 30)}
    whole = rankcast.score(slates, labels, ["ndcg@5", "ap", "f1@3"]).values
    for row in whole.to_dicts():
        request = row["request_id"]
        alone = rankcast.score({request: slates[request]}, {request: labels[request]}, ["ndcg@5", "ap", "f1@3"])
        assert row == alone.values.to_dicts()[0]


def test_a_percentage_of_a_list_that_was_never_shown_is_told() -> None:
    assert one("unjudged@4", ["a", "new1", "new2", "b"], {"a": 1.0, "b": 0.0}) == 0.5
    assert one("bpref", ["new1", "new2", "a", "b"], {"a": 1.0, "b": 0.0}) == 1.0  # what nobody judged is passed over
