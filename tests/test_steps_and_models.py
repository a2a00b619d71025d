"""Steps and models of the team's own: what each does to hand-made lists, and what it may not do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import rankcast
from rankcast.plugins import STEPS, names
from tiny import GONE, Outcome, World, assert_refused
from tiny import rankcast as command

ANSWERED = (0, 3, 4)
HEAD = "import numpy as np\nimport polars as pl\nimport pandas as pd\nimport pyarrow as pa\n\n"


@dataclass
class Shop:
    """A tiny service with three requests and five items, and a module `shop` with code of the team's own."""

    world: World
    code: str = ""

    def steps(self, *steps: Any) -> Shop:
        """Production's steps."""
        self.world.service("production", "steps", to=list(steps))
        return self

    def variant(self, **way: Any) -> Shop:
        """The variant `new`."""
        self.world.study("variants", "new", to=way)
        return self

    def module(self, text: str) -> Shop:
        """The text of shop.py."""
        self.code = HEAD + text
        return self

    def write(self, data: bool = True) -> Shop:
        """Put everything on disk; code that was imported is forgotten."""
        self.world.write(data)
        (self.world.folder / "shop.py").write_text(self.code)
        sys.modules.pop("shop", None)
        return self

    def run(self, *more: str, command: str = "run") -> Outcome:
        """Run the study, or another command on it."""
        return self.write().world.run(*more, command=command)

    def done(self, *more: str) -> Shop:
        """Run the study, which must go well."""
        outcome = self.run(*more)
        assert outcome.code in ANSWERED, outcome.text
        return self

    def refused(self, *said: str, more: tuple[str, ...] = (), data: bool = True) -> str:
        """Run the study, which must be refused; nothing stays."""
        outcome = self.write(data).world.run(*more)
        assert_refused(outcome, *said)
        assert self.visible() == []
        return outcome.err

    def visible(self) -> list[str]:
        """What can be seen in the folder of runs."""
        return [path for path in self.world.left_behind() if "/." not in f"/{path}"]

    def folders(self) -> set[str]:
        """The ids of the runs."""
        return {path.parent.name for path in self.world.folder.glob("runs/*/*/result.json")}

    def result(self) -> dict[str, Any]:
        """The results of the only run."""
        (path,) = self.world.folder.glob("runs/*/*/result.json")
        found: dict[str, Any] = json.loads(path.read_text())["results"]
        return found

    def step(self, name: str, variant: str = "production") -> dict[str, int]:
        """The counts of a step."""
        (row,) = (row for row in self.result()["steps"] if (row["variant"], row["step"]) == (variant, name))
        return {key: value for key, value in row.items() if key not in {"variant", "step", "unknown"}}

    def slates(self, variant: str = "production") -> dict[str, str]:
        """The replayed lists, an item a letter."""
        return {request: "".join(items) for request, items in lists_of(self.only(), variant).items()}

    def scores(self, variant: str = "production") -> dict[str, list[float | None]]:
        """The scores of the replayed lists."""
        return lists_of(self.only(), variant, "score")

    def only(self) -> Path:
        """The folder of the only run."""
        (path,) = self.world.folder.glob("runs/*/*/result.json")
        return path.parent


def lists_of(folder: Path, variant: str, column: str = "item_id") -> dict[str, list[Any]]:
    """A column of the replayed lists in a run folder, by request."""
    rows = pl.read_parquet(folder / "slates" / "*.parquet").filter(pl.col("variant") == variant)
    rows = rows.sort("request_id", "rank")
    return {key: group[column].to_list() for (key,), group in rows.group_by("request_id", maintain_order=True)}


def small(folder: Path) -> World:
    """r1 lists abcd, r2 abc with a tie of a and b, r3 only e; r1 asks for no page, r2 for the first, r3 for the second."""
    world = World(folder)
    world.tables["requests"] = pl.DataFrame(
        {
            "request_id": ["r1", "r2", "r3"],
            "user_id": ["u1", "u2", "u3"],
            "timestamp": [f"2023-10-0{day}T08:00:00Z" for day in (2, 3, 4)],
            "surface": ["home"] * 3,
            "wanted": ["x", None, None],
            "bot": [False] * 3,
            "page": [None, 1, 2],
        }
    )
    world.tables["items"] = pl.DataFrame(
        {
            "item_id": list("abcde"),
            "kind": list("xxyyx"),
            "wage": range(1, 6),
            "premium": [False, False, True, False, None],
        }
    )
    world.tables["availability"] = pl.DataFrame(
        {
            "item_id": list("abcde"),
            "open_at": ["2023-01-01T00:00:00Z"] * 5,
            "close_at": pl.Series([None, None, None, None, "2023-10-04T00:00:00Z"], dtype=pl.String),
        }
    )
    rows = [("r1", "a", 5.0), ("r1", "b", 4.0), ("r1", "c", 3.0), ("r1", "d", 2.0)]
    rows += [("r2", "b", 2.0), ("r2", "a", 2.0), ("r2", "c", 1.0), ("r3", "e", 1.0)]
    world.tables["scores"] = pl.DataFrame(rows, schema=["request_id", "item_id", "score"], orient="row")
    world.tables["new"] = world.tables["scores"]
    shown = [("r1", "b", 1), ("r1", "a", 2), ("r1", "c", 3), ("r2", "a", 1), ("r3", "e", 1)]
    world.tables["impressions"] = pl.DataFrame(shown, schema=["request_id", "item_id", "rank"], orient="row")
    happened = [("u1", "b", "2023-10-02T08:05:00Z", "r1"), ("u2", "a", "2023-10-03T08:05:00Z", "r2")]
    happened += [("u3", "e", "2023-10-04T08:05:00Z", "r3"), ("u1", "a", "2023-10-30T00:00:00Z", None)]
    world.tables["events"] = pl.DataFrame(
        happened, schema=["user_id", "item_id", "timestamp", "request_id"], orient="row"
    ).with_columns(event=pl.lit("click"))
    world.service("production", "served", to=10).service("production", "steps", to=[])
    world.study("variants", to={"production": {"scores": {"path": "data/scores.parquet"}}})
    return world.study("metrics", to={"primary": "dcg@10"})


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # code that is rewritten within a second is read anew
    yield Shop(small(tmp_path))
    sys.modules.pop("shop", None)


def as_is(**more: int) -> dict[str, int]:
    """The counts of a step that did nothing to the eight items."""
    return {"in": 8, "removed": 0, "requests": 0, "emptied": 0, "added": 0, "reordered": 0, **more}


# --- rerank ---


@pytest.mark.parametrize(
    ("sql", "slates", "reordered"),
    [
        ("item.wage", {"r1": "dcba", "r2": "cba", "r3": "e"}, 2),
        ("-score", {"r1": "dcba", "r2": "cab", "r3": "e"}, 2),
        ("score", {"r1": "abcd", "r2": "abc", "r3": "e"}, 0),
        ("0", {"r1": "abcd", "r2": "abc", "r3": "e"}, 0),
        ("CASE WHEN item.premium THEN 0.0 ELSE -0.0 END", {"r1": "abcd", "r2": "abc", "r3": "e"}, 0),
        ("CASE WHEN item.premium THEN 9 ELSE 1 END", {"r1": "cabd", "r2": "cab", "r3": "e"}, 2),
        ("score * CASE WHEN request.page = 1 THEN -1 ELSE 1 END", {"r1": "abcd", "r2": "cab", "r3": "e"}, 1),
        ("CASE WHEN user.tenure = 'new' THEN item.wage ELSE score END", {"r1": "dcba", "r2": "abc", "r3": "e"}, 1),
        ("ln(score - 2)", {"r1": "abcd", "r2": "abc", "r3": "e"}, 0),
        ("CASE WHEN item.item_id = 'd' THEN 1 ELSE 0 END", {"r1": "dabc", "r2": "abc", "r3": "e"}, 1),
    ],
)
def test_rerank(shop: Shop, sql: str, slates: dict[str, str], reordered: int) -> None:
    if sql.startswith("ln"):  # minus infinity is less than any number, and is one
        sql = "CASE WHEN score >= 2 THEN ln(score - 2) ELSE 0 - 1e308 * 10 END"
    shop.steps({"rerank": {"sql": sql}}).done()
    assert shop.slates() == slates
    assert shop.step("rerank") == as_is(reordered=reordered)
    assert shop.step("served") == as_is()


def test_rerank_gives_the_new_score(shop: Shop) -> None:
    shop.steps({"rerank": {"sql": "item.wage * 10"}}, {"where": "score > 15"}).done()
    assert shop.scores() == {"r1": [40.0, 30.0, 20.0], "r2": [30.0, 20.0], "r3": [50.0]}
    assert shop.step("where") == as_is(removed=2, requests=2)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("item.wge", "no column `wge` in the table of items; did you mean `wage`?"),
        ("request.pge", "did you mean `page`?"),
        ("wage", "`wage` is no column here; expected request.wage, item.wage or user.wage"),
        ("score > 3", "expected a number, `score > 3` gives Boolean"),
        ("item.kind", "expected a number, `item.kind` gives String"),
        ("request.timestamp", "expected a number"),
        ("NULL", "8 of 8 new scores are null or NaN, such as request_id=r1, item_id=a"),
        ("CASE WHEN item.wage < 3 THEN 1 END", "of 8 new scores are null or NaN, such as request_id=r1, item_id=c"),
        ("0 / 0.0 * score", "division by zero"),
        ("(score - score) / (score - score)", "8 of 8 new scores are"),
        ("sqrt(0 - item.wage)", "new scores are"),
        ("score +", "cannot be parsed"),
        ("score * (2", "cannot be parsed"),
        ("score; DROP TABLE items", "is no column here"),
        ("(SELECT 1)", "select"),
        ("max(score)", "the function `max` cannot be used here"),
        ("sum(item.wage) OVER (PARTITION BY request.page)", "the function `sum` cannot be used here"),
        ("read_csv('/etc/passwd')", "the function `read_csv` cannot be used here"),
        ("item.kind + 1", "item.kind + 1"),
        ("", "expected SQL"),
        ("score + " * 600 + "1", "characters; expected at most"),
        (7, "sql: expected a formula such as `score * 2`, found 7"),
        (None, "found nothing"),
        (["score"], 'found ["score"]'),
    ],
    ids=lambda value: str(value)[:30],
)
def test_rerank_refused(shop: Shop, sql: object, said: str) -> None:
    shop.steps("available", {"rerank": {"sql": sql}}).steps({"rerank": {"sql": sql}})
    told = shop.refused("service.yaml:", "production.steps[0]", said)
    assert len(told.splitlines()) <= 3, told


def test_rerank_of_an_order_without_scores(shop: Shop) -> None:
    shop.world.table("scores", lambda one: one.select("request_id", "item_id", rank=pl.int_range(1, 9)))
    shop.steps({"rerank": {"sql": "score * 2"}}).refused("service.yaml:", "reads `score`", "only an order")


# --- pin ---


def pins(shop: Shop, *rows: tuple[Any, ...]) -> Shop:
    """A table of pins: item and rank, or request, item and rank."""
    columns = ["item_id", "rank"] if len(rows[0]) == 2 else ["request_id", "item_id", "rank"]
    shop.world.tables["pins"] = pl.DataFrame(list(rows), schema=columns, orient="row", strict=False)
    return shop


PIN = {"pin": {"path": "data/pins.parquet"}}


def test_pin_for_every_request(shop: Shop) -> None:
    pins(shop, ("a", 3), ("e", 1)).steps(PIN).done()
    assert shop.slates() == {"r1": "ebacd", "r2": "ebac", "r3": "ea"}
    assert shop.scores()["r1"] == [None, 4.0, 5.0, 3.0, 2.0]
    assert shop.step("pin") == as_is(added=3, reordered=3)
    assert shop.step("served") == as_is(**{"in": 11})


def test_pin_for_one_request(shop: Shop) -> None:
    pins(shop, ("r2", "c", 1), ("r9", "a", 1), ("r1", "a", 1), ("r9", "b", 2)).steps(PIN).done()
    assert shop.slates() == {"r1": "abcd", "r2": "cab", "r3": "e"}
    assert shop.step("pin") == as_is(reordered=1)
    counted = [one for one in shop.result()["counts"] if "pin" in one["table"]]
    assert [(one["count"], one["of"]) for one in counted] == [(2, 4)]


def test_pins_behind_the_end_of_a_list_come_last(shop: Shop) -> None:
    pins(shop, ("a", 9), ("b", 7), ("e", 5)).steps(PIN).done()
    assert shop.slates() == {"r1": "cdeba", "r2": "ceba", "r3": "eba"}


def test_an_empty_list_gets_its_pins(shop: Shop) -> None:
    pins(shop, ("c", 2), ("d", 1)).steps({"where": "item.item_id = 'e'"}, PIN).done()
    assert shop.slates() == {"r1": "dc", "r2": "dc", "r3": "dce"}
    assert shop.step("where") == as_is(removed=7, requests=2, emptied=2)
    assert shop.step("pin") == as_is(added=6, reordered=3) | {"in": 1}


def test_a_pin_of_an_item_that_no_other_table_knows(shop: Shop) -> None:
    pins(shop, ("z", 1)).steps(PIN).done()
    assert shop.slates() == {"r1": "zabcd", "r2": "zabc", "r3": "ze"}


def test_pins_are_filtered_by_the_steps_after_them(shop: Shop) -> None:
    pins(shop, ("e", 1)).steps(PIN, {"cap": {"by": "item.kind", "at_most": 1}}).done()
    assert shop.slates() == {"r1": "ec", "r2": "ec", "r3": "e"}
    assert shop.step("cap") == as_is(removed=5, requests=2) | {"in": 10}


def test_pins_keep_their_score_null_and_cannot_be_reranked_silently(shop: Shop) -> None:
    pins(shop, ("e", 1)).steps(PIN, {"rerank": {"sql": "score * 2"}})
    shop.refused("production.steps[1]", "2 of 10 new scores are null", "item_id=e")


def test_other_pins_are_another_run(shop: Shop) -> None:
    pins(shop, ("e", 1)).steps(PIN).done()
    pins(shop, ("e", 2)).done()
    assert len(shop.folders()) == 2


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("a", 0)], "ranks are below 1"),
        ([("a", -1)], "ranks are below 1"),
        ([("a", 1), ("a", 2)], "repeat a (item_id)"),
        ([("a", 1), ("b", 1)], "repeat a (rank)"),
        ([("r1", "a", 1), ("r1", "a", 2)], "repeat a (request_id, item_id)"),
        ([("r1", "a", 1), ("r1", "b", 1)], "repeat a (request_id, rank)"),
        ([(None, 1), ("a", 2)], "item_id"),
        ([("a", None), ("b", 2)], "rank"),
        ([(None, "a", 1), ("r1", "b", 1)], "request_id"),
        ([(1, 1)], "ids are integers, but text in `items`"),
        ([(5, "a", 1)], "ids are integers, but text in `requests`"),
        ([("a", "first")], "rank"),
        ([("a", 1.5)], "rank"),
        ([("a", True)], "rank"),
        ([(1.5, 1)], "item_id"),
    ],
    ids=str,
)
def test_pins_refused(shop: Shop, rows: list[tuple[Any, ...]], said: str) -> None:
    pins(shop, *rows).steps("available", PIN).refused("service.yaml:", "production.steps[1].pin", said)


@pytest.mark.parametrize("column", ["item_id", "rank"])
def test_pins_without_a_column(shop: Shop, column: str) -> None:
    pins(shop, ("a", 1)).steps(PIN).world.table("pins", lambda one: one.drop(column))
    shop.refused("service.yaml:", "production.steps[0].pin", column)
    assert_refused(shop.run(command="check"), column)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ({"path": "data/nope.parquet"}, "data/nope.parquet"),
        ({"path": "data/pins.txt"}, "pins.txt"),
        ({"pth": "data/pins.parquet"}, "did you mean `path`?"),
        ({"path": "data/pins.parquet", "at": 1}, "unknown key `at`"),
        ({"path": 7}, "expected a path or a list of paths, found 7"),
        ({"path": "s3://pins.parquet"}, "not available yet"),
        ({"sql": "SELECT 1"}, "files"),
        ({}, "expected either `path`, or `sql`"),
        ("data/pins.parquet", "expected a table of item_id and rank"),
        (None, "expected a table of item_id and rank"),
        (3, "expected a table of item_id and rank"),
        ([{"item_id": "a", "rank": 1}], "expected a table of item_id and rank"),
    ],
    ids=str,
)
def test_pin_argument(shop: Shop, argument: object, said: str) -> None:
    pins(shop, ("a", 1)).steps({"pin": argument}).refused("service.yaml:", "production.steps[0]", said)


def test_pins_of_a_select(shop: Shop) -> None:
    sql = "SELECT item_id AS item, CAST(wage AS BIGINT) AS place FROM items WHERE wage = 5"
    argument = {
        "sql": sql,
        "files": {"items": "data/items.parquet"},
        "columns": {"item_id": "item", "rank": "place"},
    }
    shop.steps({"pin": argument}).done()
    assert shop.slates() == {"r1": "abcde", "r2": "abce", "r3": "e"}


# --- page ---


def test_page(shop: Shop) -> None:
    shop.steps({"page": {"size": 2, "number": "request.page"}}).done()
    assert shop.slates() == {"r1": "ab", "r2": "ab"}
    assert shop.step("page") == as_is(removed=4, requests=3, emptied=1)


@pytest.mark.parametrize(
    ("pages", "slates"),
    [
        ([2, 3, 1], {"r1": "cd", "r3": "e"}),
        ([2.0, None, 1.0], {"r1": "cd", "r2": "ab", "r3": "e"}),
        ([None, None, None], {"r1": "ab", "r2": "ab", "r3": "e"}),
        ([2**62, 1, 1], {"r2": "ab", "r3": "e"}),
        ([float("nan"), 1.0, 1.0], {"r1": "ab", "r2": "ab", "r3": "e"}),
    ],
    ids=str,
)
def test_pages(shop: Shop, pages: list[Any], slates: dict[str, str]) -> None:
    shop.steps({"page": {"size": 2, "number": "request.page"}})
    shop.world.table("requests", lambda one: one.with_columns(page=pl.Series(pages)))
    shop.done()
    assert shop.slates() == slates


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        ([0, 1, 2], "1 of 3 values are no page number, such as 0"),
        ([-1, -1, 2], "2 of 3 values are no page number, such as -1"),
        ([1.5, 1.0, None], "such as 1.5"),
        ([float("inf"), 1.0, None], "no page number"),
        (["1", "2", "3"], "expected page numbers, found"),
        ([True, False, True], "expected page numbers, found"),
        ([[1], [2], [3]], "expected page numbers, found"),
    ],
    ids=str,
)
def test_pages_refused(shop: Shop, pages: list[Any], said: str) -> None:
    shop.steps({"page": {"size": 2, "number": "request.page"}})
    shop.world.table("requests", lambda one: one.with_columns(page=pl.Series(pages)))
    shop.refused("service.yaml:", "production.steps[0]", "request.page", said)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ({"size": 0, "number": "request.page"}, "size: expected an integer from 1, found 0"),
        ({"size": 1.5, "number": "request.page"}, "size: expected an integer from 1, found 1.5"),
        ({"size": True, "number": "request.page"}, "size: expected an integer from 1, found true"),
        ({"size": "2", "number": "request.page"}, 'found "2"'),
        ({"size": 2, "number": "request.paeg"}, "did you mean `page`?"),
        ({"size": 2, "number": "item.wage"}, "number: expected `request.<column>`, found `item.wage`"),
        ({"size": 2, "number": "page"}, "number: expected `request.<column>`, found `page`"),
        ({"size": 2, "number": 2}, "number: expected `request.<column>`, found `2`"),
        ({"size": 2}, "key `number` is missing"),
        ({"siez": 2, "number": "request.page"}, "unknown key `siez`; did you mean `size`?"),
        (2, "expected keys such as"),
        (None, "expected keys such as"),
    ],
    ids=str,
)
def test_page_argument(shop: Shop, argument: object, said: str) -> None:
    shop.steps({"page": argument}).refused("service.yaml:", "production.steps[0]", said)


# --- python, as a step ---


GOOD_STEPS = """
def same(frame):
    return frame

def backwards(frame):
    return frame.reverse().select("item_id", "request_id")

def pandas_backwards(frame):
    return frame.to_pandas().iloc[::-1][["request_id", "item_id"]]

def arrow_backwards(frame):
    return frame.reverse().to_arrow()

def lazy_backwards(frame):
    return frame.lazy().reverse()

def second(frame):
    return frame.filter(pl.col("rank") != 2)

def nothing(frame):
    return frame.head(0)

def scored(frame):
    return frame.select("request_id", "item_id", score=pl.col("item.wage"))

def first_last(frame):
    return frame.filter(pl.col("rank") < 4).sort(pl.col("rank") == 1, maintain_order=True)

class Late:
    def __call__(self, frame):
        return frame.filter(pl.col("item.premium").is_not_null())

late = Late()

def seen(frame):
    assert frame.columns == [
        "request_id", "user_id", "timestamp", "item_id", "rank", "score", "request.surface", "request.wanted",
        "request.bot", "request.page", "item.kind", "item.wage", "item.premium", "user.tenure",
    ], frame.columns
    if len(frame) == 8:  # it is asked again about some requests, for fidelity
        assert frame["rank"].to_list() == [1, 2, 3, 4, 1, 2, 3, 1]
        assert frame["score"].to_list() == [5, 4, 3, 2, 2, 2, 1, 1]
    assert frame.schema["timestamp"] == pl.Datetime("us", "UTC")
    return frame
"""


@pytest.mark.parametrize(
    ("function", "slates", "counts"),
    [
        ("same", ("abcd", "abc", "e"), {}),
        ("seen", ("abcd", "abc", "e"), {}),
        ("backwards", ("dcba", "cba", "e"), {"reordered": 2}),
        ("pandas_backwards", ("dcba", "cba", "e"), {"reordered": 2}),
        ("arrow_backwards", ("dcba", "cba", "e"), {"reordered": 2}),
        ("lazy_backwards", ("dcba", "cba", "e"), {"reordered": 2}),
        ("second", ("acd", "ac", "e"), {"removed": 2, "requests": 2}),
        ("first_last", ("bca", "bca", "e"), {"removed": 1, "requests": 1, "reordered": 2}),
        ("late", ("abcd", "abc"), {"removed": 1, "requests": 1, "emptied": 1}),
        ("scored", ("abcd", "abc", "e"), {}),
        ("nothing", (), {"removed": 8, "requests": 3, "emptied": 3}),
    ],
)
def test_python_step(shop: Shop, function: str, slates: tuple[str, ...], counts: dict[str, int]) -> None:
    shop.module(GOOD_STEPS).steps({"python": f"shop:{function}"}).done()
    assert shop.slates() == dict(zip(("r1", "r2", "r3"), slates, strict=False))
    assert shop.step("python") == as_is(**counts)
    if function == "scored":
        assert shop.scores()["r1"] == [1.0, 2.0, 3.0, 4.0]


BAD_STEPS = """
import sys

number = 7

def adds(frame):
    return pl.concat([frame.select("request_id", "item_id"), pl.DataFrame({"request_id": ["r1"], "item_id": ["e"]})])

def repeats(frame):
    return pl.concat([frame, frame])

def drops_keys(frame):
    return frame.select("item_id", "score")

def pandas_index(frame):
    return frame.to_pandas().set_index(["request_id", "item_id"])

def none(frame):
    frame.sort("score")

def text(frame):
    return "abc"

def items(frame):
    return frame["item_id"].to_list()

def series(frame):
    return frame["item_id"]

def raises(frame):
    raise KeyError("the price is " + "high " * 2000)

def exits(frame):
    sys.exit(3)

def words(frame):
    return frame.with_columns(score=pl.lit("good"))

def numbers(frame):
    return frame.with_columns(item_id=pl.int_range(pl.len()))

def nulls(frame):
    return frame.with_columns(item_id=pl.lit(None, dtype=pl.String))

def lists(frame):
    return frame.group_by("request_id").agg("item_id")

def no_argument():
    return None

def three(frame, generators, more):
    return frame

def lazy(frame):
    return frame.lazy().select(pl.col("nope"))

def no_generator(frame, generators):
    return frame.filter(generators["r1"].no_such_thing())
"""


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("adds", ("1 of 9 rows are none that it was given", "request_id=r1, item_id=e", "`pin`")),
        ("repeats", ("8 rows are repeated", "request_id=r1, item_id=a")),
        ("drops_keys", ("no column `request_id`", "found: item_id, score")),
        ("pandas_index", ("no column `request_id`",)),
        ("none", ("expected a frame with request_id and item_id, found NoneType",)),
        ("text", ("expected a frame with request_id and item_id, found str",)),
        ("items", ("expected a frame with request_id and item_id, found list",)),
        ("series", ("expected a frame with request_id and item_id, found Series",)),
        ("raises", ("KeyError", "shop.py:")),
        ("exits", ("SystemExit: 3", "shop.py:")),
        ("words", ("expected numbers as scores, found String",)),
        ("numbers", ("rows are none that it was given",)),
        ("nulls", ("rows are none that it was given",)),
        ("lists", ("item_id",)),
        ("no_argument", ("TypeError",)),
        ("three", ("TypeError",)),
        ("lazy", ("ColumnNotFoundError", "nope")),
        ("no_generator", ("AttributeError", "no_such_thing")),
        ("number", ("is no function",)),
        ("raise_", ("the module `shop` has no `raise_`; did you mean `raises`?",)),
    ],
)
def test_python_step_refused(shop: Shop, function: str, said: tuple[str, ...]) -> None:
    shop.module(BAD_STEPS).steps("available", {"python": f"shop:{function}"})
    shop.world.table("availability", lambda one: one.with_columns(close_at=pl.lit(None, dtype=pl.String)))
    shop.refused("service.yaml:", "production.steps[1]", f"`shop:{function}`", *said)


@pytest.mark.parametrize(
    "word",
    [
        "x",
        "a.b",
        "shop:f\n",
        ":f",
        "shop:",
        "shop:f()",
        "shop:a.b",
        "7",
        7,
        1.5,
        None,
        True,
        ["shop:f"],
        {"function": "shop:f"},
    ],
)
def test_word_of_a_step(shop: Shop, word: object) -> None:
    shop.steps({"python": word})
    shop.refused(
        "service.yaml:", "production.steps[0]", "expected a function such as `myshop.serving:diversify`, found"
    )


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import nowhere_at_all\n", "nowhere_at_all"),
        ("raise RuntimeError('closed today')\n", "closed today"),
        ("import sys\nsys.exit(0)\n", "SystemExit"),
        ("def f(:\n", "SyntaxError"),
        ("\x00", "cannot import `shop`"),
    ],
)
@pytest.mark.parametrize("way", ["step", "variant"])
def test_a_module_that_cannot_be_imported(shop: Shop, way: str, code: str, said: str) -> None:
    shop.module(code)
    if way == "step":
        shop.steps({"python": "shop:f"}).refused("service.yaml:", "production.steps[0]", "`shop:f`", said)
    else:
        shop.variant(python="shop:f").refused("study.yaml:", "variants.new", "`shop:f`", said)


def test_no_such_module(shop: Shop) -> None:
    shop.steps({"python": "nowhere.at_all:f"})
    shop.refused("service.yaml:", "production.steps[0]", "cannot import `nowhere.at_all`", "No module named 'nowhere'")


def test_two_python_steps_have_two_names(shop: Shop) -> None:
    shop.module(GOOD_STEPS).steps(
        {"python": "shop:second"}, {"python": "shop:backwards"}, {"python": "shop:same", "name": "last"}
    ).done()
    assert [row["step"] for row in shop.result()["steps"]] == ["python", "python-2", "last", "served"]
    assert shop.step("python-2") == as_is(reordered=2) | {"in": 6}


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"cap": {"by": "item.kind", "atmost": 1}}, "unknown key `atmost`; did you mean `at_most`?"),
        ({"cap": {"by": "item.kind", "at_most": 1, "most": 2}}, "unknown key `most`"),
        ({"rerank": {"sq": "score"}}, "unknown key `sq`; did you mean `sql`?"),
        ({"rerank": {}}, "key `sql` is missing"),
        ({"rerank": "score"}, "expected keys such as"),
        ({"reranc": {"sql": "score"}}, "unknown step `reranc`; did you mean `rerank`?"),
        ({"pins": {"path": "x"}}, "unknown step `pins`; did you mean `pin`?"),
        ({"pyton": "shop:f"}, "unknown step `pyton`; did you mean `python`?"),
        ({"not_seen": {"event": ["click"]}}, "unknown key `event`; did you mean `events`?"),
        ({"rerank": {"sql": "score"}, "nmae": "x"}, "expected a step such as"),
        ({"rerank": {"sql": "score"}, "name": ""}, "expected a name"),
        ({"rerank": {"sql": "score"}, "name": 7}, "expected text, found 7"),
    ],
    ids=str,
)
def test_unknown_keys_of_steps(shop: Shop, step: object, said: str) -> None:
    shop.steps(step).refused("service.yaml:", "production.steps[0]", said, data=False)


# --- What there is ---


def test_steps_are_listed() -> None:
    outcome = command("steps")
    assert outcome.code == 0
    told = [line.split(" ")[0] for line in outcome.out.splitlines()]
    assert told[:-1] == names(STEPS) == sorted(told[:-1])
    assert {"rerank", "pin", "page", "python"} <= set(told)
    pages = json.loads(command("steps", "--json").out)
    assert [page["name"] for page in pages] == names(STEPS)
    assert all("before" in page["picture"] and page["page"] for page in pages)


CAP = """\
- cap: {by: item.company, at_most: 1}

before                         after
1  a 0.90  company acme        1  a 0.90
2  b 0.80  company acme ✕      2  c 0.70
3  c 0.70  company blue        3  f 0.40
4  d 0.60  company acme ✕
5  e 0.50  company blue ✕
6  f 0.40  company coop
"""


def test_the_picture_of_cap() -> None:
    outcome = command("explain", "cap")
    assert outcome.code == 0
    assert outcome.out.endswith(CAP)


@pytest.mark.parametrize(
    ("kind", "after"),
    [
        ("available", "abcef"),
        ("cap", "acf"),
        ("match", "acdf"),
        ("not_seen", "abdef"),
        ("page", "cd"),
        ("pin", "faebcd"),
        ("python", "afedcb"),
        ("rerank", "eabcdf"),
        ("where", "acdef"),
    ],
)
def test_pictures(kind: str, after: str) -> None:
    outcome = command("explain", kind)
    assert outcome.code == 0
    head, *rows = outcome.out[outcome.out.index("\nbefore") + 1 :].splitlines()
    at = head.index("after")
    assert "".join(row[at:][3] for row in rows if row[at:]) == after
    assert [row[at:][0] for row in rows if row[at:]] == [str(rank) for rank in range(1, len(after) + 1)]
    left_out = {row[3] for row in rows if "✕" in row}
    assert left_out == set("abcdef") - set(after)
    assert max(map(len, outcome.out.splitlines())) <= 130


# --- A step of a distribution ---


DISTRIBUTION = """
from dataclasses import dataclass
from rankcast.errors import ConfigError, show

@dataclass(frozen=True)
class Every:
    '''Keeps every n-th item of a list.

    `every: 2`
    '''

    n: int
    kind = "every"
    alone = False
    has_table = False

    @classmethod
    def parse(cls, argument):
        if not isinstance(argument, int) or argument < 1:
            raise ConfigError(f"expected an integer from 1, found {show(argument)}")
        return cls(argument)

    def needs(self):
        return frozenset({"item.wage"})

    def bind(self, context):
        return lambda lists: (lists.ranks() - 1) % self.n == 0
"""


class Installed:
    """A folder that is on the path of another process, with a distribution `x` that brings a step."""

    def __init__(self, shop: Shop, code: str = DISTRIBUTION) -> None:
        self.world = shop.world
        place = shop.world.folder / "site"
        about = place / "x-1.0.dist-info"
        about.mkdir(parents=True)
        (place / "xsteps").mkdir()
        (place / "xsteps" / "__init__.py").write_text(code)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: x\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text("[rankcast.steps]\nevery = xsteps:Every\n")
        self.place = place

    def __call__(self, *arguments: str) -> Outcome:
        """`python -m rankcast`."""
        done = subprocess.run(
            [sys.executable, "-m", "rankcast", *arguments],
            cwd=self.world.folder,
            env={**os.environ, "PYTHONPATH": str(self.place), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)


def test_a_step_of_a_distribution(shop: Shop) -> None:
    installed = Installed(shop)
    shop.steps({"every": 2}).write()
    listed = installed("steps")
    assert listed.code == 0, listed.text
    assert "every      Keeps every n-th item of a list." in listed.out
    page = installed("explain", "every")
    assert page.code == 0, page.text
    assert "Keeps every n-th item of a list." in page.out
    checked = installed("check", "study.yaml")
    assert checked.code == 0, checked.text
    ran = installed("run", "study.yaml", "-q")
    assert ran.code in ANSWERED, ran.text
    assert shop.slates() == {"r1": "ac", "r2": "ac", "r3": "e"}
    assert shop.step("every") == as_is(removed=3, requests=2)


def test_arguments_and_needs_of_a_step_of_a_distribution(shop: Shop) -> None:
    installed = Installed(shop)
    shop.steps({"every": 0}, {"evry": 2}).write()
    assert_refused(installed("check", "study.yaml"), "expected an integer from 1, found 0", "did you mean `every`?")
    shop.steps({"every": 2}).world.table("items", lambda one: one.drop("wage"))
    shop.write()
    assert_refused(installed("check", "study.yaml"), "service.yaml:", "no column `wage` in the table of items")


def test_new_code_of_a_distribution_is_another_run(shop: Shop) -> None:
    installed = Installed(shop)
    shop.steps({"every": 2}).write()
    assert installed("run", "study.yaml", "-q").code in ANSWERED
    (installed.place / "xsteps" / "__init__.py").write_text(DISTRIBUTION.replace("== 0", "== 1"))
    assert installed("run", "study.yaml", "-q").code in ANSWERED
    assert len(shop.folders()) == 2


def test_a_broken_distribution(shop: Shop) -> None:
    installed = Installed(shop, "import nowhere_at_all\n")
    shop.steps({"every": 2}).write()
    assert_refused(installed("run", "study.yaml", "-q"), "service.yaml:", "every", "nowhere_at_all")
    listed = installed("steps")
    assert "bug in Rankcast" not in listed.text
    assert "nowhere_at_all" in listed.text


# --- python, as a model ---


FORMS = """
def as_list(requests, candidates):
    return candidates["item.wage"].to_list()

def as_tuple(requests, candidates):
    return tuple(candidates["item.wage"].to_list())

def as_numpy(requests, candidates):
    return candidates["item.wage"].to_numpy()

def as_float32(requests, candidates):
    return candidates["item.wage"].to_numpy().astype("float32")

def as_objects(requests, candidates):
    return candidates["item.wage"].to_numpy().astype(object)

def as_column(requests, candidates):
    return candidates["item.wage"].to_numpy().reshape(-1, 1)

def as_polars(requests, candidates):
    return candidates["item.wage"]

def as_pandas(requests, candidates):
    return candidates["item.wage"].to_pandas()

def as_pandas_index(requests, candidates):
    return pd.Series(candidates["item.wage"].to_numpy(), index=range(100, 100 + len(candidates)))

def as_arrow(requests, candidates):
    return pa.array(candidates["item.wage"].to_list())

def as_frame(requests, candidates):
    return candidates.select("item_id", "request_id", score="item.wage")

def as_any_order(requests, candidates):
    return candidates.select("request_id", "item_id", score="item.wage").sample(fraction=1.0, shuffle=True, seed=3)

def as_pandas_frame(requests, candidates):
    return candidates.to_pandas().rename(columns={"item.wage": "score"}).sample(frac=1, random_state=1)

def as_arrow_table(requests, candidates):
    return candidates.select("request_id", "item_id", score="item.wage").reverse().to_arrow()

def as_lazy(requests, candidates):
    return candidates.lazy().select("request_id", "item_id", score="item.wage")

def as_scores_only(requests, candidates):
    return candidates.select(score="item.wage")

class Model:
    def score(self, requests, candidates):
        return candidates["item.wage"]

as_method = Model().score
as_lambda = lambda requests, candidates: candidates["item.wage"]

def as_optional(requests, candidates, *, more=None):
    return candidates["item.wage"]
"""
_FORMS = [line.split("(")[0].split()[-1] for line in FORMS.splitlines() if line.startswith("def as_")]


def test_every_form_of_an_answer(shop: Shop) -> None:
    forms = [*_FORMS, "as_method", "as_lambda"]
    for name in forms:
        shop.world.study("variants", name, to={"python": f"shop:{name}"})
    shop.module(FORMS).done()
    for name in forms:
        assert shop.slates(name) == {"r1": "dcba", "r2": "cba", "r3": "e"}, name
        assert shop.scores(name)["r1"] == [4.0, 3.0, 2.0, 1.0], name
    result = json.loads((shop.only() / "result.json").read_text())
    assert set(result["decision"]) == set(forms)


SELECTIVE = """
def some(requests, candidates):
    rows = candidates.filter(pl.col("item.premium").is_not_null() & (pl.col("item_id") != "b"))
    return rows.select("request_id", "item_id", score="item.wage").reverse()

def nobody(requests, candidates):
    return candidates.head(0).select("request_id", "item_id", score=pl.lit(1.0))

def ties(requests, candidates):
    return [-0.0, 0.0, 0.0, -0.0, 1, 1, 1, 1]

def endless(requests, candidates):
    best = {"c": float("inf"), "a": float("-inf"), "b": float("-inf")}
    return [best.get(item, 0.0) for item in candidates["item_id"]]

def huge(requests, candidates):
    return [10.0 ** 300 * (1 + (item == "b")) for item in candidates["item_id"]]
"""


def test_rows_left_out_ties_and_extremes(shop: Shop) -> None:
    for name in ("some", "nobody", "ties", "endless", "huge"):
        shop.world.study("variants", name, to={"python": f"shop:{name}"})
    shop.module(SELECTIVE).done()
    assert shop.slates("some") == {"r1": "dca", "r2": "ca"}
    assert shop.slates("nobody") == {}
    assert shop.slates("ties") == {"r1": "abcd", "r2": "abc", "r3": "e"}
    assert shop.slates("endless") == {"r1": "cdab", "r2": "cab", "r3": "e"}  # as in a file of scores
    assert shop.slates("huge") == {"r1": "bacd", "r2": "bac", "r3": "e"}
    rows = {row["variant"]: row for row in shop.result()["variants"]}
    assert rows["some"]["positives_outside"] == 2


def test_infinite_scores_of_a_file_are_ordered_too(shop: Shop) -> None:
    shop.world.table("scores", lambda one: one.with_columns(
        score=pl.Series([0.0, float("-inf"), float("inf"), 1.0, float("-inf"), float("-inf"), 0.0, 1.0])
    ))  # fmt: skip
    shop.done()
    assert shop.slates() == {"r1": "cdab", "r2": "cab", "r3": "e"}


MODELS = """
def wage(requests, candidates):
    return candidates["item.wage"]

def handed(requests, candidates):
    return candidates["item.wage"]

def pairs(requests, candidates):
    raise ValueError(" ".join(f"{request}{item}" for request, item in zip(candidates["request_id"], candidates["item_id"])))
"""


@pytest.mark.parametrize(
    ("candidates", "seen"),
    [
        (None, "r1a r1b r1c r1d r2a r2b r2c r3e"),
        ("available", "r1a r1b r1c r1d r1e r2a r2b r2c r2d r2e r3a r3b r3c r3d"),
        ("impressions", "r1a r1b r1c r2a r3e"),
        ({"path": "data/pool.parquet"}, "r1c r1e r3a"),
    ],
    ids=str,
)
@pytest.mark.parametrize("own", [True, False])
def test_candidates(shop: Shop, candidates: object, seen: str, own: bool) -> None:
    rows = [("r3", "a"), ("r1", "e"), ("r1", "c"), ("r9", "a")]
    shop.world.tables["pool"] = pl.DataFrame(rows, schema=["request_id", "item_id"], orient="row")
    shop.module(MODELS).variant(python="shop:pairs")
    if candidates is not None and own:
        shop.world.study("treatment", to=["scores", "candidates"]).study("variants", "new", "candidates", to=candidates)
    elif candidates is not None:
        shop.world.service("production", "candidates", to=candidates)
    shop.refused(f"ValueError: {seen} (shop.py:")


def test_a_model_sees_the_candidates_before_steps(shop: Shop) -> None:
    shop.module(MODELS).steps({"where": "item.wage > 3"}).variant(python="shop:pairs")
    shop.refused("ValueError: r1a r1b r1c r1d r2a r2b r2c r3e (shop.py:")


def test_a_model_as_the_baseline_orders_what_was_shown(shop: Shop) -> None:
    shop.module(MODELS).world.study("variants", "production", to={"python": "shop:wage"})
    shop.done()
    assert shop.slates() == {"r1": "cba", "r2": "a", "r3": "e"}


def test_a_model_as_the_baseline_of_a_model(shop: Shop) -> None:
    shop.module(MODELS).world.study("variants", "production", to={"python": "shop:wage"})
    shop.variant(scores={"path": "data/scores.parquet"}).done()
    assert shop.slates("new") == {"r1": "abcd", "r2": "abc", "r3": "e"}


def test_steps_come_after_the_model(shop: Shop) -> None:
    shop.module(MODELS).steps({"cap": {"by": "item.kind", "at_most": 1}}).variant(python="shop:wage").done()
    assert shop.slates("new") == {"r1": "db", "r2": "cb", "r3": "e"}
    assert shop.step("cap", "new") == as_is(removed=3, requests=2)


COLUMNS = """
def some(requests, candidates):
    assert requests.columns == ["request_id", "user_id", "timestamp", "page", "user.tenure"], requests.columns
    assert candidates.columns == ["request_id", "item_id", "item.wage"], candidates.columns
    return candidates["item.wage"]

def none(requests, candidates):
    assert requests.columns == ["request_id", "user_id", "timestamp"], requests.columns
    assert candidates.columns == ["request_id", "item_id"], candidates.columns
    return [0] * len(candidates)

def all(requests, candidates):
    assert requests.columns == [
        "request_id", "user_id", "timestamp", "surface", "wanted", "bot", "page", "user.tenure"
    ], requests.columns
    assert candidates.columns == ["request_id", "item_id", "item.kind", "item.wage", "item.premium"], candidates.columns
    assert requests.schema["timestamp"] == pl.Datetime("us", "UTC")
    assert requests["request_id"].to_list() == ["r1", "r2", "r3"]
    return [0] * len(candidates)
"""


@pytest.mark.parametrize(
    ("function", "columns"),
    [("some", ["item.wage", "request.page", "user.tenure"]), ("none", []), ("all", None)],
)
def test_columns(shop: Shop, function: str, columns: list[str] | None) -> None:
    way = {"function": f"shop:{function}"} | ({} if columns is None else {"columns": columns})
    shop.module(COLUMNS).variant(python=way).done()


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["item.wge"], "did you mean `wage`?"),
        (["user.age"], "no column `age`"),
        (["request.pge"], "did you mean `page`?"),
        (["wage"], "item.wage"),
        (["items.wage"], "items.wage"),
        (["score"], "score"),
        (["item."], "item."),
        ([""], "columns"),
        ("item.wage", "expected a list"),
        ([7], "expected text, found 7"),
    ],
    ids=str,
)
def test_columns_refused(shop: Shop, columns: object, said: str) -> None:
    shop.module(MODELS).variant(python={"function": "shop:wage", "columns": columns})
    shop.refused("study.yaml:", "variants.new.python.columns", said)


@pytest.mark.parametrize(("columns", "said"), [(["item.wge"], "did you mean `wage`?"), (["wage"], "columns")])
def test_columns_are_checked(shop: Shop, columns: list[str], said: str) -> None:
    shop.module(MODELS).variant(python={"function": "shop:wage", "columns": columns})
    assert_refused(shop.run(command="check"), "study.yaml:", "variants.new.python.columns", said)


def test_columns_of_users_without_a_table_of_users(shop: Shop) -> None:
    shop.module(MODELS).variant(python={"function": "shop:wage", "columns": ["user.tenure"]})
    shop.world.service("tables", "users", to=GONE).study("segments", to=[])
    shop.refused("study.yaml:", "variants.new.python", "users")


# --- Chance ---


CHANCE = """
def drawn(requests, candidates, generators):
    assert set(generators) == set(requests["request_id"]) and len(generators) == len(requests)
    drawn = {request: generators[request].random(9) for request in requests["request_id"]}
    met = {}
    scores = []
    for request in candidates["request_id"]:
        scores.append(drawn[request][met.get(request, 0)])
        met[request] = met.get(request, 0) + 1
    return scores

def step(frame, generators):
    noise = {request: generators[request].random(9) for request in set(frame["request_id"])}
    place = pl.Series([noise[request][rank] for request, rank in zip(frame["request_id"], frame["rank"])])
    return frame.with_columns(place=place).sort("place").select("request_id", "item_id")
"""


def chance(folder: Path) -> Shop:
    """The larger tiny service with a model and a step that draw."""
    shop = Shop(World(folder))
    shop.module(CHANCE).steps({"python": "shop:step"}).variant(python="shop:drawn")
    shop.world.service("production", "served", to=8).study("metrics", to={"primary": "dcg@10"})
    shop.world.service("targets", "where", to=GONE)
    return shop.write()


def drawn_lists(run: rankcast.Run) -> list[dict[str, list[Any]]]:
    """The lists of both variants."""
    return [lists_of(Path(run.folder), variant) for variant in ("production", "new")]


def test_draws_do_not_depend_on_how_the_work_is_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    shop = chance(tmp_path)
    study = tmp_path / "study.yaml"
    whole = drawn_lists(rankcast.run(study, tmp_path / "whole"))
    assert len(whole[0]) == len(whole[1]) == 12
    assert len({"".join(items) for items in whole[1].values()}) > 8
    monkeypatch.setattr(rankcast.study, "SHARD_ROWS", 1)
    split = rankcast.run(study, tmp_path / "split")
    assert len(list(Path(split.folder).glob("slates/*"))) > 1
    assert drawn_lists(split) == whole
    assert drawn_lists(rankcast.run(study, tmp_path / "four", processes=2)) == whole
    monkeypatch.undo()
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("requests", "items", "scores"):
        shop.world.table(name, lambda one: one.sample(fraction=1.0, shuffle=True, seed=5))
    shop.write()
    assert drawn_lists(rankcast.run(study, tmp_path / "shuffled")) == whole
    shop.world.study("seed", to=8)
    shop.write()
    other = drawn_lists(rankcast.run(study, tmp_path / "other"))
    assert other[0] != whole[0]
    assert other[1] != whole[1]
    sys.modules.pop("shop", None)


def test_requests_draw_independently(shop: Shop) -> None:
    shop.module(
        "def told(requests, candidates, generators):\n"
        "    first = [generators[request].random() for request in requests['request_id']]\n"
        "    again = [generators[request].random() for request in requests['request_id']]\n"
        "    assert first == again and len(set(first)) == 3, (first, again)\n"
        "    assert isinstance(generators['r1'], np.random.Generator)\n"
        "    return [0] * len(candidates)\n"
    )
    shop.variant(python="shop:told").done()


# --- What a model reads ---


READS = """
import pathlib

def weighed(requests, candidates):
    weight = float(pathlib.Path(__file__).with_name("model.txt").read_text())
    return candidates["item.wage"] * weight
"""


def test_what_a_model_reads_belongs_to_the_run(shop: Shop) -> None:
    model = shop.world.folder / "model.txt"
    shop.module(READS).variant(python={"function": "shop:weighed", "reads": "model.txt"})
    for weight in ("1", "-1", "1"):
        model.write_text(weight)
        shop.done()
    assert len(shop.folders()) == 2
    orders = {"".join(lists_of(path.parent, "new")["r1"]) for path in shop.world.folder.glob("runs/*/*/result.json")}
    assert orders == {"abcd", "dcba"}
    manifests = [path.read_text() for path in shop.world.folder.glob("runs/*/*/manifest.json")]
    assert all("model.txt" in text for text in manifests)


def test_the_code_of_a_model_belongs_to_the_run(shop: Shop) -> None:
    (shop.world.folder / "beside.py").write_text("SIGN = 1\n")
    shop.module("import beside\n\ndef f(requests, candidates):\n    return candidates['item.wage'] * beside.SIGN\n")
    shop.variant(python="shop:f")
    for sign in ("1", "-1"):
        (shop.world.folder / "beside.py").write_text(f"SIGN = {sign}\n")
        sys.modules.pop("beside", None)
        shop.done()
    sys.modules.pop("beside", None)
    assert len(shop.folders()) == 2


def test_code_that_is_rewritten_between_two_runs_of_a_process(shop: Shop) -> None:
    """As in a notebook: a run never bears the id of one text and the lists of another."""
    study = shop.world.folder / "study.yaml"
    text = "def f(requests, candidates):\n    return {sign} * candidates['item.wage']\n"
    shop.module(text.format(sign="+1")).variant(python="shop:f").write()
    first = rankcast.run(study, shop.world.folder / "runs")
    (shop.world.folder / "shop.py").write_text(HEAD + text.format(sign="-1"))
    second = rankcast.run(study, shop.world.folder / "runs")
    assert Path(second.folder) != Path(first.folder)
    assert lists_of(Path(first.folder), "new")["r1"] == list("dcba")
    assert lists_of(Path(second.folder), "new")["r1"] == list("abcd")


@pytest.mark.parametrize(
    ("reads", "said"),
    [
        ("nope.bin", "nope.bin"),
        (["model.txt", "nope.bin"], "nope.bin"),
        ("nope/*.bin", "nope/*.bin"),
        (7, "expected a path or a list of paths, found 7"),
        ([], "expected a path or a list of paths"),
        ("s3://bucket/model", "not available yet"),
        ("${NO_SUCH_MODEL}", "NO_SUCH_MODEL is not set"),
    ],
    ids=str,
)
def test_what_a_model_cannot_read(shop: Shop, reads: object, said: str) -> None:
    (shop.world.folder / "model.txt").write_text("1")
    shop.module(READS).variant(python={"function": "shop:weighed", "reads": reads})
    shop.refused("study.yaml:", "variants.new.python", said)


# --- Bad models ---


BAD_MODELS = """
import sys

number = 7

def scoring(requests, candidates):
    return candidates["item.wage"]

def raises(requests, candidates):
    raise ValueError("no model\\nfor \\x1b[31mthis " + "x" * 5000)

def nothing_said(requests, candidates):
    assert False

def divides(requests, candidates):
    return 1 / 0

def exits(requests, candidates):
    sys.exit("enough")

def exits_well(requests, candidates):
    sys.exit(0)

def none(requests, candidates):
    candidates["item.wage"]

def text(requests, candidates):
    return "12345678"

def scalar(requests, candidates):
    return 1.0

def empty(requests, candidates):
    return []

def short(requests, candidates):
    return [1.0] * (len(candidates) - 1)

def long(requests, candidates):
    return np.zeros(2_000_000)

def nan(requests, candidates):
    return [1, float("nan"), 2, 3, 4, 5, 6, float("nan")]

def null(requests, candidates):
    return pl.Series([1, None, 2, 3, 4, 5, 6, 7])

def list_null(requests, candidates):
    return [1, None, 2, 3, 4, 5, 6, 7]

def nothing_but_nulls(requests, candidates):
    return [None] * len(candidates)

def strings(requests, candidates):
    return ["1"] * len(candidates)

def mixed(requests, candidates):
    return [1, "2", 3, 4, 5, 6, 7, 8]

def booleans(requests, candidates):
    return [True] * len(candidates)

def complex_(requests, candidates):
    return np.zeros(len(candidates), dtype=complex)

def times(requests, candidates):
    return np.zeros(len(candidates), dtype="datetime64[s]")

def big(requests, candidates):
    return [10 ** 400] * len(candidates)

def table(requests, candidates):
    return np.zeros((len(candidates), 2))

def ragged(requests, candidates):
    return [[1], [2, 3], 4, 5, 6, 7, 8, 9]

def dictionary(requests, candidates):
    return {"a": 1.0}

def generator(requests, candidates):
    return (1.0 for _ in candidates["item_id"])

def a_set(requests, candidates):
    return set(range(len(candidates)))

def no_score(requests, candidates):
    return candidates.select("request_id", "item_id", value="item.wage")

def keys_only(requests, candidates):
    return candidates.select("request_id", "item_id")

def one_key(requests, candidates):
    return candidates.select("item_id", score="item.wage").head(3)

def unknown(requests, candidates):
    more = pl.DataFrame({"request_id": ["r1"], "item_id": ["e"], "score": [9]})
    return pl.concat([candidates.select("request_id", "item_id", score="item.wage"), more])

def repeated(requests, candidates):
    rows = candidates.select("request_id", "item_id", score="item.wage")
    return pl.concat([rows, rows.head(2)])

def integers(requests, candidates):
    return candidates.select("request_id", item_id=pl.int_range(pl.len()), score="item.wage")

def lists(requests, candidates):
    return candidates.select(pl.concat_list("request_id").alias("request_id"), "item_id", score="item.wage")

def null_keys(requests, candidates):
    return candidates.select("request_id", pl.lit(None, dtype=pl.String).alias("item_id"), score="item.wage")

def frame_nan(requests, candidates):
    return candidates.select("request_id", "item_id", score=pl.lit(float("nan"))).reverse()

def frame_words(requests, candidates):
    return candidates.select("request_id", "item_id", score=pl.lit("good"))

def pandas_twice(requests, candidates):
    frame = candidates.to_pandas()[["request_id", "item_id", "item.wage", "item.wage"]]
    frame.columns = ["request_id", "item_id", "score", "score"]
    return frame

def pandas_index(requests, candidates):
    return candidates.to_pandas().set_index(["request_id", "item_id"])[["item.wage"]]

def lazy(requests, candidates):
    return candidates.lazy().select("nope")

def one_argument(frame):
    return frame

def four(a, b, c, d):
    return a

def no_column(requests, candidates):
    return candidates["item.wge"]

class Strange:
    def __array__(self, *args, **kwargs):
        raise RuntimeError("no array today")

def strange(requests, candidates):
    return Strange()

async def later(requests, candidates):
    return candidates["item.wage"]

class Panic(BaseException):  # as Polars has one
    pass

def panics(requests, candidates):
    raise Panic("out of order")

class Half:
    def __dataframe__(self, *args, **kwargs):
        raise RuntimeError("no frame today")

    columns = ["score"]

def half(requests, candidates):
    return Half()
"""


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("raises", ("ValueError: no model", "shop.py:")),
        ("nothing_said", ("AssertionError", "shop.py:")),
        ("divides", ("ZeroDivisionError", "shop.py:")),
        ("exits", ("SystemExit: enough", "shop.py:")),
        ("exits_well", ("SystemExit: 0", "shop.py:")),
        ("none", ("expected one number a candidate",)),
        ("text", ("expected one number a candidate",)),
        ("scalar", ("expected one number a candidate",)),
        ("empty", ("0 scores for 8 candidates; expected one for each row",)),
        ("short", ("7 scores for 8 candidates; expected one for each row",)),
        ("long", ("2,000,000 scores for 8 candidates",)),
        ("nan", ("2 of 8 scores are null or NaN, such as request_id=r1, item_id=b", "left out of a frame")),
        ("null", ("1 of 8 scores are null or NaN, such as request_id=r1, item_id=b",)),
        ("list_null", ("1 of 8 scores are null or NaN",)),
        ("nothing_but_nulls", ("8 of 8 scores are null or NaN",)),
        ("strings", ("expected numbers as scores, found",)),
        ("mixed", ("scores",)),
        ("booleans", ("expected numbers as scores, found Boolean",)),
        ("complex_", ("scores",)),
        ("times", ("scores",)),
        ("big", ("scores",)),
        ("table", ("expected one number a candidate", "(8, 2)")),
        ("ragged", ("scores",)),
        ("dictionary", ("expected one number a candidate",)),
        ("generator", ("expected one number a candidate",)),
        ("a_set", ("expected one number a candidate",)),
        ("no_score", ("the frame has no column `score`; found: request_id, item_id, value",)),
        ("keys_only", ("the frame has no column `score`",)),
        ("one_key", ("3 scores for 8 candidates",)),
        ("unknown", ("1 of 9 rows are none that it was given", "request_id=r1, item_id=e")),
        ("repeated", ("2 rows are repeated, such as request_id=r1, item_id=a",)),
        ("integers", ("8 of 8 rows are none that it was given",)),
        ("lists", ("request_id",)),
        ("null_keys", ("8 of 8 rows are none that it was given",)),
        ("frame_nan", ("8 of 8 scores are null or NaN, such as request_id=r3, item_id=e",)),
        ("frame_words", ("expected numbers as scores, found String",)),
        ("pandas_twice", ("cannot be read as a frame", "column names")),
        ("pandas_index", ("the frame has no column `score`",)),
        ("lazy", ("ColumnNotFoundError",)),
        ("one_argument", ("TypeError",)),
        ("four", ("TypeError",)),
        ("no_column", ("item.wge", "shop.py:")),
        ("strange", ("no array today",)),
        ("later", ("expected one number a candidate",)),
        ("half", ("cannot be read as a frame",)),
        ("panics", ("Panic: out of order", "shop.py:")),
        ("number", ("is no function",)),
        ("scorign", ("the module `shop` has no `scorign`; did you mean `scoring`?",)),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_bad_models(shop: Shop, function: str, said: tuple[str, ...]) -> None:
    shop.module(BAD_MODELS).variant(python=f"shop:{function}")
    told = shop.refused(f"`shop:{function}`", *said)
    assert len(told.splitlines()) <= 3, told


@pytest.mark.parametrize("function", ["raises", "nan", "none", "unknown", "number", "scorign"])
def test_a_bad_model_is_blamed_where_it_is_named(shop: Shop, function: str) -> None:
    shop.module(BAD_MODELS).variant(python=f"shop:{function}")
    shop.refused("study.yaml:", "variants.new", f"`shop:{function}`")


def test_a_bad_model_in_another_process(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rankcast.study, "SHARD_ROWS", 1)
    shop.module(BAD_MODELS).variant(python="shop:exits")
    shop.refused("`shop:exits`", "SystemExit: enough", more=("--processes", "2"))


def test_a_refused_model_can_be_mended(shop: Shop) -> None:
    shop.module(BAD_MODELS).variant(python="shop:raises").refused("ValueError")
    shop.variant(python="shop:scoring").done()
    assert shop.slates("new") == {"r1": "dcba", "r2": "cba", "r3": "e"}


def test_a_model_may_print(shop: Shop) -> None:
    shop.module("def f(requests, candidates):\n    print('hello')\n    return candidates['item.wage']\n")
    outcome = shop.variant(python="shop:f").run("--json")
    assert outcome.code in ANSWERED
    assert "results" in json.loads(outcome.out)  # standard output is the result's


def test_what_a_model_does_to_its_frames_stays_there(shop: Shop) -> None:
    shop.module(
        "def f(requests, candidates):\n"
        "    candidates['item.wage'][0] = 99\n"
        "    candidates.drop_in_place('item.wage')\n"
        "    return range(len(candidates))\n"
    )
    shop.variant(python="shop:f").world.study("variants", "then", to={"builtin": "random"})
    shop.steps({"rerank": {"sql": "item.wage"}}).done()
    assert shop.slates("new") == shop.slates() == {"r1": "dcba", "r2": "cba", "r3": "e"}


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("x", 'expected a function such as myshop.models:score, found "x"'),
        ("a.b", 'expected a function such as myshop.models:score, found "a.b"'),
        (":f", "expected a function"),
        ("shop:", "expected a function"),
        ("shop:f()", "expected a function"),
        ("shop.py:f g", "expected a function"),
        ("shop:f\n", "expected a function"),
        (7, "expected"),
        (1.5, "expected"),
        (True, "expected"),
        (["shop:f"], "expected"),
        ({}, "variants.new.python.function: this key is required and is missing"),
        ({"function": 7}, "expected text, found 7"),
        ({"function": "x"}, "expected a function"),
        ({"function": "shop:wage", "read": "x"}, "unknown key `read`; did you mean `reads`?"),
        ({"functoin": "shop:wage"}, "unknown key `functoin`; did you mean `function`?"),
    ],
    ids=repr,
)
def test_word_of_a_model(shop: Shop, way: object, said: str) -> None:
    shop.module(MODELS).variant(python=way).refused("study.yaml:", "variants.new", said, data=False)


# --- Ways and treatment ---


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        ({"python": "shop:f", "scores": {"path": "x.parquet"}}, "found `scores` and `python`"),
        ({"python": "shop:f", "http": {"url": "http://localhost:1"}}, "found `python` and `http`"),
        ({"mlflow": "models:/a/1", "builtin": "popular"}, "found `builtin` and `mlflow`"),
        ({}, "expected one of `scores`, `builtin`, `python`, `http` and `mlflow`"),
        ({"python": None}, "expected one of `scores`, `builtin`, `python`, `http` and `mlflow`"),
        ({"pyhton": "shop:f"}, "unknown key `pyhton`; did you mean `python`?"),
        ({"python": "shop:f", "within": "7d"}, "`within` belongs to a builtin variant"),
        ("python", "expected keys and values"),
    ],
    ids=str,
)
def test_ways(shop: Shop, ways: Any, said: str) -> None:
    shop.world.study("variants", "new", to=ways)
    shop.refused("study.yaml:", "variants.new", said, data=False)


WAYS: dict[str, Any] = {"python": "shop:wage", "http": {"url": "http://localhost:1/x"}, "mlflow": "models:/a/1"}


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize(("key", "value"), [("steps", []), ("candidates", "available"), ("served", 3)])
def test_treatment(shop: Shop, way: str, key: str, value: object) -> None:
    shop.module(MODELS).variant(**{way: WAYS[way], key: value})
    said = f"the study's `treatment` does not say that variants may change {key}; found treatment: [scores]"
    shop.refused("study.yaml:", f"variants.new.{key}", said)
    shop.world.study("treatment", to=["scores", key])
    assert shop.run(command="check").code == 0


def test_own_steps_candidates_and_served_of_a_model(shop: Shop) -> None:
    shop.module(MODELS).steps({"where": "item.wage < 4"}).world.study(
        "treatment", to=["scores", "steps", "candidates", "served"]
    )
    shop.variant(
        python="shop:wage", steps=[{"rerank": {"sql": "0 - item.wage"}}], candidates="impressions", served=2
    ).done()
    assert shop.slates("new") == {"r1": "ab", "r2": "a", "r3": "e"}
    assert shop.slates() == {"r1": "abc", "r2": "abc"}


def test_bad_steps_of_a_variant_are_blamed_in_the_study(shop: Shop) -> None:
    shop.module(BAD_STEPS).world.study("treatment", to=["steps"])
    shop.variant(scores={"path": "data/new.parquet"}, steps=[{"python": "shop:raises"}])
    shop.refused("study.yaml:", "variants.new.steps[0]", "KeyError")


# --- MLflow ---


@pytest.mark.parametrize("word", ["ranker", "model:/a/1", "http://x/models:/a/1", "", "models:", "models:/", "runs:/"])
def test_word_of_a_registered_model(shop: Shop, word: str) -> None:
    shop.variant(mlflow=word).refused("study.yaml:", "variants.new", "expected a model such as models:/ranker/3")


@pytest.mark.parametrize("word", [7, True, ["models:/a/1"], {"uri": "models:/a/1"}])
def test_type_of_a_registered_model(shop: Shop, word: object) -> None:
    shop.variant(mlflow=word).refused("study.yaml:", "variants.new.mlflow", "expected text, found")


def test_without_mlflow(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    shop.variant(mlflow="models:/nobody/1")
    told = shop.refused("`models:/nobody/1` needs MLflow", "pip install 'rankcast[mlflow]'")
    assert "study.yaml:" in told
    assert "variants.new" in told
    assert shop.run(command="check").code == 0


# --- The command line ---


@pytest.mark.parametrize("memory", ["lots", "", "2", "0GB", "-1GB", "99MB", "1e9GB", "2 TB", "2GB2", "nan GB", "٣GB"])
def test_memory(shop: Shop, memory: str) -> None:
    shop.refused("--memory: expected at least 100MB, such as 500MB or 2GB, found", more=("--memory", memory))


@pytest.mark.parametrize("processes", ["0", "-1", "257", "two", "1.5", ""])
def test_processes(shop: Shop, processes: str) -> None:
    shop.refused("--processes", more=("--processes", processes))


def test_memory_of_any_size(shop: Shop) -> None:
    shop.done("--memory", "100 mb").done("--memory", "1.5gb")
    assert len(shop.folders()) == 1


def test_more_memory_than_there_is(shop: Shop) -> None:
    shop.refused("--memory: expected", more=("--memory", "9" * 400 + "GB"))


def test_from_and_a_study(shop: Shop) -> None:
    said = "expected either a study (rankcast run study.yaml) or a run to repeat (rankcast run --from RUN)"
    shop.done()
    before = shop.visible()
    assert_refused(shop.world.run("--from", str(shop.only())), said)
    assert_refused(command("run", "--quiet"), said)
    assert "Usage: " in command("run").text
    assert_refused(command("run", "--from", str(shop.world.folder / "nowhere")), "nowhere")
    assert_refused(command("run", "--from", str(shop.world.folder)), str(shop.world.folder))
    assert shop.visible() == before


@pytest.mark.parametrize("name", ["check", "explain"])
def test_no_private_code_is_executed(shop: Shop, name: str) -> None:
    trace = shop.world.folder / "executed"
    shop.module(f"open({str(trace)!r}, 'w').close()\n\ndef f(*any):\n    return any[0]\n")
    shop.steps({"python": "shop:f"}).variant(python={"function": "shop:f", "columns": ["item.wage"]})
    shop.world.study("metrics", "also", to=["shop:f@10"])
    outcome = shop.run(command=name)
    assert not trace.exists()
    assert outcome.code == 0, outcome.text
    assert shop.run("--without-data", command="check").code == 0
    assert not trace.exists()
    shop.run()
    assert trace.exists()


def test_check_knows_no_module_that_is_missing(shop: Shop) -> None:
    shop.steps({"python": "nowhere.at_all:f"}).variant(python="nowhere:g")
    assert shop.run(command="check").code == 0
