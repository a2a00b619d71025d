"""`score` against definitions in plain Python, whatever form the input has; and what it refuses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import definitions
import rankcast
from rankcast.errors import RankcastError
from rankcast.evaluate import matching
from rankcast.scoring import judging
from rankcast.scoring.keys import Keys
from rankcast.sources import rankings

METRICS = [
    "ndcg@3", "ap", "rr@2", "recall@3", "precision@3", "hit@1", "bpref", "err@3", "rbp(p=0.8)", "f1@2", "auc",
    "recall(level=2)@3", "list_length@3", "empty", "judged@3", "unjudged@3",
]  # fmt: skip
Row = tuple[Any, Any, float]
IDS = st.sampled_from([str, int])
SLATES = st.dictionaries(
    st.integers(0, 6),
    st.dictionaries(st.integers(0, 9), st.sampled_from([0.0, 0.5, 0.5, 1.0, 2.0]), max_size=7),
    max_size=6,
)
LABELS = st.dictionaries(
    st.integers(0, 6), st.dictionaries(st.integers(0, 11), st.sampled_from([0.0, 1.0, 1.0, 2.0]), min_size=1, max_size=5),
    min_size=1, max_size=6,
)  # fmt: skip


@st.composite
def ways(draw: st.DrawFn) -> dict[str, Any]:
    """How the same data may come, and which rules hold."""
    return {
        "id": draw(IDS),
        "form": draw(st.sampled_from(["frame", "parquet", "csv", "dict", "arrow", "trec"])),
        "shuffle": draw(st.sampled_from(["none", "lists", "rows"])),
        "rank": draw(st.booleans()),
        "batch": draw(st.sampled_from([3, 1000])),
        "block": draw(st.sampled_from([2, 1 << 16])),
        "seed": draw(st.integers(0, 99)),
        "ties": draw(st.sampled_from(["item_id", "reverse_item_id"])),
        "missing": draw(st.sampled_from(["zero", "exclude"])),
        "without_labels": draw(st.sampled_from(["zero", "exclude"])),
        "level": draw(st.sampled_from([None, 2.0])),
    }


def by_hand(
    slates: dict[Any, dict[Any, float]], labels: dict[Any, dict[Any, float]], way: dict[str, Any]
) -> dict[str, Any]:
    """metric -> request -> value; None where it does not count."""
    kind = way["id"]
    found: dict[str, dict[Any, float | None]] = {name: {} for name in METRICS}
    for request in sorted(labels, key=kind):
        slate = sorted(slates.get(request, {}), key=kind, reverse=way["ties"] == "reverse_item_id")
        slate = sorted(slate, key=lambda item: -slates[request][item])
        grades = {kind(item): grade for item, grade in labels[request].items()}
        relevant = any(grade >= (way["level"] or 1) for grade in grades.values())
        for name in METRICS:
            word, options, _ = definitions.split(name)
            about_labels = word not in {"list_length", "empty", "judged", "unjudged"}
            asked = name
            if way["level"] and about_labels and "level" not in options and word not in {"ndcg", "err"}:
                _, _, cut = name.partition("@")
                inner = ", ".join([f"{k}={v}" for k, v in options.items()] + [f"level={way['level']:g}"])
                asked = f"{word}({inner})" + (f"@{cut}" if cut else "")
            value: float | None = definitions.value(asked, [kind(item) for item in slate], grades)
            if way["without_labels"] == "exclude" and not relevant:
                value = None
            elif math.isnan(value):
                value = 0.0 if about_labels and way["without_labels"] == "zero" else None
            if way["missing"] == "exclude" and request not in slates_with_rows(slates):
                value = None
            found[name][kind(request)] = value
    return found


def slates_with_rows(slates: dict[Any, dict[Any, float]]) -> set[Any]:
    return {request for request, items in slates.items() if items}


def handed_over(rows: list[Row], value: str, way: dict[str, Any], path: Path) -> Any:
    """The rows in the form that the way says."""
    kind = way["id"]
    frame = pl.DataFrame(
        {
            "request_id": pl.Series(
                [kind(request) for request, _, _ in rows], dtype=pl.String if kind is str else pl.Int64
            ),
            "item_id": pl.Series([kind(item) for _, item, _ in rows], dtype=pl.String if kind is str else pl.Int64),
            value: pl.Series([number for _, _, number in rows], dtype=pl.Float64),
        }
    )
    if way["form"] == "parquet":
        frame.write_parquet(path, row_group_size=4)
        return path
    if way["form"] == "csv":
        frame.write_csv(path)
        return str(path)
    if way["form"] == "trec":
        form = "{} Q0 {} 7 {} tag\n" if value == "score" else "{} 0 {} {}\n"
        path.write_text("# a comment\n\n" + "".join(form.format(*row) for row in frame.rows()))
        return path
    if way["form"] == "dict":
        nested: dict[Any, dict[Any, float]] = {}
        for request, item, number in frame.rows():
            nested.setdefault(request, {})[item] = number
        return nested
    return frame.to_arrow() if way["form"] == "arrow" else frame


@settings(max_examples=250, deadline=None)
@given(SLATES, LABELS, ways())
def test_every_form_gives_what_the_definitions_say(
    tmp_path_factory: pytest.TempPathFactory, slates: dict, labels: dict, way: dict
) -> None:
    if way["form"] == "trec":  # its ids are text
        way = way | {"id": str}
    if way["form"] == "csv" and way["id"] is str:
        way = way | {"id": int}  # canonical integers in csv are integers
    folder = tmp_path_factory.mktemp("score")
    rows = [(request, item, score) for request, items in slates.items() for item, score in items.items()]
    truth = [(request, item, grade) for request, items in labels.items() for item, grade in items.items()]
    order = np.random.default_rng(way["seed"])
    if way["shuffle"] == "rows":
        rows, truth = ([part[at] for at in order.permutation(len(part))] for part in (rows, truth))
    elif way["shuffle"] == "lists":
        place = {request: order.random() for request in range(7)}
        rows = sorted(rows, key=lambda row: place[row[0]])
    if not rows and way["form"] in {"csv", "trec", "dict"}:
        way = way | {"form": "frame"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rankings, "BATCH_ROWS", way["batch"])
        patch.setattr(matching, "BLOCK", way["block"])
        patch.setattr(judging, "PART_ROWS", 5 if way["batch"] == 3 else 10**6)
        scores = rankcast.score(
            handed_over(rows, "score", way, folder / "slates"),
            handed_over(truth, "grade", way, folder / "labels"),
            METRICS,
            **{key: way[key] for key in ("ties", "missing", "without_labels", "level")},
        )
    expected = by_hand(slates, labels, way)
    requests = sorted(map(way["id"], labels))
    assert scores.values["request_id"].to_list() == requests
    for name in METRICS:
        wanted = [expected[name][request] for request in requests]
        assert scores.values[name].to_list() == pytest.approx(wanted, abs=1e-12, nan_ok=True), (name, way)
        counted = [value for value in wanted if value is not None]
        assert scores[name].n_requests == len(counted)
        mean = sum(counted) / len(counted) if counted else None
        assert scores[name].value == (None if mean is None else pytest.approx(mean, abs=1e-12))
    assert scores.counts.rows == len(rows)
    assert scores.counts.without_slate == len(set(labels) - slates_with_rows(slates))
    assert scores.counts.slates_without_labels == len(slates_with_rows(slates) - set(labels))


@settings(max_examples=60, deadline=None)
@given(SLATES, LABELS)
def test_a_bad_hash_changes_nothing(slates: dict, labels: dict) -> None:
    """The first hashes have three bits only, so that ids collide; what they find is never trusted."""
    slates = {str(request): {str(item): score for item, score in items.items()} for request, items in slates.items()}
    labels = {str(request): {str(item): grade for item, grade in items.items()} for request, items in labels.items()}
    good = rankcast.score(slates, labels, METRICS)
    whole = Keys.of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Keys, "of", lambda self, ids: whole(self, ids) & (3 if self.seed < 3 else -1))
        bad = rankcast.score(slates, labels, METRICS)
    assert good.values.equals(bad.values)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=30), st.sampled_from([2, 7, 1 << 16]))
def test_every_repeated_row_is_found(pairs: list[tuple[int, int]], block: int) -> None:
    pairs = sorted(pairs, key=lambda pair: pair[0])
    owner, item = np.array(pairs, dtype=np.int64).reshape(-1, 2).T.copy()
    nothing = np.zeros(0, dtype=np.int64)
    truth = matching.Truth(matching.KeyIndex(nothing), np.zeros(1, dtype=np.int64), nothing, nothing + 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "BLOCK", block)
        value = -np.arange(len(pairs))
        found = matching.match(matching.Batch.of(owner, item, value, truth), truth, "given", lambda rows: rows)
    assert found.repeated.tolist() == [at for at, pair in enumerate(pairs) if pair in pairs[:at]]


def test_a_list_longer_than_sixteen_bits_number() -> None:
    n = 70_000
    slates = pl.DataFrame({"request_id": 1, "item_id": np.arange(n)[::-1], "score": 0.0})
    labels = pl.DataFrame({"request_id": 1, "item_id": np.arange(0, n, 7), "grade": 1})
    scores = rankcast.score(slates, labels, ["recall", "precision@8", "rr"])
    assert [scores[name].value for name in ("recall", "precision@8", "rr")] == [1.0, 0.25, 1.0]
    with pytest.raises(RankcastError, match="1 rows repeat"):
        rankcast.score(pl.concat([slates, slates[5:6]]), labels)


# --- Weights, users, other columns ---

LOG = pl.DataFrame(
    {
        "request_id": ["r1", "r2", "r3", "r4"],
        "item_id": ["a", "a", "b", "b"],
        "grade": [1, 1, 1, 1],
        "user_id": ["u1", "u1", "u2", "u3"],
        "keyword": ["x", "x", "x", None],
    }
)
SHOWN = {"r1": {"a": 1.0}, "r2": {"a": 1.0}, "r3": {"a": 1.0}, "r4": {"b": 1.0}}


@pytest.mark.parametrize(
    ("average", "value"),
    [("request", 3 / 4), ("user", 2 / 3), ("keyword", (2 / 3 + 1) / 2), ("request.keyword", (2 / 3 + 1) / 2)],
)
def test_averages(average: str, value: float) -> None:
    assert rankcast.score(SHOWN, LOG, ["hit@1"], average=average)["hit@1"].value == pytest.approx(value)


def test_intervals_are_clustered_by_user() -> None:
    by_user = rankcast.score(SHOWN, LOG, ["hit@1"])["hit@1"]
    by_request = rankcast.score(SHOWN, LOG.drop("user_id"), ["hit@1"])["hit@1"]
    assert by_user.high - by_user.low > by_request.high - by_request.low


def test_user_id_serves_where_there_is_no_request_id() -> None:
    slates = pl.DataFrame({"user_id": [1, 1], "item_id": [5, 6], "rank": [1, 2]})
    labels = pl.DataFrame({"user_id": [1], "item_id": [6], "relevance": [1]})
    scores = rankcast.score(slates, labels, ["rr"])
    assert scores["rr"].value == 0.5
    assert scores.values.columns == ["request_id", "rr"]


def test_columns_are_mapped() -> None:
    slates = pl.DataFrame({"query": [1, 1], "doc": [5, 6], "s": [2.0, 1.0]})
    labels = pl.DataFrame({"query": [1], "doc": [6], "gain": [1]})
    columns = {"request_id": "query", "item_id": "doc", "score": "s"}
    assert rankcast.score(slates, labels, ["rr"], columns=columns)["rr"].value == 0.5


def test_a_score_wins_over_a_rank() -> None:
    slates = pl.DataFrame({"request_id": [1, 1], "item_id": [5, 6], "score": [2.0, 1.0], "rank": [2, 1]})
    assert rankcast.score(slates, {1: {5: 1}}, ["rr"])["rr"].value == 1.0
    assert rankcast.score(slates.drop("score"), {1: {5: 1}}, ["rr"])["rr"].value == 0.5


def test_ties_as_given() -> None:
    slates = pl.DataFrame({"request_id": [1] * 3, "item_id": [7, 5, 6], "score": [1.0] * 3})
    found = {ties: rankcast.score(slates, {1: {5: 1}}, ["rr"], ties=ties)["rr"].value for ties in ("given", "item_id")}
    assert found == {"given": 0.5, "item_id": 1.0}


def test_metrics_beyond_accuracy() -> None:
    items = pl.DataFrame(
        {"item_id": ["a", "b", "c", "d"], "kind": ["x", "y", "x", None], "is_new": [True, False, None, True]}
    )
    history = pl.DataFrame({"user_id": [1, 2, 2, 3], "item_id": ["a", "a", "b", "z"]})
    slates = {"r1": {"a": 3.0, "b": 2.0, "q": 1.0}, "r2": {"a": 1.0, "c": 0.5}}
    labels = {"r1": {"b": 1}, "r2": {"c": 2}}
    names = ["coverage@2", "gini", "entropy@1", "exposure_gini(by=item.kind)@2", "exposure_share(where=\"item.is_new\")@2",
             "personalization@2", "diversity(by=item.kind)@2", "novelty@3", "popularity@2", "serendipity@1"]  # fmt: skip
    scores = rankcast.score(slates, labels, names, items=items, history=history)
    groups = dict(items.select("item_id", "kind").rows())
    lists = {request: list(shown) for request, shown in slates.items()}
    users = {request: request for request in slates}
    for name in names:
        if name.startswith("exposure_share"):
            wanted = 2 / 4
        elif name in scores.values.columns:
            each = [definitions.value(name, lists[one], labels[one], groups, history.rows()) for one in ("r1", "r2")]
            assert scores.values[name].to_list() == pytest.approx(each)
            wanted = sum(each) / 2
        else:
            wanted = definitions.pooled(name, lists, users, groups, set(items["item_id"]))
        assert scores[name].value == pytest.approx(wanted), name
        assert scores[name].low <= scores[name].value <= scores[name].high


# --- Two of them ---


def test_compare_pairs_by_request() -> None:
    better = {request: {"a": 1.0, "b": 2.0 if request != "r1" else 0.0} for request in SHOWN}
    one, other = (rankcast.score(slates, LOG, ["rr", "entropy@1"]) for slates in (better, SHOWN))
    found = rankcast.compare(one, other)
    assert found["rr"].difference == pytest.approx(one["rr"].value - other["rr"].value)
    assert (found["rr"].wins, found["rr"].ties, found["rr"].losses) == (1, 2, 1)
    assert found["entropy@1"].difference == pytest.approx(one["entropy@1"].value - other["entropy@1"].value)
    assert found.to_frame()["metric"].to_list() == ["rr", "entropy@1"]
    assert "<table>" in found._repr_html_()
    assert "rr" in repr(found)
    with pytest.raises(RankcastError, match="different requests"):
        rankcast.compare(one, rankcast.score(SHOWN, LOG[:3], ["rr"]))
    with pytest.raises(RankcastError, match="no metric in common"):
        rankcast.compare(one, rankcast.score(SHOWN, LOG, ["ndcg"]))


def test_compare_takes_the_requests_that_count_for_both() -> None:
    names = ["rr", "entropy@1", "personalization"]
    fewer = {request: shown for request, shown in SHOWN.items() if request != "r4"}
    one, other = (rankcast.score(slates, LOG, names, missing="exclude") for slates in (SHOWN, fewer))
    found = rankcast.compare(one, other)
    assert [found[name].n_requests for name in names] == [3, 3, 3]
    assert [found[name].difference for name in names] == [0.0, 0.0, 0.0]


def test_what_a_notebook_shows_is_text() -> None:
    scores = rankcast.score({"<b>": {"a": 1.0}}, {"<b>": {"a": 1}}, ["rr"])
    assert "<td>rr</td><td>1</td>" in scores._repr_html_()
    assert "rr" in scores
    assert list(scores) == ["rr"]
