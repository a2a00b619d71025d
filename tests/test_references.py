"""Metrics against what independent programs printed: trec_eval, pytrec_eval, ir_measures and its back ends, LensKit for Java."""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from pathlib import Path

import polars as pl
import pytest

import rankcast
from rankcast.scoring.scores import Scores

# --- trec_eval: every measure that is offered, as it printed it ---

TREC = {
    "map": "ap", "Rprec": "r_precision", "bpref": "bpref", "recip_rank": "rr", "ndcg": "ndcg", "set_P": "precision",
    "set_recall": "recall", "set_F": "f1", "P_{}": "precision@{}", "recall_{}": "recall@{}", "ndcg_cut_{}": "ndcg@{}",
    "map_cut_{}": "ap@{}", "success_{}": "hit@{}", "relative_P_{}": "recall(norm=cut)@{}",
    "unj_{}": "unjudged(norm=cut)@{}", "num_ret": "list_length",
}  # fmt: skip


def printed(path: Path) -> dict[str, dict[str, float]]:
    """topic -> measure -> value, of the measures that are offered."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for line in path.read_text().splitlines():
        measure, topic, value = line.split()
        if ours(measure) is not None:
            found[topic][measure] = float(value)
    return found


def ours(measure: str) -> str | None:
    """Our metric of a measure of trec_eval; None where there is none."""
    word, number = re.fullmatch(r"(.*?)(?:_([0-9]+))?", measure).groups()
    known = TREC.get(measure) if number is None else TREC.get(word + "_{}")
    return None if known is None else known.format(number)


@pytest.mark.parametrize(
    ("run", "expected", "missing"),
    [
        ("results.test", "out.test.aq", "exclude"),
        ("results.trunc", "out.test.aqc", "zero"),
    ],
)
def test_trec_eval(shared_data: Path, run: str, expected: str, missing: str) -> None:
    folder = shared_data / "trec_eval"
    topics = printed(folder / expected)
    measures = sorted(topics["all"])
    assert len(measures) > 40
    scores = rankcast.score(
        folder / run,
        folder / "qrels.test",
        [ours(measure) for measure in measures],
        ties="reverse_item_id",
        missing=missing,
    )
    values = {row["request_id"]: row for row in scores.values.to_dicts()}
    for topic, known in topics.items():
        for measure, value in known.items():
            name = ours(measure)
            total = len(values) if measure == "num_ret" else 1  # the program adds these up
            found = scores[name].value * total if topic == "all" else values[topic][name]
            assert found == pytest.approx(value, abs=0.00005001), (topic, measure)


def test_rbp_of_trec_eval(shared_data: Path) -> None:
    """It reads on with probability 0.9; our `rbp` alone is that of the design, 0.8."""
    folder = shared_data / "trec_eval"
    known = [line.split() for line in (folder / "out.test.aq").read_text().splitlines()]
    expected = {topic: float(value) for measure, topic, value in known if measure == "rbp"}
    scores = rankcast.score(folder / "results.test", folder / "qrels.test", "rbp(p=0.9)", ties="reverse_item_id")
    found = dict(scores.values.rows()) | {"all": scores["rbp(p=0.9)"].value}
    assert found == {topic: pytest.approx(value, abs=0.00005001) for topic, value in expected.items()}


def test_the_measures_names_are_understood(shared_data: Path) -> None:
    for measure in printed(shared_data / "trec_eval" / "out.test.a")["all"]:
        (parsed,) = rankcast.score({"q": {"d": 1.0}}, {"q": {"d": 1}}, [measure]).scores
        assert parsed == ours(measure)


# --- pytrec_eval ---


def test_pytrec_eval(shared_data: Path) -> None:
    known = json.loads((shared_data / "pytrec_eval" / "cases.json").read_text())
    checked = 0
    for case in known["cases"]:
        if "expected" in case:
            scores = rankcast.score(case["run"], known["qrels"], list(case["expected"]), missing="exclude")
            row = next(row for row in scores.values.to_dicts() if row["request_id"] == case["query"])
            assert list(row.values())[1:] == pytest.approx(list(case["expected"].values()))
            checked += len(case["expected"])
    assert checked > 5


# --- ir_measures: pytrec_eval, gdeval, ranx and cwl as its back ends ---

IR = {
    "NumRet": "list_length", "SetR(rel=1)": "recall", "SetR(rel=2)": "recall(level=2)", "SetR(rel=3)": "recall(level=3)",
    "SetF(rel=1)": "f1", "SetF(rel=3)": "f1(level=3)", "AP": "ap", "AP(rel=2)": "ap(level=2)", "ERR @ 20": "err@20",
    "ERR @ 2": "err@2",
}  # fmt: skip


def test_ir_measures(shared_data: Path, tmp_path: Path) -> None:
    known = json.loads((shared_data / "ir_measures" / "expected.json").read_text())
    checked = 0
    for name, case in known["cases"].items():
        (tmp_path / "run").write_text(case["run"])
        (tmp_path / "qrels").write_text(case["qrels"])
        rows = [row for row in known["rows"] if row["case"] == name and row["measure"] in IR]
        scores = rankcast.score(
            tmp_path / "run", tmp_path / "qrels", {IR[row["measure"]] for row in rows}, ties="reverse_item_id"
        )
        values = {row["request_id"]: row for row in scores.values.to_dicts()}
        for row in rows:
            metric, query = IR[row["measure"]], row["query_id"]
            found = scores[metric].value if query == "all" else values[query][metric]
            scale = len(values) if row["measure"] == "NumRet" and query == "all" else 1
            assert found * scale == pytest.approx(row["expected"], abs=0.00005001), row
            checked += 1
    assert checked == 30


def test_user_models_of_cwl(shared_data: Path) -> None:
    folder = shared_data / "ir_measures"
    names = {
        "AP": "ap",
        "RR": "rr",
        "RBP(p=0.9, rel=1)": "rbp(p=0.9)",
        **{f"P@{k}": f"precision@{k}" for k in (1, 5, 10, 20)},
    }
    scores = rankcast.score(folder / "cwl.run", folder / "cwl.qrels", list(names.values()))
    values = {row["request_id"]: row for row in scores.values.to_dicts()}
    checked = 0
    with (folder / "cwl_expected.csv").open() as stream:
        for row in csv.DictReader(stream):
            if row["measure"] in names:
                found = values[row["query_id"]][names[row["measure"]]]
                assert found == pytest.approx(float(row["value"]), abs=0.00010001), row
                checked += 1
    assert checked == 3 * len(names)


def test_scaled_dcg_of_cwl(shared_data: Path) -> None:
    """Its SDCG@10 divides by the discounts of ten perfect items: dcg over the same constant."""
    folder = shared_data / "ir_measures"
    values = rankcast.score(folder / "cwl.run", folder / "cwl.qrels", ["dcg@10"]).values
    best = rankcast.score(
        {"q": {str(n): -float(n) for n in range(10)}}, {"q": {str(n): 1 for n in range(10)}}, ["dcg@10"]
    )
    for query, expected in (("T1", 0.5645), ("T2", 0.6531), ("T3", 0.2848)):
        found = values.filter(pl.col("request_id") == query)["dcg@10"][0]
        assert found / best["dcg@10"].value == pytest.approx(expected, abs=0.00010001)


# --- LensKit for Java: another discount ---


def test_lenskit_for_java(shared_data: Path) -> None:
    folder = shared_data / "lenskit_java_topn"
    known = pl.read_csv(folder / "metrics.csv.gz")
    recs, truth = pl.read_csv(folder / "recs.csv.gz"), pl.read_csv(folder / "truth.csv.gz")
    columns = {"user_id": "user", "item_id": "item"}
    checked = 0
    for (algorithm,), rows in known.group_by("Algorithm"):
        lists = recs.filter(pl.col("Algorithm") == algorithm)
        scores = rankcast.score(
            lists.drop("score"), truth, ["ndcg(discount=log2_from_2)", "rr", "ndcg"], columns=columns
        )
        values = {row["request_id"]: row for row in scores.values.to_dicts()}
        for row in rows.to_dicts():
            if row["user"] in lists["user"].to_list():
                found = values[row["user"]]
                assert found["ndcg(discount=log2_from_2)"] == pytest.approx(row["Java.nDCG"], abs=1e-9)
                assert found["rr"] == pytest.approx(row["Java.RecipRank"], abs=1e-9)
                checked += 1
    assert checked > 40
    assert _differs(scores)


def _differs(scores: Scores) -> bool:
    return scores["ndcg"].value != pytest.approx(scores["ndcg(discount=log2_from_2)"].value, abs=1e-4)
