"""What is tried besides the replay itself (another batch, another clock, a step less) may fail without spoiling anything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import rankcast.study
from tiny import GONE, World, assert_refused
from tiny import rankcast as command

STRANGER = pl.when(pl.col("item_id") == "i1").then(pl.lit("gone")).otherwise("item_id").alias("item_id")
BY_WAGE = {"rerank": {"sql": "score * (1 + item.wage)"}}  # null for an item that is not in `items`


def result(world: World) -> dict[str, Any]:
    (path,) = world.folder.glob("runs/*/*/result.json")
    return dict(json.loads(path.read_text())["results"])


def test_an_older_batch_that_a_step_refuses_was_shown_to_nobody(tmp_path: Path) -> None:
    world = World(tmp_path).service("production", "steps", to=[BY_WAGE]).study("variants", "new", to=GONE)
    newer = world.tables["scores"].with_columns(computed_at=pl.lit("2023-10-01T00:00:00Z"))
    older = newer.with_columns(STRANGER, computed_at=pl.lit("2023-09-01T00:00:00Z"))
    world.table("scores", lambda _: pl.concat([newer, older])).write()
    outcome = world.run()
    assert outcome.code in (0, 3, 4), outcome.err
    assert all("batch older" not in one["what"] for one in result(world)["fidelity"]["suspects"])


def test_a_step_that_a_later_one_needs_is_told_whatever_the_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a request without impressions cannot do without the filter: the figure is over the others."""
    world = World(tmp_path).service("production", "steps", to=[{"where": "item.wage IS NOT NULL"}, BY_WAGE])
    world.service("targets", "where", to=GONE)
    world.table("scores", lambda rows: rows.with_columns(
        pl.when(pl.col("request_id") == "r04").then(STRANGER).otherwise("item_id").alias("item_id"))
    )  # fmt: skip
    world.table("impressions", lambda rows: rows.filter(~pl.col("request_id").is_in(["r00", "r04", "r08"]))).write()
    found = []
    for rows in (4_000_000, 3):
        monkeypatch.setattr(rankcast.study, "SHARD_ROWS", rows)
        shutil.rmtree(tmp_path / "runs", ignore_errors=True)
        assert world.run().code in (0, 3, 4)
        found.append(result(world)["fidelity"]["without_step"])
    assert found[0] == found[1]
    assert set(found[0]) == {"where", "rerank"}


@pytest.mark.parametrize("name", ["candidates", "served"])
def test_words_of_the_report_are_no_names(tmp_path: Path, name: str) -> None:
    world = World(tmp_path).service("production", "steps", 1, to={"available": None, "name": name}).write()
    assert_refused(world.run(), "production.steps[1].name", f"`{name}` is a word of the report")


def test_a_score_file_without_rows_is_checked_too(tmp_path: Path) -> None:
    world = World(tmp_path, ending="csv").write()
    world.data("new").write_text("foo,bar\n")
    assert_refused(world.run(), "column `item_id` is missing", "neither `score` nor `rank` is there")


def test_an_argument_with_a_default_is_none_of_our_business(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "defaults_of.py").write_text(
        "def score(requests, candidates, k=10):\n    assert k == 10\n    return [float(k)] * len(candidates)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    world = World(tmp_path).study("variants", "new", to={"python": "defaults_of:score"}).write()
    assert world.run().code in (0, 3, 4)


def test_variables_are_inputs_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SURFACE", "home")
    world = World(tmp_path).service("targets", "where", to="request.surface = '${SURFACE}'").write()
    assert world.run().code in (0, 3, 4)
    (run,) = (path.parent for path in tmp_path.glob("runs/*/*/result.json"))
    monkeypatch.setenv("SURFACE", "search")
    assert_refused(command("run", "--from", str(run), "--out", str(tmp_path / "again")), "SURFACE", "has changed")
