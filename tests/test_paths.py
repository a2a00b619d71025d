"""Where files are found: odd folders, globs, variables; and what `init` makes of ordinary logs."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from rankcast.study import plan as plan_of
from tiny import TABLES, World, assert_refused, rankcast


def fingerprints(world: World) -> dict[str, int | None]:
    (manifest,) = world.folder.glob("runs/*/*/manifest.json")
    return {one["path"]: one["rows"] for one in json.loads(manifest.read_text())["data"]}


@pytest.mark.parametrize("name", ["p [old]", "a*b", "what?", "{x}", "å b"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    world = World(tmp_path / name).study("study", to="first [1]").write()
    assert world.run().code == 3
    (run,) = (tmp_path / name / "runs" / "first [1]").iterdir()
    assert rankcast("report", str(run)).code == 0


def test_a_file_whose_name_looks_like_a_glob(tmp_path: Path) -> None:
    world = World(tmp_path).service("tables", "items", to={"path": "data/items[1].parquet"}).write()
    world.data("items").rename(tmp_path / "data" / "items[1].parquet")
    assert world.run().code == 3


def test_globs_and_lists_give_each_file_its_fingerprint(tmp_path: Path) -> None:
    world = World(tmp_path).service("tables", "events", to={"path": ["data/e*/part.parquet", "data/events.parquet"]})
    world.write()
    frame = pl.read_parquet(world.data("events"))
    for number, part in enumerate((frame[:3], frame[3:5])):
        (tmp_path / f"data/e{number}").mkdir()
        part.write_parquet(tmp_path / f"data/e{number}/part.parquet")
    frame[5:].write_parquet(world.data("events"))
    assert world.run().code == 3
    rows = fingerprints(world)
    assert (rows["data/e0/part.parquet"], rows["data/e1/part.parquet"], rows["data/events.parquet"]) == (
        3,
        2,
        len(frame) - 5,
    )


def test_a_path_that_a_variable_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path / "here").service("tables", "items", to={"path": "${ELSEWHERE}/items.parquet"})
    (tmp_path / "here").mkdir()
    world.write()
    (tmp_path / "treasure").mkdir()
    world.data("items").rename(tmp_path / "treasure" / "items.parquet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ELSEWHERE", "treasure")  # relative to where the command runs, as in a shell
    assert world.run().code == 3
    assert fingerprints(world)["${ELSEWHERE}/items.parquet"] == 8
    written = [path.read_text(errors="ignore") for path in (tmp_path / "here").glob("runs/*/*/*.*")]
    assert not any("treasure" in text for text in written)
    monkeypatch.setenv("ELSEWHERE", "nowhere")
    refused = world.run()
    assert_refused(refused, "no file matches `${ELSEWHERE}/items.parquet`", "where the command runs")
    assert "nowhere" not in refused.text


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    world = World(tmp_path).service("tables", "items", to={"path": "data"}).write()
    assert_refused(world.run(), "`data` is a folder; expected files, such as `data/*.parquet`")


def test_one_problem_does_not_hide_ids_of_another_type(tmp_path: Path) -> None:
    world = World(tmp_path).table("items", lambda frame: frame.with_columns(item_id=pl.int_range(8)))
    world.table("impressions", lambda frame: frame.with_columns(rank=pl.lit(0))).write()
    assert_refused(world.run(), "ranks are below 1", "ids are text, but integers in `items`")


# --- init ---


def test_init_takes_daily_files_for_one_table(tmp_path: Path) -> None:
    for day in range(12):
        (tmp_path / f"requests/dt={day:02}").mkdir(parents=True)
        TABLES["requests"][day : day + 1].write_csv(tmp_path / f"requests/dt={day:02}/part-0.csv")
    for name in ("items", "impressions", "users"):
        TABLES[name].write_csv(tmp_path / f"{name}.csv")
    TABLES["scores"].write_csv(tmp_path / "production.csv")
    renamed = {"user_id": "member", "item_id": "product_id", "timestamp": "at", "event": "action"}
    TABLES["events"].rename(renamed).write_csv(tmp_path / "events.csv")
    done = rankcast("init", str(tmp_path))
    assert done.code == 0, done.text
    service = (tmp_path / "service.yaml").read_text()
    assert "requests/**/*.csv" in service
    assert "columns: {user_id: member, item_id: product_id, timestamp: at, event: action}" in service
    assert "grades: {apply: 1, click: 1}" in service or "grades: {click: 1, apply: 1}" in service
    assert "period: {from: 2023-10-02, to: 2023-10-07}" in (tmp_path / "studies/first.yaml").read_text()
    assert rankcast("check", str(tmp_path / "studies/first.yaml")).code == 0


def test_init_writes_names_that_yaml_would_read_otherwise(tmp_path: Path) -> None:
    for name in ("requests", "items", "impressions"):
        TABLES[name].write_csv(tmp_path / f"{name}.csv")
    for variant in ("1e5", "0x1F", "a, b"):
        TABLES["scores"].write_csv(tmp_path / f"{variant}.csv")
    TABLES["events"].with_columns(event=pl.lit(".inf")).write_csv(tmp_path / "events.csv")
    assert rankcast("init", str(tmp_path)).code == 0
    plan = plan_of(tmp_path / "studies/first.yaml")
    assert {"1e5", "0x1F", "a, b"} < set(plan.study.variants)
    assert plan.study.baseline == "0x1F"
    assert {kind: one.grade for kind, one in plan.service.labels.grades.items()} == {".inf": 1}


def test_init_says_what_looked_most_like_requests(tmp_path: Path) -> None:
    for name in "abcdefg":
        pl.DataFrame({"x": [1], name: [2]}).write_csv(tmp_path / f"{name}.csv")
    pl.DataFrame({"request_id": [1], "user_id": [1]}).write_csv(tmp_path / "z.csv")
    assert_refused(rankcast("init", str(tmp_path)), "most like it: z.csv (request_id, user_id)")
