"""What `score` refuses, and what its command reads, writes and says."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import rankcast
from rankcast.errors import RankcastError
from tiny import assert_refused
from tiny import rankcast as command

GOOD = pl.DataFrame({"request_id": ["q", "q"], "item_id": ["a", "b"], "score": [2.0, 1.0]})
TRUE = pl.DataFrame({"request_id": ["q"], "item_id": ["b"], "grade": [1.0]})


def changed(frame: pl.DataFrame, **columns: Any) -> pl.DataFrame:
    return frame.with_columns(**{name: pl.Series(values, strict=False) for name, values in columns.items()})


@pytest.mark.parametrize(
    ("slates", "labels", "options", "said"),
    [
        (changed(GOOD, item_id=["a", "a"]), TRUE, {}, "slates.item_id: the DataFrame: 1 rows repeat a (request_id, item_id)"),
        (changed(GOOD, score=[1.0, math.nan]), TRUE, {}, "1 of 2 scores are NaN, such as request_id=q, item_id=b"),
        (changed(GOOD, score=[1.0, None]), TRUE, {}, "slates.score: the DataFrame: 1 of 2 values are null (rows 2)"),
        (changed(GOOD, item_id=["a", None]), TRUE, {}, "slates.item_id: the DataFrame: 1 of 2 values are null"),
        (changed(GOOD, request_id=["q", None]), TRUE, {}, "slates.request_id: the DataFrame: 1 of 2 values are null"),
        (changed(GOOD, score=["x", "y"]), TRUE, {}, "2 of 2 values are not a number"),
        (changed(GOOD, item_id=[1.5, 2.5]), TRUE, {}, "expected an id (integer or text), found numbers such as 1.5"),
        (GOOD.drop("score").with_columns(rank=pl.Series([0, 1])), TRUE, {}, "1 of 2 ranks are below 1"),
        (GOOD.drop("score"), TRUE, {}, "neither `score` nor `rank` is there"),
        (GOOD.drop("item_id"), TRUE, {}, "column `item_id` is missing"),
        (GOOD.rename({"request_id": "req_id"}), TRUE, {}, "did you mean `req_id`?; map it with --columns request_id=<theirs>"),
        (GOOD, TRUE.drop("grade"), {}, "column `grade` is missing"),
        (GOOD, pl.concat([TRUE, TRUE]), {}, "labels.item_id: the DataFrame: 1 rows repeat a (request_id, item_id)"),
        (GOOD, changed(TRUE, grade=[math.nan]), {}, "1 of 1 grades are NaN"),
        (GOOD, changed(TRUE, grade=[-1.0]), {}, "1 of 1 grades are negative, such as request_id=q, item_id=b, grade=-1.0"),
        (GOOD, changed(TRUE, grade=[math.inf]), {}, "1 of 1 grades are infinite"),
        (GOOD, changed(TRUE, item_id=[7]), {}, "ids are integers, but text in the DataFrame"),
        (GOOD, changed(TRUE, request_id=[7]), {}, "ids are integers, but text in the DataFrame"),
        (GOOD, TRUE, {"metrics": ["ndgc"]}, "did you mean `ndcg`?"),
        (GOOD, TRUE, {"metrics": []}, "no metric is asked for"),
        (GOOD, TRUE, {"metrics": ["coverage@5"]}, "`coverage@5` needs to know the items: give --items"),
        (GOOD, TRUE, {"metrics": ["novelty@5"]}, "`novelty@5` needs what users did before: give --history"),
        (GOOD, TRUE, {"metrics": ["diversity(by=item.x)"], "items": {"item_id": ["a"], "y": [1]}}, "no column `x` in items"),
        (GOOD, changed(TRUE, grade=[9.0]), {"metrics": ["err@5"]}, "a label has grade 9, above max_grade"),
        (GOOD, TRUE, {"ties": "random"}, 'ties: expected item_id or reverse_item_id or given, found "random"'),
        (GOOD, TRUE, {"missing": "skip"}, "missing: expected zero or exclude"),
        (GOOD, TRUE, {"without_labels": "skip"}, "without_labels: expected zero or exclude"),
        (GOOD, TRUE, {"level": 0.0}, "level: expected a grade above 0"),
        (GOOD, TRUE, {"confidence": 95}, "confidence: expected a number from 0.5 to below 1"),
        (GOOD, TRUE, {"average": "keyword"}, "average: no column `keyword` in labels"),
        (GOOD, TRUE, {"columns": {"score": "scroe"}}, "no column `scroe` in slates or labels; did you mean `score`?"),
        (7, TRUE, {}, "slates: expected a file, a frame (pandas, Polars, PyArrow, DuckDB) or a dict, found int"),
        ({"q": {"a": "x"}}, TRUE, {}, "slates: cannot be made a table"),
        ({"q": {"a": 1.0}, "p": 2}, TRUE, {}, "some of its values are dicts and some are not"),
        (GOOD, TRUE.with_columns(user_id=pl.lit(None, dtype=pl.String)), {}, "1 requests have no user_id"),
    ],
)  # fmt: skip
def test_what_is_refused(slates: Any, labels: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RankcastError) as error:
        rankcast.score(slates, labels, **options)
    assert said in str(error.value)


def test_a_request_with_two_users_is_refused() -> None:
    labels = pl.DataFrame({"request_id": [1, 1], "item_id": [1, 2], "grade": [1, 1], "user_id": [1, 2]})
    with pytest.raises(RankcastError, match="`user_id` has several values for 1 of 1 requests, such as request_id=1"):
        rankcast.score({1: {1: 1.0}}, labels)


# --- The command ---

RUN = "q1 Q0 a 1 3.0 tag\nq1 Q0 b 2 2.0 tag some more words\n# no list\n\nq2\tQ0\tc\t1\t1.0\ttag\n"
QRELS = "q1 0 b 1\nq2 0 a 2\nq2 0 c -1\nq3 0 a 0\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "a.run").write_text(RUN)
    (tmp_path / "qrels.txt").write_text(QRELS)
    with gzip.open(tmp_path / "packed", "wt") as stream:
        stream.write(RUN)
    return tmp_path


@pytest.mark.parametrize("run", ["a.run", "packed"])
def test_trec_files(files: Path, run: str) -> None:
    done = command(
        "score", str(files / run), str(files / "qrels.txt"), "-m", "mrr", "-m", "judged list_length", "--json"
    )
    assert done.code == 0
    document = json.loads(done.out)
    assert document["metrics"]["rr"] == {"value": pytest.approx(1 / 6), "low": pytest.approx(-0.55051, abs=1e-4),
                                         "high": pytest.approx(0.88384, abs=1e-4), "n_requests": 3}  # fmt: skip
    assert document["metrics"]["judged"]["value"] == 0.25  # b of two in q1, nothing in q2, no list for q3
    assert document["metrics"]["list_length"]["value"] == 1.0
    assert document["counts"] == {"requests": 3, "without_slate": 1, "without_relevant": 1, "slates_without_labels": 0,
                                  "rows": 3, "tied_rows": 0}  # fmt: skip


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_values_per_request(files: Path, ending: str) -> None:
    out = files / f"values.{ending}"
    done = command("score", str(files / "a.run"), str(files / "qrels.txt"), "-m", "mrr recall@5", "--per-request", str(out),
                   "--without-labels", "exclude", "--format", "csv")  # fmt: skip
    assert done.code == 0
    frame = pl.read_parquet(out) if ending == "parquet" else pl.read_csv(out)
    assert frame.columns == ["request_id", "rr", "recall@5"]
    assert frame.rows() == [("q1", 0.5, 1.0), ("q2", 0.0, 0.0), ("q3", None, None)]
    assert done.out.splitlines()[0] == "metric,value,low,high,n_requests"
    assert [path.name for path in files.iterdir() if "part" in path.name] == []


def test_the_table(files: Path) -> None:
    done = command("score", str(files / "a.run"), str(files / "qrels.txt"), "-m", "ndcg")
    assert done.code == 0
    assert "ndcg" in done.out
    assert "1 of 3 requests have no slate: they count as 0" in done.text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.csv", "qrels.txt"], "slates: no file matches `nowhere.csv`"),
        (["a.run", "."], "`.` is a folder"),
        (["qrels.txt", "a.run"], "slates: qrels.txt looks like TREC qrels; expected SLATES first, then LABELS"),
        (["a.run", "a.run"], "labels: a.run looks like a TREC run"),
        (["a.run", "qrels.txt", "--format", "xml"], "--format xml: expected table, json, csv"),
        (["a.run", "qrels.txt", "--per-request", "x.xlsx"], "expected a name ending in .parquet or .csv"),
        (["a.run", "qrels.txt", "--per-request", "nowhere/x.csv"], "nowhere/x.csv: cannot be written"),
        (["a.run", "qrels.txt", "--columns", "score"], "--columns score: expected ours=theirs"),
        (["a.run", "qrels.txt", "-m", "diversity(by=item.x)@5"], "needs to know the items"),
        (["broken.run", "qrels.txt"], "1 of 2 lines are no `request Q0 item rank score tag`, the first is line 2"),
        (["latin.run", "qrels.txt"], "cannot be read as text in UTF-8"),
        (["half.parquet", "qrels.txt"], "half.parquet"),
        (["half.gz", "qrels.txt"], "half.gz"),
        (["empty", "qrels.txt"], "empty"),
        (["semicolons.csv", "qrels.txt"], "expected commas"),
        (["nan.run", "qrels.txt"], "1 of 2 scores are NaN"),
        (["*.mixed", "qrels.txt"], "files of several kinds"),
    ],
)  # fmt: skip
def test_bad_commands(files: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str) -> None:
    monkeypatch.chdir(files)
    broken: dict[str, bytes] = {
        "broken.run": b"q1 Q0 a 1 3.0 tag\nq1 Q0 b 2 x tag\n",
        "nan.run": b"q1 Q0 a 1 3.0 tag\nq1 Q0 b 2 nan tag\n",
        "latin.run": "q1 Q0 caf\u00e9 1 3.0 tag\n".encode("latin-1"),
        "half.parquet": b"PAR1 and then nothing",
        "half.gz": gzip.compress(RUN.encode())[:30],
        "empty": b"",
        "semicolons.csv": b"request_id;item_id;score\nq1;a;1\n",
        "one.mixed": RUN.encode(),
        "two.mixed": b"request_id,item_id,score\nq1,a,1\n",
    }
    for name, content in broken.items():
        (files / name).write_bytes(content)
    before = set(files.iterdir())
    assert_refused(command("score", *arguments), said)
    assert set(files.iterdir()) == before


def test_the_list_of_metrics() -> None:
    assert "ndcg@k = dcg@k / dcg@k of the ideal order" in command("metrics").out
    pages = {page["name"]: page for page in json.loads(command("metrics", "--json").out)}
    assert pages["gini"]["direction"] == "lower is better"
    assert len(pages) > 25


@pytest.mark.parametrize("make", [pl.DataFrame.to_pandas, pl.DataFrame.to_arrow, pl.DataFrame.lazy])
def test_frames_of_others(make: Callable[[pl.DataFrame], Any]) -> None:
    assert rankcast.score(make(GOOD), make(TRUE), ["rr"])["rr"].value == 0.5
