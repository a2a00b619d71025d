"""Wrong tables: refused at the border with table, column, counts and examples, all tables at once; nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tiny import TABLES, World, assert_refused, rankcast

Change = Callable[[pl.DataFrame], pl.DataFrame]
KEYS = {
    "requests": ("request_id", "user_id", "timestamp"),
    "items": ("item_id",),
    "availability": ("item_id", "open_at"),
    "impressions": ("request_id", "item_id", "rank"),
    "events": ("user_id", "item_id", "timestamp", "event"),
    "users": ("user_id",),
    "scores": ("request_id", "item_id", "score"),
}
COLUMNS = [(table, column) for table, columns in KEYS.items() for column in columns]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def refused(world: World, *said: str) -> None:
    assert_refused(world.run(), *said)
    assert world.left_behind() == []


def column(name: str, value: object) -> Change:
    """Every value of a column becomes this one."""
    return lambda frame: frame.with_columns(pl.lit(value).alias(name))


@pytest.mark.parametrize(("table", "name"), COLUMNS)
def test_missing_column(world: World, table: str, name: str) -> None:
    refused(world.table(table, lambda frame: frame.drop(name)).write(), table, f"`{name}`")


@pytest.mark.parametrize(("table", "name"), COLUMNS)
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_nulls(tmp_path: Path, ending: str, table: str, name: str) -> None:
    first_two = pl.int_range(pl.len()) < 2
    world = World(tmp_path, ending).table(
        table, lambda frame: frame.with_columns(pl.when(first_two).then(None).otherwise(pl.col(name)).alias(name))
    )
    refused(world.write(), f"{table}.{name}", "2 of ", "null (rows 1, 2)")


@pytest.mark.parametrize("name", ["timestamp"])
def test_nulls_name_their_column(tmp_path: Path, name: str) -> None:
    world = World(tmp_path, "csv").table("requests", column(name, None))
    refused(world.write(), f"requests.{name}", "12 of 12 values are null")


@pytest.mark.parametrize(("table", "name"), COLUMNS)
@pytest.mark.parametrize("value", [[1], b"a"], ids=["list", "bytes"])
def test_wrong_type(world: World, table: str, name: str, value: object) -> None:
    refused(world.table(table, column(name, value)).write(), f"{table}.{name}: ", ": expected ", "found ")


def test_all_tables_at_once(world: World) -> None:
    for table in KEYS:
        world.table(table, lambda frame: frame.drop(frame.columns[0]))
    refused(world.write(), "7 errors", *(f"{table}" for table in KEYS))


def test_wrong_mapping(world: World) -> None:
    world.service("tables", "items", "columns", to={"item_id": "sku", "wage": "pay"})
    refused(world.write(), "column `sku` is missing", "column `pay` is missing")


@pytest.mark.parametrize("table", ["requests", "items", "users", "scores"])
def test_duplicates(world: World, table: str) -> None:
    refused(world.table(table, lambda frame: pl.concat([frame, frame.head(2)])).write(), table, "2 rows repeat a (")


@pytest.mark.parametrize(
    ("table", "name", "value", "said"),
    [
        ("scores", "score", float("nan"), "96 of 96 scores are NaN"),
        ("impressions", "rank", 0, "36 of 36 ranks are below 1"),
        ("impressions", "rank", -1, "36 of 36 ranks are below 1"),
        ("impressions", "rank", 1.5, "are not an integer from 1, such as 1.5"),
        ("availability", "close_at", "2022-01-01T00:00:00Z", "close before they open"),
        ("requests", "timestamp", 1696204800, "turn epochs into time stamps with `sql`"),
        ("requests", "user_id", True, "expected an id (integer or text), found booleans"),
        ("items", "item_id", 1.5, "expected an id (integer or text), found numbers such as 1.5"),
        ("users", "user_id", 2**63, "such as 9223372036854775808"),
        ("users", "tenure", ["a"], "expected one value a row"),
    ],
)
def test_values(world: World, table: str, name: str, value: object, said: str) -> None:
    refused(world.table(table, column(name, value)).write(), f"{name}", said)


@pytest.mark.parametrize(
    "text", ["garbage", "01/02/2023", "2023-13-01", "1696204800", "", "2023-10-02T10:00:00 Asia/Tokyo"]
)
def test_time_stamps_in_csv(tmp_path: Path, text: str) -> None:
    world = World(tmp_path, "csv").table("requests", column("timestamp", text)).write()
    refused(world, "requests.timestamp", "12 of 12 values are not a time stamp", f'"{text}"')


@pytest.mark.parametrize("table", ["availability", "impressions", "events", "scores"])
def test_ids_of_another_type(world: World, table: str) -> None:
    world.table(table, lambda frame: frame.with_columns(pl.col("item_id").str.slice(1).cast(pl.Int64)))
    refused(world.write(), f"{table}.item_id: ", ": ids are integers, but text in `items`")


@pytest.mark.parametrize(
    ("ending", "content", "said"),
    [
        ("parquet", b"", "cannot be read as parquet"),
        ("parquet", b"item_id\ni1\n", "cannot be read as parquet"),
        ("parquet", b"PAR1" + b"x" * 100, "cannot be read as parquet"),
        ("csv", b"", "the file is empty; expected at least a header"),
        ("csv", b"item_id;kind\ni1;a\n", "column `item_id` is missing"),
        ("csv", b"item_id,kind\ni1,a,9,9\n", "cannot be read as csv"),
        ("csv", b"item_id,kind\n\xe9,a\n", "cannot be read as csv"),
        ("ndjson", b"", "cannot be read as ndjson"),
        ("ndjson", b'{"item_id": "i1"}\n{"item_id": \n', "cannot be read as ndjson"),
        ("ndjson", b"1\n2\n", "cannot be read as ndjson"),
    ],
)
def test_broken_files(tmp_path: Path, ending: str, content: bytes, said: str) -> None:
    world = World(tmp_path, ending).write()
    world.data("items").write_bytes(content)
    refused(world, "service.yaml:", "tables.items", said)


@pytest.mark.parametrize("path", ["data/x*.parquet", "data", "data/", "nope.parquet", "data/items.xlsx"])
@pytest.mark.parametrize("command", ["run", "check"])
def test_no_such_file(world: World, path: str, command: str) -> None:
    world.service("tables", "items", "path", to=path).write()
    (world.folder / "data/items.xlsx").write_bytes(b"x")
    assert_refused(world.run(command=command), "tables.items", f"{path}")


@pytest.mark.parametrize("change", [b"\xef\xbb\xbf", b"\r\n"], ids=["byte order mark", "CRLF"])
def test_harmless_csv(tmp_path: Path, change: bytes) -> None:
    world = World(tmp_path, "csv").write()
    raw = world.data("items").read_bytes()
    world.data("items").write_bytes(raw.replace(b"\n", change) if change == b"\r\n" else change + raw)
    assert world.run().code == 3


@pytest.mark.parametrize(
    "sql",
    ["SELEC 1", "", "SELECT 1; SELECT 2", "COPY raw TO 'x.csv'", "INSTALL httpfs", "SET threads=1", "ATTACH 'x.db'",
     "SELECT * FROM 'data/users.parquet'", "SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM nope",
     "SELECT nope FROM raw", "SELECT kind FROM raw", "SELECT 1.5 AS item_id", "SELECT NULL AS item_id FROM raw"],
)  # fmt: skip
def test_sql(world: World, sql: str) -> None:
    world.service("tables", "items", to={"sql": sql, "files": {"raw": "data/items.parquet"}})
    refused(world.write(), "service.yaml:", "tables.items")


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"match": {"request.nope": "item.kind"}}, "no column `nope` in the table of requests"),
        ({"match": {"request.wanted": "item.wage"}}, "they can never be equal"),
        ({"cap": {"by": "item.kin", "at_most": 2}}, "did you mean `kind`?"),
        ({"cap": {"by": "item.kind", "at_most": True}}, "expected an integer from 1"),
        ({"where": "item.wage >"}, "cannot be parsed"),
        ({"where": "item.nope"}, "no column `nope` in the table of items"),
        ({"where": "item.wage"}, "expected a boolean"),
        ({"where": "item.wage > 'x'"}, "cannot compare"),
        ({"where": "sum(item.wage) > 1"}, "one row at a time"),
    ],
)
def test_steps(world: World, step: dict[str, object], said: str) -> None:
    refused(world.service("production", "steps", to=[step]).write(), "service.yaml:", "production.steps[0]", said)


@pytest.mark.parametrize("place", [("production", "steps", 3), ("targets", "where")])
@pytest.mark.parametrize("text", ["wage > 1", "NOT nope", "foo.bar = 1", "score", "request.timestamp > '2023-10-01'"])
def test_where_says_where(world: World, place: tuple[str, ...], text: str) -> None:
    world.service(*place, to={"where": text} if place[0] == "production" else text)
    refused(world.write(), "service.yaml:", place[0])


@pytest.mark.parametrize("table", ["items", "availability", "impressions", "events", "users", "scores"])
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_table_without_rows_is_no_error(tmp_path: Path, ending: str, table: str) -> None:
    world = World(tmp_path, ending).table(table, lambda frame: frame.clear()).write()
    assert world.run().code in (0, 3, 4, 5)


def test_no_requests(world: World) -> None:
    refused(world.table("requests", lambda frame: frame.clear()).write(), "no rows; expected at least one request")


HOSTILE = [
    "a/../b",
    "a\nb",
    "👩‍👩‍👧",
    "\u202e",
    "\x1b[31m",
    "<script>alert(1)</script>",
    "a\x00",
    "007",
    "-1",
    "\"',;`|",
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=repr)
def test_hostile_ids_do_no_harm(world: World, hostile: str) -> None:
    for table, frame in world.tables.items():
        ids = [name for name in ("request_id", "user_id", "item_id") if name in frame.columns]
        world.tables[table] = frame.with_columns((pl.lit(hostile) + pl.col(name)).alias(name) for name in ids)
    outcome = world.write().run()
    assert outcome.code == 3
    assert "\x1b" not in outcome.text
    (report,) = world.folder.glob("runs/first/*/report.html")
    assert "<script>alert" not in report.read_text(encoding="utf-8")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_segment_values_that_json_cannot_hold(world: World, value: float) -> None:
    assert world.table("users", column("tenure", value)).write().run().code == 3


@pytest.mark.parametrize("value", ["\x1b[31m", "\ufffe"], ids=ascii)
def test_segment_values_that_xml_cannot_hold(world: World, value: str) -> None:
    world.table("users", column("tenure", value)).write()
    command = [sys.executable, "-c", "from rankcast.cli import main; main()", "run", "study.yaml", "-q"]
    done = subprocess.run(command, cwd=world.folder, capture_output=True, check=False)
    assert done.returncode == 3


def test_far_times(world: World) -> None:
    far = pl.Series([2**62] * 12).cast(pl.Datetime("ms", "UTC"))
    world.table("requests", lambda frame: frame.with_columns(timestamp=far))
    refused(world.write(), "requests.timestamp")


def test_sql_of_an_odd_type(world: World) -> None:
    odd = {"sql": "SELECT * FROM duckdb_settings()", "files": {"raw": "data/items.parquet"}}
    refused(world.service("tables", "items", to=odd).write(), "tables.items")


def test_short_csv_rows(tmp_path: Path) -> None:
    world = World(tmp_path, "csv").write()
    world.data("items").write_text("item_id,kind,wage,is_test\ni1,a\ni2,a,1,false\n")
    refused(world, "tables.items")


def test_no_empty_folder_is_left(world: World) -> None:
    assert_refused(world.service("production", "steps", to=[{"where": "item.nope"}]).write().run())
    assert not (world.folder / "runs" / "first").exists()


def test_check_looks_at_every_file(world: World) -> None:
    world.service("tables", "items", "path", to="data/i/*.parquet").write()
    (world.folder / "data/i").mkdir()
    TABLES["items"].head(4).write_parquet(world.folder / "data/i/a.parquet")
    TABLES["items"].tail(4).drop("item_id").write_parquet(world.folder / "data/i/b.parquet")
    assert_refused(world.run(command="check"), "item_id")


def test_check_knows_the_columns(world: World) -> None:
    world.study("segments", to=["user.nope"]).write()
    assert_refused(world.run(command="check"), "no column `nope`")


@pytest.mark.parametrize("sql", ["SELECT * FROM ${SECRET}", "SELECT error('${SECRET}') AS item_id", "SELEC ${SECRET}"])
def test_values_of_variables_stay_hidden(world: World, monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    world.service("tables", "items", to={"sql": sql, "files": {"raw": "data/items.parquet"}}).write()
    for command in ("run", "check", "explain"):
        assert "hunter2" not in world.run(command=command).text


def test_values_of_variables_stay_out_of_the_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    world.service("tables", "items", "path", to="${SECRET}/items.parquet").write()
    (world.folder / "hunter2").mkdir()
    world.data("items").rename(world.folder / "hunter2/items.parquet")
    assert "hunter2" not in world.run("--json").text
    assert not [name for name in world.left_behind() if b"hunter2" in (world.folder / "runs" / name).read_bytes()]


def test_values_of_variables_stay_hidden_in_the_place(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    world.study("service", to="${SECRET}/service.yaml").write()
    (world.folder / "hunter2").mkdir()
    (world.folder / "hunter2/service.yaml").write_text("foo: [\n")
    assert "hunter2" not in world.run().text


def test_out_cannot_be_written(world: World) -> None:
    world.write()
    (world.folder / "runs").write_text("a file")
    assert_refused(world.run(), "is a file; expected a folder")


def test_the_same_study_again(world: World) -> None:
    first = world.write().run()
    before = world.left_behind()
    assert (world.run().code, world.left_behind()) == (first.code, before)


def test_a_broken_manifest(world: World) -> None:
    world.write().run()
    (manifest,) = world.folder.glob("runs/first/*/manifest.json")
    manifest.write_text("{")
    manifest.with_name("summary.json").unlink()  # which would do for a list
    listed = rankcast("runs", "--out", str(world.folder / "runs"))
    assert (listed.code, "manifest.json cannot be read" in listed.text) == (0, True)


def test_init_from_requests_only(tmp_path: Path) -> None:
    TABLES["requests"].write_csv(tmp_path / "requests.csv")
    assert_refused(rankcast("init", str(tmp_path)), "there is no list to judge")


def test_init_finds_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text("{")
    assert_refused(rankcast("init", str(tmp_path)), "no data file")
    assert_refused(rankcast("init", str(tmp_path / "nope")), "no such folder")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_killed_in_the_middle(world: World, how: signal.Signals) -> None:
    big = world.table("scores", lambda frame: pl.concat([frame, *_more(frame)])).write()
    command = [sys.executable, "-c", "from rankcast.cli import main; main()", "run", "study.yaml"]
    process = subprocess.Popen(command, cwd=big.folder, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    next(line for line in process.stderr if "label" in line)
    time.sleep(0.02)
    os.kill(process.pid, how)
    left = process.stderr.read()
    assert process.wait() in ({130, 3} if how == signal.SIGINT else {-9, 3})
    assert "Traceback" not in left
    visible = [path for path in (big.folder / "runs").glob("*/*") if not path.name.startswith(".")]
    assert all(json.loads((path / "result.json").read_text()) for path in visible)
    assert big.run().code == 3
    assert len(list((big.folder / "runs/first").iterdir())) == 1


def test_after_a_kill_in_a_container(world: World) -> None:
    world.write().run()
    (folder,) = (world.folder / "runs/first").iterdir()
    folder.rename(folder.with_name(f".{folder.name}.partial-abc123"))
    assert world.run().code == 3


def _more(frame: pl.DataFrame) -> list[pl.DataFrame]:
    return [frame.with_columns(item_id=pl.lit(f"x{number}-") + pl.col("item_id")) for number in range(1000)]


def test_two_processes_at_once(world: World) -> None:
    world.write()
    command = [sys.executable, "-c", "from rankcast.cli import main; main()", "run", "study.yaml", "-q"]
    both = [subprocess.Popen(command, cwd=world.folder, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [(process.communicate()[1], process.returncode) for process in both] == [("", 3), ("", 3)]
    assert len(list((world.folder / "runs/first").iterdir())) == 1
