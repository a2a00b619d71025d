"""Steps `rerank`, `pin` and `page` on small lists, and what they refuse."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from own_code import Shop, as_is
from tiny import assert_refused

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
