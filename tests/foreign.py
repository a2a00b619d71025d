"""A team's own steps and models, as a study names them: `python: foreign:by_wage`.

They check what they are promised (columns, order, types) and give the same result however their input is split.
`oracle_foreign` says what each of them does, in plain Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

Generators = Mapping[Any, np.random.Generator]


# --- Steps ---


def alternate_companies(frame: pl.DataFrame) -> pl.DataFrame:
    """Every second item of a company goes to the end; an item without a company stays."""
    check_step(frame)
    turn = pl.col("rank").rank("ordinal").over("request_id", "item.company")
    late = pl.col("item.company").is_not_null() & (turn % 2 == 0)
    return frame.sort(late, "rank", maintain_order=True).select("request_id", "item_id")


def without_every_third(frame: pl.DataFrame) -> pl.DataFrame:
    check_step(frame)
    return frame.filter(pl.col("rank") % 3 != 0)


def without_tests(frame: pl.DataFrame) -> pl.DataFrame:
    check_step(frame)
    return frame.filter(pl.col("item.is_test").is_not_null().not_() | pl.col("item.is_test").not_())


def backwards(frame: pl.DataFrame) -> pl.DataFrame:
    """The last item comes first; the requests get mixed, since only the order within each of them matters."""
    check_step(frame)
    new = frame.sort("rank", descending=True, maintain_order=True)
    return new.select("item_id", "request_id", pl.col("rank").cast(pl.Float64).alias("score"))


def drawn(frame: pl.DataFrame, generators: Generators) -> pl.DataFrame:
    """Lists of several items lose the last one. Chance has its say, and is not heard."""
    check_step(frame)
    noise = [0 * generators[request].random() for request in frame["request_id"]]
    place = frame["rank"] + pl.Series(noise, dtype=pl.Float64)
    last = pl.col("rank").max().over("request_id")
    return frame.with_columns(place=place).filter((last == 1) | (pl.col("place") < last)).drop("place")


# --- Models ---


def by_wage(requests: pl.DataFrame, candidates: pl.DataFrame) -> pl.Series:
    check_candidates(requests, candidates)
    return candidates["item.wage"].fill_null(9.0)


def by_place(requests: pl.DataFrame, candidates: pl.DataFrame) -> list[int]:
    """By the place among the candidates of the request, which come by item."""
    check_candidates(requests, candidates)
    return [place * 7 % 5 for place in places(candidates)]


def by_city(requests: pl.DataFrame, candidates: pl.DataFrame) -> pl.DataFrame:
    """Every third candidate is left out; new users like high wages, others low ones."""
    check_candidates(requests, candidates)
    wishes = requests.select("request_id", "city", new=pl.col("user.tenure").eq_missing("new"))
    rows = candidates.with_columns(place=pl.Series(places(candidates), dtype=pl.Int64))
    rows = rows.join(wishes, on="request_id", how="left", maintain_order="left")
    wage = pl.col("item.wage").fill_null(0.0)
    here = (pl.col("item.city") == pl.col("city")).fill_null(value=False)
    score = pl.when(here).then(100.0).otherwise(0.0) + pl.when("new").then(wage).otherwise(-wage)
    return rows.filter(pl.col("place") % 3 != 2).select("request_id", "item_id", score=score)


def selective(requests: pl.DataFrame, candidates: pl.DataFrame) -> pl.DataFrame:
    """The first candidate is left out wherever there are several; rows come in any order."""
    check_candidates(requests, candidates)
    rows = candidates.select("request_id", "item_id", score=pl.Series(places(candidates), dtype=pl.Float64))
    alone = pl.len().over("request_id") == 1
    return rows.filter(alone | (pl.col("score") > 0)).reverse()


def by_lot(requests: pl.DataFrame, candidates: pl.DataFrame, generators: Generators) -> Any:
    check_candidates(requests, candidates)
    noise = np.array([generators[request].random() for request in candidates["request_id"]], dtype=float)
    return np.array(places(candidates), dtype=float) * 3 % 7 / 2 + 0 * noise


# --- What they are promised ---


def check_step(frame: pl.DataFrame) -> None:
    """Rows stand best first in every request, ranks count from 1 without gaps, times are in UTC."""
    needed = {"request_id", "user_id", "timestamp", "item_id", "rank", "score", "request.keyword", "request.surface"}
    assert needed <= set(frame.columns), frame.columns
    assert frame.schema["timestamp"] == pl.Datetime("us", "UTC"), frame.schema["timestamp"]
    assert frame["rank"].to_list() == [place + 1 for place in places(frame)], frame


def check_candidates(requests: pl.DataFrame, candidates: pl.DataFrame) -> None:
    """Each request once; candidates grouped by request, in the same order, items ascending."""
    assert {"request_id", "user_id", "timestamp"} <= set(requests.columns), requests.columns
    assert requests.schema["timestamp"] == pl.Datetime("us", "UTC"), requests.schema["timestamp"]
    asked = requests["request_id"].to_list()
    assert len(set(asked)) == len(asked), asked
    rows = list(zip(candidates["request_id"], candidates["item_id"], strict=True))
    assert len(set(rows)) == len(rows), rows
    assert rows == sorted(rows, key=lambda row: (asked.index(row[0]), row[1])), rows


def places(frame: pl.DataFrame) -> list[int]:
    """The place of every row within its request, from 0."""
    met: dict[Any, int] = {}
    found = []
    for request in frame["request_id"]:
        found.append(met.get(request, 0))
        met[request] = found[-1] + 1
    return found
