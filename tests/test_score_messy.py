"""What messy files and hurried hands gave `score` to do: each case was once answered wrongly."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import rankcast
from rankcast.errors import RankcastError
from tiny import assert_refused
from tiny import rankcast as command

SLATES = pl.DataFrame({"request_id": [1, 1, 2, 2], "item_id": [10, 9, 10, 8], "score": [3.0, 2.0, 1.0, 0.5]})
LABELS = pl.DataFrame({"request_id": [1, 2], "item_id": [9, 10], "grade": [1, 2]})


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    SLATES.write_parquet(tmp_path / "s.parquet")
    LABELS.write_parquet(tmp_path / "l.parquet")
    LABELS.write_csv(tmp_path / "l.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("target", ["s.parquet", "./l.parquet", "../{folder}/s.parquet"])
def test_an_input_is_never_written_over(files: Path, target: str) -> None:
    before = (files / "s.parquet").read_bytes(), (files / "l.parquet").read_bytes()
    target = target.format(folder=files.name)
    assert_refused(command("score", "s.parquet", "l.parquet", "--per-request", target), "this file is read")
    assert ((files / "s.parquet").read_bytes(), (files / "l.parquet").read_bytes()) == before


def test_items_are_known_whatever_their_file_is(files: Path) -> None:
    (files / "run").write_text("1 Q0 10 1 3 t\n1 Q0 9 2 2 t\n2 Q0 10 1 1 t\n")
    (files / "qrels").write_text("1 0 9 1\n2 0 10 2\n")
    items = pl.DataFrame({"item_id": [8, 9, 10]})
    items.write_csv(files / "i.csv")
    items.write_parquet(files / "i.parquet")
    for name in ("i.csv", "i.parquet"):
        assert rankcast.score("run", "qrels", "coverage@10", items=name)["coverage@10"].value == pytest.approx(2 / 3)
    history = pl.DataFrame({"user_id": ["u", "v"], "item_id": [9, 9]})
    assert rankcast.score("s.parquet", "l.csv", "popularity", items=items, history=history)["popularity"].value == 0.5
    with pytest.raises(RankcastError, match=r"items.item_id: the DataFrame: ids are text, but integers in"):
        rankcast.score("s.parquet", "l.parquet", "coverage", items=pl.DataFrame({"item_id": ["a"]}))


def test_weights_are_of_the_requests_that_count() -> None:
    labels = pl.DataFrame(
        {"request_id": ["r1", "r2", "r3"], "item_id": ["a"] * 3, "grade": [1] * 3, "user_id": ["u", "u", "v"]}
    )
    slates = {"r1": {"a": 1.0}, "r3": {"b": 1.0}}
    assert rankcast.score(slates, labels, "hit@1", average="user", missing="exclude")["hit@1"].value == 0.5


def test_users_must_be_named_to_be_averaged_over() -> None:
    with pytest.raises(RankcastError, match="user needs a column `user_id` in the labels"):
        rankcast.score(SLATES.with_columns(user_id=7), LABELS, average="user")
    by_user = {"request_id": "user_id"}
    scores = rankcast.score(SLATES.rename(by_user), LABELS.rename(by_user), "rr", average="user")
    assert scores["rr"].value == 0.75


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"scroe": "score"}, "`scroe` is none of our names; did you mean `score`?"),
        ({"score": 7}, "expected a mapping ours: theirs"),
        (["a"], "expected a mapping ours: theirs"),
    ],
)
def test_names_that_are_none(columns: Any, said: str) -> None:
    with pytest.raises(RankcastError) as error:
        rankcast.score(SLATES, LABELS, columns=columns)
    assert said in str(error.value)


def test_a_name_is_mapped_once(files: Path) -> None:
    assert_refused(command("score", "s.parquet", "l.parquet", "--columns", "score=a,score=b"), "mapped twice")


def test_each_of_our_names_concerns_its_own_table() -> None:
    labels = LABELS.rename({"grade": "score"})
    assert rankcast.score(SLATES, labels, "rr", columns={"grade": "score"})["rr"].value == 0.75
    items = pl.DataFrame({"doc": [8, 9, 10, 11]})
    with pytest.raises(RankcastError, match="column `item_id` is missing"):
        rankcast.score(SLATES, LABELS, "coverage", items=items)


@pytest.mark.parametrize("space", ["\u3000", "\u00a0", "\u2028", "\u0085"])
def test_ids_may_hold_the_spaces_of_other_scripts(tmp_path: Path, space: str) -> None:
    (tmp_path / "run").write_text(f"q1 Q0 a{space}x 1 9.0 t\nq1 Q0 b 2 5.0 t\n", encoding="utf-8")
    (tmp_path / "qrels").write_text("q1 0 b 1\n")
    assert rankcast.score(tmp_path / "run", tmp_path / "qrels", "rr")["rr"].value == 0.5


def test_a_run_of_five_fields_is_no_qrels(files: Path) -> None:
    (files / "short.run").write_text("q1 Q0 a 1 3.0\n")
    assert rankcast.score("short.run", {"q1": {"a": 1}}, "rr")["rr"].value == 1.0
    assert_refused(command("score", "s.parquet", "short.run"), "looks like a TREC run")


def test_a_header_with_words_is_a_header(files: Path) -> None:
    (files / "wide.csv").write_text("request_id,item_id,score,share of top 10\n1,9,1.0,0.5\n")
    assert rankcast.score("wide.csv", "l.csv", "hit")["hit"].value == 0.5


def test_what_cannot_be_compared() -> None:
    scores = rankcast.score(SLATES, LABELS, "rr")
    for other, said in (
        (rankcast.score(SLATES, LABELS, "rr", level=2), "different settings: level 2"),
        (rankcast.score(SLATES, LABELS, "rr", missing="exclude"), "different settings: missing"),
        (rankcast.score(SLATES, LABELS.with_columns(grade=3), "rr"), "different labels"),
    ):
        with pytest.raises(RankcastError) as error:
            rankcast.compare(other, scores)
        assert said in str(error.value)
    for options in ({"confidence": 95}, {"confidence": "x"}, {"smallest_effect": -1}):
        with pytest.raises(RankcastError):
            rankcast.compare(scores, scores, **options)
    with pytest.raises(KeyError):
        rankcast.compare(scores, scores)["nope"]


def test_excluded_requests_count_for_no_metric() -> None:
    labels = pl.DataFrame({"request_id": [1, 2], "item_id": [9, 10], "grade": [1, 0]})
    names = ["rr", "ndcg", "list_length", "precision(level=1)@1", "entropy"]
    scores = rankcast.score(SLATES, labels, names, without_labels="exclude")
    assert {scores[name].n_requests for name in names} == {1}


def test_personalization_stays_in_its_range() -> None:
    same = {f"r{n}": {"a": 2.0, "b": 1.0, "c": 0.5} for n in range(3)}
    score = rankcast.score(same, {f"r{n}": {"a": 1} for n in range(3)}, "personalization")["personalization"]
    assert (score.value, score.low, score.high) == (0.0, 0.0, 0.0)


def test_a_request_without_any_label_counts() -> None:
    scores = rankcast.score({"q": {"b": 1.0}}, {"q": {"b": 1}, "z": {}}, "rr")
    assert (scores["rr"].value, scores["rr"].n_requests, scores.counts.without_relevant) == (0.5, 2, 1)


def test_powers_of_two_that_no_float_holds() -> None:
    with pytest.raises(RankcastError, match="a label has grade 2000"):
        rankcast.score(SLATES, LABELS.with_columns(grade=2000), "ndcg(gain=exp)@5")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (SLATES.with_columns(x=1), None),
        (SLATES.with_columns(pl.col("item_id").cast(pl.Int32), pl.col("score").cast(pl.Float32)), None),
        (SLATES.with_columns(pl.col("item_id").cast(pl.String)), "`item_id` has another type"),
        (SLATES.drop("score").with_columns(rank=pl.Series([1, 2, 1, 2])), "`score` stands in some, `rank` in others"),
        (SLATES.drop("item_id"), "column `item_id` is missing"),
    ],
)
def test_files_of_one_table(files: Path, other: pl.DataFrame, said: str | None) -> None:
    other.with_columns(request_id=pl.Series([3, 3, 4, 4])).write_parquet(files / "s2.parquet")
    outcome = command("score", "s*.parquet", "l.parquet", "-m", "rr", "--json")
    if said is None:
        assert outcome.code == 0, outcome.text
    else:
        assert_refused(outcome, said)


def test_a_request_split_over_two_files(files: Path) -> None:
    SLATES[:1].write_parquet(files / "a1.parquet")
    SLATES[1:].write_parquet(files / "a2.parquet")
    whole, split = (rankcast.score(name, LABELS, ["rr", "ap"]).values for name in ("s.parquet", "a*.parquet"))
    assert whole.equals(split)


def test_a_damaged_parquet_file(files: Path) -> None:
    big = pl.concat([SLATES.with_columns(request_id=pl.lit(n)) for n in range(2000)]).unique(["request_id", "item_id"])
    big.write_parquet(files / "b.parquet", compression="snappy")
    content = bytearray((files / "b.parquet").read_bytes())
    content[40:4000] = b"\xff" * 3960
    (files / "b.parquet").write_bytes(bytes(content))
    assert_refused(command("score", "b.parquet", "l.parquet"), "b.parquet: ")


def test_one_long_list_with_as_many_labels_needs_no_room_to_speak_of() -> None:
    n = 40_000
    ids = np.random.default_rng(3).integers(0, 2**60, n)
    slates = pl.DataFrame({"request_id": 1, "item_id": ids, "score": -np.arange(n, dtype=float)})
    labels = pl.DataFrame({"request_id": 1, "item_id": ids, "grade": 1})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scores = rankcast.score(slates, labels, ["recall", "ap", "ndcg"])
    assert [scores[name].value for name in scores] == pytest.approx([1.0, 1.0, 1.0])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024  # kB; it was 4.4 GB once


@pytest.mark.parametrize("scattered", [False, True])
def test_lists_without_labels_are_never_refused(scattered: bool) -> None:
    strange = pl.DataFrame({"request_id": [7, 7], "item_id": [1, 1], "score": [1.0, 2.0]})
    slates = pl.concat([SLATES, strange])
    slates = slates[[4, 0, 2, 5, 1, 3]] if scattered else slates
    scores = rankcast.score(slates, LABELS, "rr")
    assert (scores["rr"].value, scores.counts.slates_without_labels) == (0.75, 1)


def test_a_null_is_told_with_its_place(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankcast.sources.rankings.BATCH_ROWS", 2)
    slates = SLATES.with_columns(score=pl.Series([1.0, 2.0, None, 0.5]))
    slates.write_parquet(files / "n.parquet", row_group_size=2)
    with pytest.raises(RankcastError) as error:
        rankcast.score("n.parquet", LABELS)
    assert "1 of 2 values are null (rows 1); leave such rows out beforehand (of rows 3 to 4)" in str(error.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metrics": None}, "metrics: expected strings"),
        ({"metrics": [3]}, "metrics: expected strings"),
        ({"level": "2"}, "level: expected a grade above 0"),
        ({"confidence": "x"}, "confidence: expected a number"),
        ({"average": None}, "average: expected request, user"),
    ],
)
def test_arguments_of_the_wrong_kind(options: dict[str, Any], said: str) -> None:
    with pytest.raises(RankcastError) as error:
        rankcast.score(SLATES, LABELS, **options)
    assert said in str(error.value)


def test_frames_that_fail_by_themselves() -> None:
    broken = pl.LazyFrame({"a": [1]}).select("b")
    with pytest.raises(RankcastError, match="slates: cannot be made a table: ColumnNotFoundError"):
        rankcast.score(broken, LABELS)
    with pytest.raises(RankcastError, match="some items are text and some are not"):
        rankcast.score({1: {"a": 1.0, 2: 1.0}}, LABELS)
    with pytest.raises(RankcastError, match=r"x.txt: expected a name ending in .parquet or .csv"):
        rankcast.score(SLATES, LABELS).write_values("x.txt")


def test_errors_as_json_whichever_way_it_was_asked(files: Path) -> None:
    for way in (["--json"], ["--format", "json"]):
        assert '"errors"' in command("score", "nowhere.csv", "l.csv", *way).out
