"""What must not change a result: the split into shards, the order of rows, duplicates, the size of ids, another run."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

import rankcast
import rankcast.study
from worlds import KNOBS, World

SEEDS = range(6)
BIG = 2**60  # a float has no room for such ids


def world(seed: int, **fixed: Any) -> World:
    chance = Random(f"invariance/{seed}")
    return World(seed, {name: chance.choice(choices) for name, choices in KNOBS.items()} | fixed)


def results(study: Path, out: str, without_counts: bool = False) -> str:
    """The bytes of everything that a run found, with its tables."""
    run = rankcast.run(study, out=study.parent / out)
    found = run.result.document()
    found["results"].pop("counts" if without_counts else "", None)
    if without_counts:
        found["results"]["targets"] = [row for row in found["results"]["targets"] if row["step"] != "duplicate"]
    slates = pl.read_parquet(run.folder / "slates" / "*.parquet").sort("variant", "request_id", "rank")
    tables = [slates, *(pl.read_parquet(run.folder / name / "*.parquet") for name in ("values", "labels"))]
    return json.dumps([found["decision"], found["results"], [table.write_ndjson() for table in tables]], sort_keys=True)


def figures(study: Path, out: str) -> Any:
    return rankcast.run(study, out=study.parent / out).result.document()["results"]


def rewrite(folder: Path, name: str, change: Any) -> None:
    """Change the rows of every file of a table; csv as the text that it is."""
    for file in filter(Path.is_file, [*(folder / "data").rglob("*"), *(folder / "scores").rglob("*")]):
        if name not in str(file.relative_to(folder)):
            continue
        csv = file.suffix == ".csv"
        frame = change(pl.read_csv(file, infer_schema=False) if csv else pl.read_parquet(file))
        frame.write_csv(file) if csv else frame.write_parquet(file)


@pytest.mark.parametrize("seed", SEEDS)
def test_shards(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for study in world(seed).write(tmp_path):
        whole = results(study, "whole")
        for rows in (1, 100):
            monkeypatch.setattr(rankcast.study, "SHARD_ROWS", rows)
            assert results(study, f"rows-{rows}") == whole
        monkeypatch.undo()


@pytest.mark.parametrize("seed", SEEDS)
def test_order_of_rows_columns_and_a_repeated_run(seed: int, tmp_path: Path) -> None:
    for study in world(seed, parts=False).write(tmp_path):
        before = results(study, "before")
        assert results(study, "again") == before
        rewrite(tmp_path, "", lambda frame: frame.sample(fraction=1, shuffle=True).select(sorted(frame.columns)))
        assert results(study, "after") == before


@pytest.mark.parametrize("seed", SEEDS)
def test_duplicate_events_and_intervals(seed: int, tmp_path: Path) -> None:
    for study in world(seed, tables="all", events="some").write(tmp_path):
        before = results(study, "before", without_counts=True)
        for name in ("events", "availability"):
            rewrite(tmp_path, name, lambda frame: pl.concat([frame, frame.head(len(frame) // 2)]))
        assert results(study, "after", without_counts=True) == before


def shift(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col(name) + BIG for name in frame.columns if name.endswith("_id"))


@pytest.mark.parametrize("seed", SEEDS[:4])
def test_big_ids(seed: int, tmp_path: Path) -> None:
    for study in world(seed, ids="int", form="parquet", mapped=False, coverage=False).write(tmp_path):
        before = figures(study, "before")
        rewrite(tmp_path, "", shift)
        after = figures(study, "after")
        for one in (before, after):
            (one["fidelity"] or {}).pop("examples", None)  # they name ids
            one.pop("influence")
            for row in one["items"]:
                row.pop("item_id")
            for row in one["shown"]:
                row.pop("examples")
        assert after == before


SERVICE = """
rankcast: 1
service: s
tables:
  requests: {path: "../requests/*.csv"}
  events: {path: "../events/*.csv", complete_until: "2023-10-05"}
  items: {path: ../items.csv}
production: {served: 2, steps: [{cap: {by: item.company, at_most: 1}}]}
labels: {grades: {click: 1}, horizon: 1d}
targets: {without_labels: zero}
"""
STUDY = """
rankcast: 1
study: t
service: service.yaml
period: {from: 2023-10-02, to: 2023-10-03}
variants: {production: {scores: {path: scores.csv}}}
baseline: production
metrics: {primary: dcg@2}
"""


def hand(folder: Path, items: tuple[int, int] = (10, 11), companies: tuple[int, int] = (1, 2)) -> Path:
    """Two requests, two items of two companies, and two folders with a file of the same name."""
    scores = [f"{n},{items[at]},{5 - at}" for n in (1, 2) for at in (0, 1)]
    events = [f"{n},{items[1]},2023-10-02T02:00,click,{n}" for n in (1, 2)]
    files = {
        "requests/part-0.csv": ["request_id,user_id,timestamp", *(f"{n},{n},2023-10-02T01:00" for n in (1, 2))],
        "events/part-0.csv": ["user_id,item_id,timestamp,event,request_id", *events],
        "items.csv": ["item_id,company", *(f"{items[at]},{companies[at]}" for at in (0, 1))],
        "study/scores.csv": ["request_id,item_id,score", *scores],
        "study/service.yaml": [SERVICE],
        "study/study.yaml": [STUDY],
    }
    for name, lines in files.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder / "study" / "study.yaml"


def test_big_attributes_in_csv_stay_apart(tmp_path: Path) -> None:
    small, big = hand(tmp_path / "small"), hand(tmp_path / "big", companies=(BIG, BIG + 1))
    assert figures(big, "out") == figures(small, "out")


def test_big_ids_in_csv_are_integers(tmp_path: Path) -> None:
    study = hand(tmp_path, items=(BIG, BIG + 1))
    pl.DataFrame({"item_id": [BIG, BIG + 1], "company": [1, 2]}).write_parquet(tmp_path / "items.parquet")
    study.with_name("service.yaml").write_text(SERVICE.replace("items.csv", "items.parquet"))
    assert figures(study, "out")["metrics"][0]["value"] > 0


def test_every_file_counts_in_the_identity(tmp_path: Path) -> None:
    runs = {rankcast.run(study := hand(tmp_path), out=tmp_path / "out").folder}
    for file in (tmp_path / "events" / "part-0.csv", tmp_path / "requests" / "part-0.csv"):
        file.write_text(file.read_text().replace("T02:00", "T03:00").replace("T01:00", "T01:30"))
        runs.add(rankcast.run(study, out=tmp_path / "out").folder)
    assert len(runs) == 3
