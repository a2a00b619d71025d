"""Past online tests in a table: long and wide; csv, ndjson, parquet and SQL; numbers that are none."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scipy import stats

from rankcast.runs.folder import Run
from tiny import Outcome, World, assert_refused, rankcast

METRICS = ("--online", "ctr", "--offline", "mrr")
HEAD = "test,variant,ctr,ctr_se,mrr,mrr_se,start,end,launched,excluded\n"


def told(folder: Path, text: str, *more: str) -> Outcome:
    """`rankcast history report` of a csv file."""
    (folder / "past.csv").write_text(text, encoding="utf-8")
    return of_file(folder / "past.csv", *more)


def of_file(path: Path, *more: str) -> Outcome:
    return rankcast("history", "report", str(path), "--out", str(path.parent / "none"), "--json", *more)


def links(outcome: Outcome) -> list[dict[str, Any]]:
    assert outcome.code == 0, outcome.text
    return list(json.loads(outcome.out)["links"])


def pairs(outcome: Outcome) -> list[dict[str, Any]]:
    (link,) = links(outcome)
    return list(link["pairs"])


def wide(count: int) -> pl.DataFrame:
    """Tests with an offline and an online number each."""
    at = pl.int_range(count, eager=True)
    return pl.DataFrame(
        {
            "test": [f"t{n}" for n in range(count)],
            "variant": "new",
            "ctr": 0.01 * (at % 4) - 0.005,
            "ctr_se": 0.004,
            "mrr": 0.02 * (at % 5) - 0.01 * (at % 2),
            "mrr_se": 0.005,
            "start": [f"2022-{n + 1:02}-01" for n in range(count)],
            "end": [f"2022-{n + 1:02}-09" for n in range(count)],
            "launched": ["yes", "no"] * (count // 2) + ["yes"] * (count % 2),
        }
    )


def long(count: int) -> pl.DataFrame:
    """The same, a row a pair of metrics."""
    return wide(count).select(
        "test", "variant", "start", "end", "launched",
        offline_metric=pl.lit("mrr"), offline="mrr", offline_se="mrr_se",
        online_metric=pl.lit("ctr"), online="ctr", online_se="ctr_se",
    )  # fmt: skip


# --- Layouts and files ---


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "ndjson", "parquet"])
@pytest.mark.parametrize("layout", ["long", "wide"])
def test_every_layout_and_file_says_the_same(tmp_path: Path, layout: str, ending: str) -> None:
    frame = long(7) if layout == "long" else wide(7)
    path = tmp_path / f"past.{ending}"
    if ending == "parquet":
        frame.with_columns(pl.col("start", "end").str.to_date()).write_parquet(path)
    elif ending == "ndjson":
        frame.write_ndjson(path)
    else:
        import gzip

        (gzip.open if ending == "csv.gz" else open)(path, "wb").write(frame.write_csv().encode())
    (link,) = links(of_file(path, *(METRICS if layout == "wide" else ())))
    source = wide(7)
    for shown, column in (("offline", "mrr"), ("online", "ctr")):
        assert [one[shown] for one in link["pairs"]] == pytest.approx([math.log1p(v) for v in source[column]])
        errors = [error / (1 + value) for error, value in source.select(f"{column}_se", column).rows()]
        assert [one[f"{shown}_error"] for one in link["pairs"]] == pytest.approx(errors)
    assert [one["start"] for one in link["pairs"]] == source["start"].to_list()
    assert [one["launched"] for one in link["pairs"]] == [value == "yes" for value in source["launched"]]
    x, y = ([math.log1p(value) for value in source[name]] for name in ("mrr", "ctr"))
    for name, call in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr), ("kendall", stats.kendalltau)):
        assert link[name]["value"] == pytest.approx(call(x, y).statistic, abs=1e-9), name


def test_columns_of_other_names(tmp_path: Path) -> None:
    frame = wide(6).rename({"test": "experiment", "start": "begin"})
    frame.write_csv(tmp_path / "past.csv")
    found = pairs(of_file(tmp_path / "past.csv", *METRICS, "--columns", "test=experiment", "--columns", "start=begin"))
    assert [(one["test"], one["start"][:7]) for one in found] == [(f"t{n}", f"2022-{n + 1:02}") for n in range(6)]


@pytest.mark.parametrize("scale", ["relative", "absolute", "level"])
def test_scales(tmp_path: Path, scale: str) -> None:
    (one,) = pairs(told(tmp_path, HEAD + "a,v,5%,0.1,0.25,0.5%,,,,\n", *METRICS, "--scale", scale))
    shown = [one[key] for key in ("online", "online_error", "offline", "offline_error")]
    if scale == "relative":
        assert shown == pytest.approx([math.log(1.05), 0.1 / 1.05, math.log(1.25), 0.005 / 1.25])
    else:
        assert shown == [0.05, 0.1, 0.25, 0.005]


LEVELS = "variant,clicks,shown,mrr\na,10,100,0.1\nb,30,200,0.2\nc,0,100,0.05\n"
RATIO = ("--online", "clicks/shown", "--offline", "mrr", "--scale", "level")


def test_ratios_of_counts(tmp_path: Path) -> None:
    found = pairs(told(tmp_path, LEVELS, *RATIO))
    assert [one["online"] for one in found] == [0.1, 0.15, 0.0]
    assert [one["online_error"] for one in found][:2] == pytest.approx(
        [math.sqrt(0.1 * 0.9 / 100), math.sqrt(0.15 * 0.85 / 200)]
    )


def test_levels_against_a_control(tmp_path: Path) -> None:
    text = LEVELS.replace("c,0,", "c,4,")
    b, c = pairs(told(tmp_path, text, *RATIO, "--control", "a"))
    assert (b["online"], c["online"]) == pytest.approx((math.log(1.5), math.log(0.4)))
    assert (b["offline"], c["offline"]) == pytest.approx((math.log(2), math.log(0.5)))
    assert b["online_error"] == pytest.approx(math.sqrt(0.9 / 10 + 0.85 / 30))


def test_levels_of_which_one_is_zero_are_held_as_differences(tmp_path: Path) -> None:
    b, c = pairs(told(tmp_path, LEVELS, *RATIO, "--control", "a"))
    assert (b["online"], c["online"]) == pytest.approx((0.05, -0.1))


def test_groups_are_never_put_together(tmp_path: Path) -> None:
    frame = pl.concat([wide(6).with_columns(part=pl.lit(name)) for name in ("x", "y")])
    frame = frame.with_columns(ctr=pl.when(pl.col("part") == "y").then(-pl.col("ctr")).otherwise("ctr"))
    frame.write_csv(tmp_path / "past.csv")
    x, y = links(of_file(tmp_path / "past.csv", *METRICS, "--columns", "group=part", "--scale", "absolute"))
    assert [(one["group"], len(one["pairs"])) for one in (x, y)] == [("x", 6), ("y", 6)]
    assert x["pearson"]["value"] == pytest.approx(-y["pearson"]["value"])
    assert x["looks"] == 2


def test_less_is_better_turns_signs(tmp_path: Path) -> None:
    wide(6).write_csv(tmp_path / "past.csv")
    (plain,) = links(of_file(tmp_path / "past.csv", *METRICS))
    (turned,) = links(of_file(tmp_path / "past.csv", *METRICS, "--lower-is-better", "ctr"))
    assert turned["pearson"]["value"] == pytest.approx(-plain["pearson"]["value"])
    assert [one["online"] for one in turned["pairs"]] == [-one["online"] for one in plain["pairs"]]


# --- Holes and hostile values ---


@pytest.mark.parametrize("hole", ["", "nan", "NaN", "NULL", "none", "NA", "  "])
def test_a_hole_is_no_pair_and_no_zero(tmp_path: Path, hole: str) -> None:
    text = HEAD + f"a,v,{hole},,0.1,,,,,\nb,v,0.2,,0.1,,,,,\n"
    assert [one["test"] for one in pairs(told(tmp_path, text, *METRICS))] == ["b"]
    text = HEAD + f"a,v,0.1,,{hole},,,,,\nb,v,0.2,{hole},0.1,,,,,\n"
    (link,) = links(told(tmp_path, text, *METRICS))
    assert [(one["test"], one["online_error"]) for one in link["pairs"]] == [("b", None)]
    assert [one["test"] for one in link["left_out"]] == ["a"]


def test_nan_of_parquet(tmp_path: Path) -> None:
    frame = wide(6).with_columns(ctr=pl.when(pl.col("test") == "t2").then(math.nan).otherwise("ctr"))
    frame.write_parquet(tmp_path / "past.parquet")
    assert "t2" not in [one["test"] for one in pairs(of_file(tmp_path / "past.parquet", *METRICS))]


ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "a text": ("a,v,abc,,0.1,,,,,\n", ("row 2, `ctr`", "expected a number", "'abc'")),
    "infinite": ("a,v,inf,,0.1,,,,,\n", ("row 2, `ctr`", "finite", "inf")),
    "too much": ("a,v,1e400,,0.1,,,,,\n", ("row 2, `ctr`", "from 1e-30 to 1e+15", "1e400")),
    "a fall of all": ("a,v,-100%,,0.1,,,,,\n", ("row 2, `ctr`", "above -100%")),
    "per cent of per cent": ("a,v,5%%,,0.1,,,,,\n", ("row 2, `ctr`", "expected a number")),
    "underscores": ("a,v,1_0,,0.1,,,,,\n", ("row 2, `ctr`", "expected a number")),
    "thousands": ('a,v,"1,000",,0.1,,,,,\n', ("row 2, `ctr`", "expected a number")),
    "per cent of nothing": ("a,v,%,,0.1,,,,,\n", ("row 2, `ctr`", "expected a number")),
    "an error below 0": ("a,v,0.1,-1,0.1,,,,,\n", ("row 2, `ctr`", "standard error", "-1")),
    "an error that is a text": ("a,v,0.1,x,0.1,,,,,\n", ("row 2, `ctr_se`", "'x'")),
    "launched maybe": ("a,v,0.1,,0.1,,,,maybe,\n", ("row 2, `launched`", "yes or no", "'maybe'")),
    "no date": ("a,v,0.1,,0.1,,2023-15-01,,,\n", ("row 2, `start`", "expected a date", "'2023-15-01'")),
    "a date and more": ("a,v,0.1,,0.1,,2023-05-01junk,,,\n", ("row 2, `start`", "2023-05-01junk")),
    "dates reversed": ("a,v,0.1,,0.1,,2023-05-01,2023-01-01,,\n", ("row 2", "2023-05-01", "2023-01-01")),
    "a row twice": ("a,v,0.1,,0.1,,,,,\n" * 2, ("row 3, `variant`", "two rows")),
    "two values": ("a,v,0.1,,0.1,,,,,\na,v,0.2,,0.1,,,,,\n", ("row 3", "two values of ctr for v")),
    "two errors": ("a,v,0.1,0.1,0.1,,,,,\na,v,0.1,0.2,0.1,,,,,\n", ("row 3", "two values of ctr for v")),
    "two periods of a test": (
        "a,v,0.1,,0.1,,2023-01-01,,,\na,w,0.1,,0.1,,2019-01-01,,,\n",
        ("row 3", "2019-01-01", "2023-01-01"),
    ),
    "no row": ("", ("no rows", "a row a variant")),
}


@pytest.mark.parametrize("name", ROWS)
def test_refused_rows(tmp_path: Path, name: str) -> None:
    rows, said = ROWS[name]
    assert_refused(told(tmp_path, HEAD + rows, *METRICS), "past.csv", *said)


def test_every_bad_row_is_named(tmp_path: Path) -> None:
    rows = "".join(f"t{n},v,{'x' if n % 2 else 0.1},,0.1,,,,,\n" for n in range(8))
    assert_refused(told(tmp_path, HEAD + rows, *METRICS), "4 errors", "row 3", "row 5", "row 7", "row 9")


def test_thousands_of_bad_rows_fit_a_screen(tmp_path: Path) -> None:
    rows = "".join(f"t{n},v,x,,0.1,,,,,\n" for n in range(5000))
    assert_refused(told(tmp_path, HEAD + rows, *METRICS), "row 2")


def test_excluded_in_a_later_row_of_a_test_counts(tmp_path: Path) -> None:
    rows = "a,v,0.1,,0.1,,,,,\na,w,0.2,,0.2,,,,,broken logging\nb,v,0.3,,0.2,,,,,\n"
    (link,) = links(told(tmp_path, HEAD + rows, *METRICS))
    assert ("a", "w") not in [(one["test"], one["variant"]) for one in link["pairs"]]
    assert "broken logging" in [one["why"] for one in link["left_out"]]


def test_two_variants_of_a_test(tmp_path: Path) -> None:
    rows = "a,v,0.1,,0.1,,,,yes,\na,w,0.2,,0.2,,,,no,\n"
    found = pairs(told(tmp_path, HEAD + rows, *METRICS))
    assert [(one["variant"], one["launched"]) for one in found] == [("v", True), ("w", False)]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), ("online", "offline", "found test, variant")),
        (("--online", "ctr"), ("offline metrics",)),
        (("--online", "crt", "--offline", "mrr"), ("no column `crt`", "did you mean `ctr`")),
        (("--online", "ctr/shwon", "--offline", "mrr"), ("no column `shwon`",)),
        ((*METRICS, "--columns", "group=zz"), ("no column `zz`",)),
        ((*METRICS, "--columns", "grup=test"), ("grup", "did you mean `group`")),
        ((*METRICS, "--columns", "group"), ("ours=theirs",)),
        ((*METRICS, "--scale", "log"), ("relative, absolute, level",)),
        ((*METRICS, "--control", "v"), ("--scale level",)),
        ((*METRICS, "--scale", "level", "--control", "w"), ("no variant `w`",)),
        (("--online", "ctr", "--offline", "ctr"), ("ctr",)),
    ],
)
def test_refused_ways_to_read(tmp_path: Path, more: tuple[str, ...], said: tuple[str, ...]) -> None:
    assert_refused(told(tmp_path, HEAD + "a,v,0.1,,0.1,,,,,\n", *more), *said)


def test_options_are_named_as_options(tmp_path: Path) -> None:
    assert_refused(told(tmp_path, HEAD + "a,v,0.1,,0.1,,,,,\n"), "--online", "--offline")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LEVELS.replace("a,10,100", "a,10,0"), ("row 2, `shown`", "above 0", "found 0")),
        (LEVELS.replace("a,10,100", "a,-10,100"), ("row 2, `clicks`", "-10")),
    ],
)
def test_refused_counts(tmp_path: Path, text: str, said: tuple[str, ...]) -> None:
    assert_refused(told(tmp_path, text, *RATIO), *said)


def test_a_ratio_of_counts_is_no_relative_change(tmp_path: Path) -> None:
    assert_refused(told(tmp_path, LEVELS, *RATIO[:4]), "--scale level")


def test_a_control_without_a_number_is_named(tmp_path: Path) -> None:
    assert_refused(told(tmp_path, LEVELS.replace("a,10,", "a,,"), *RATIO, "--control", "a"), "control", "`a`")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("past.csv", b"", "empty"),
        ("past.csv", bytes(range(256)), "cannot be read as csv"),
        ("past.parquet", b"PAR1xx", "cannot be read as parquet"),
        ("past.ndjson", b"{", "cannot be read"),
        ("past.xlsx", b"PK", "unknown format"),
        ("past.yaml", b"rankcast: 1", "expected the folder"),
    ],
)
def test_files_that_are_no_table(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert_refused(of_file(tmp_path / name, *METRICS), name, said)


def test_unicode_and_spaces_in_names(tmp_path: Path) -> None:
    frame = wide(6).rename({"ctr": "クリック率", "mrr": "m r r"}).with_columns(variant=pl.lit("新しい"))
    frame.write_csv(tmp_path / "past.csv")
    (link,) = links(of_file(tmp_path / "past.csv", "--online", "クリック率", "--offline", "m r r"))
    assert (link["online"], link["pairs"][0]["variant"]) == ("クリック率", "新しい")


# --- In service.yaml ---


def served(folder: Path, **history: Any) -> World:
    """A service whose past is a table."""
    world = World(folder).service("history", to={"online": ["ctr"], "offline": ["dcg@10"], **history}).write()
    write_past(world, 0.0)
    return world


def write_past(world: World, shift: float) -> None:
    frame = wide(8).rename({"mrr": "dcg@10", "mrr_se": "dcg@10_se"}).with_columns(ctr=pl.col("ctr") + shift)
    frame.write_csv(world.folder / "past.csv")
    frame.write_parquet(world.folder / "past.parquet")


def newest(world: World) -> dict[str, Any]:
    """The history of the newest run."""
    outcome = world.run()
    assert outcome.code in (0, 3, 4), outcome.text
    found = [path for path in (world.folder / "runs").glob("*/*") if not path.name.startswith(".")]
    run = Run(max(found, key=lambda path: (path / "result.json").stat().st_mtime_ns))
    document = json.loads((run.folder / "result.json").read_text())
    return {**document["history"], "run": run.id, "count": len(found)}


QUERY = 'SELECT test, variant, ctr, ctr_se, "dcg@10", "dcg@10_se" FROM past WHERE test <> \'t7\''
SOURCES: dict[str, tuple[dict[str, Any], int]] = {
    "csv": ({"path": "past.csv"}, 8),
    "parquet": ({"path": "past.parquet"}, 8),
    "sql": ({"sql": QUERY, "files": {"past": "past.csv"}}, 7),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_table_in_service_yaml(tmp_path: Path, kind: str) -> None:
    history, count = SOURCES[kind]
    world = served(tmp_path / "world", **history)
    before = newest(world)
    assert (before["tests"], len(before["links"][0]["pairs"])) == (count, count)
    assert before["links"][0]["online"] == before["forecasts"][0]["online"] == "ctr"
    assert before["forecasts"][0]["n"] == count
    write_past(world, 0.1)
    after = newest(world)
    assert (after["count"], after["run"] != before["run"]) == (2, True)
    x = [one["online"] for one in after["links"][0]["pairs"]]
    assert x == pytest.approx([math.log1p(value + 0.1) for value in wide(8)["ctr"]][:count])


def test_a_run_names_the_past_that_it_knew(tmp_path: Path) -> None:
    world = served(tmp_path / "world", path="past.csv")
    run = Run(world.folder / "runs" / "first" / newest(world)["run"])
    (known,) = [one for one in run.manifest["data"] if one["path"] == "past.csv"]
    assert known["bytes"] == (world.folder / "past.csv").stat().st_size
    again = rankcast("run", "--from", str(run.folder), "--out", str(world.folder / "runs"))
    assert again.code in (0, 3, 4), again.text
    write_past(world, 0.1)
    refused = rankcast("run", "--from", str(run.folder), "--out", str(world.folder / "runs"))
    assert_refused(refused, "past.csv: its content has changed")


@pytest.mark.parametrize(
    ("history", "said"),
    [
        ({"path": "past.csv", "online": ["crt"]}, ("no column `crt`", "did you mean `ctr`")),
        ({"path": "past.csv", "columns": {"group": "zz"}}, ("no column `zz`",)),
        ({"path": "past.csv", "offline": []}, ("offline",)),
        ({"path": "none.csv"}, ("no file matches `none.csv`",)),
        ({"sql": "SELECT * FROM nowhere", "files": {"past": "past.csv"}}, ("nowhere",)),
        ({"sql": "DELETE FROM past", "files": {"past": "past.csv"}}, ("SELECT",)),
        ({"sql": "SELECT * FROM past"}, ("files",)),
    ],
)
def test_refused_tables_of_a_service(tmp_path: Path, history: dict[str, Any], said: tuple[str, ...]) -> None:
    world = served(tmp_path / "world", **history)
    assert_refused(world.run(), "service.yaml:", *said)
    assert_refused(world.run(command="check"), "service.yaml:", *said)
    assert world.left_behind() == []
