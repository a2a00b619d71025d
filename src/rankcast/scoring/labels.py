"""The labels' side: which requests count, and what is relevant for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from rankcast.errors import DataError, Problem
from rankcast.evaluate.kernels import is_relevant
from rankcast.evaluate.matching import Batch, Truth, match
from rankcast.scoring.keys import Keys, check_repeats
from rankcast.sources import border
from rankcast.sources.rankings import Table
from rankcast.tables import columns as c
from rankcast.tables.keys import KeyIndex
from rankcast.tables.logs import Bools, Ints
from rankcast.tables.ragged import offsets

_NOTHING = Truth(
    KeyIndex(np.zeros(0, dtype=np.int64)), np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)
)


@dataclass(frozen=True)
class Labels:
    """Labels of n requests, in order of request_id: the ids, and a `truth` of their keys; `items` are the labels' ids.

    `frame` has the rows as they were given, in the same order of requests.
    """

    requests: pl.Series
    truth: Truth
    items: pl.Series
    frame: pl.DataFrame
    request_keys: Keys
    item_keys: Keys

    @classmethod
    def of(cls, table: Table, frame: pl.DataFrame, request_keys: Keys, item_keys: Keys) -> Labels:
        """From checked rows (request_id, item_id, grade). DataError where an item is labelled twice for a request."""
        if not frame[c.REQUEST_ID].is_sorted():
            frame = frame.sort(c.REQUEST_ID, maintain_order=True)
        code = frame[c.REQUEST_ID].rle_id().cast(pl.Int64).to_numpy()
        requests = (
            frame[c.REQUEST_ID].gather(offsets(code, int(code[-1]) + 1)[:-1]) if len(code) else frame[c.REQUEST_ID]
        )
        owner = request_keys.of(requests)
        request_keys.check_distinct(requests, owner)
        judged = (frame[c.GRADE] >= 0).to_numpy()
        item, grade, code = frame[c.ITEM_ID].filter(judged), frame[c.GRADE].to_numpy()[judged], code[judged]
        found = match(Batch(code, item_keys.of(item), grade), _NOTHING, "given", _given)
        pairs = frame.filter(judged).select(c.REQUEST_ID, c.ITEM_ID)
        check_repeats(pairs, len(found.repeated), request_keys, item_keys)
        if len(found.repeated):
            raise DataError(_twice(table, pairs[found.repeated[:3]], len(found.repeated)))
        if found.order is not None:
            item, grade = item.gather(found.order), grade[found.order]
        return cls(
            requests,
            Truth(KeyIndex(owner), offsets(code, len(requests)), found.item, grade),
            item,
            frame,
            request_keys,
            item_keys,
        )

    @property
    def n(self) -> int:
        """How many requests count."""
        return len(self.requests)

    def has_relevant(self, level: float) -> Bools:
        """Which requests have a relevant label."""
        relevant = np.append(0, np.cumsum(is_relevant(self.truth.grade, level)))
        some: Bools = relevant[self.truth.start[1:]] > relevant[self.truth.start[:-1]]
        return some

    def per_request(self, column: str) -> pl.Series:
        """The value of a column for each request. DataError where a request has several."""
        found = self.frame.group_by(c.REQUEST_ID, maintain_order=True).agg(
            pl.col(column).first().alias("value"), pl.col(column).n_unique().alias("values")
        )
        several = found.filter(pl.col("values") > 1)
        if len(several):
            raise DataError(
                f"labels: `{column}` has several values for {len(several)} of {self.n} requests, such as "
                f"{c.REQUEST_ID}={several[c.REQUEST_ID][0]}; expected one value a request"
            )
        return found["value"].alias(column)


def _given(rows: Ints) -> Ints:
    return rows


def _twice(table: Table, examples: pl.DataFrame, repeated: int) -> Problem:
    return table.source.data_problem(
        f"{repeated} rows repeat a ({c.REQUEST_ID}, {c.ITEM_ID}) that is already there, such as {border.rows(examples)}",
        c.ITEM_ID,
    )
