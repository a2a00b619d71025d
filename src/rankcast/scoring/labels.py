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
    """Labels of n requests, in order of request_id: the ids, and a `truth` of their keys; `items` are the labels' ids, in the
    order of the truth where they are text.

    `about` has what else the rows say, in the same order of requests; `by_user`: a request is a user.
    """

    requests: pl.Series
    truth: Truth
    items: pl.Series
    about: pl.DataFrame
    request_keys: Keys
    item_keys: Keys
    by_user: bool

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
        about = frame.drop(c.ITEM_ID, c.GRADE)
        unjudged = frame[c.GRADE] < 0
        if unjudged.any():
            kept = ~unjudged
            frame, code = frame.filter(kept), code[kept.to_numpy()]
        item, grade = frame[c.ITEM_ID], frame[c.GRADE].to_numpy()
        found = match(Batch.of(code, item_keys.of(item), grade, _NOTHING), _NOTHING, "any", _given)
        if len(found.repeated):
            pairs = frame.select(c.REQUEST_ID, c.ITEM_ID)
            check_repeats(pairs, len(found.repeated), request_keys, item_keys)
            raise DataError(_twice(table, pairs[found.repeated[:3]], len(found.repeated)))
        if found.order is not None:
            grade = grade[found.order]
            item = item.gather(found.order) if item_keys.text else item
        truth = Truth(KeyIndex(owner), offsets(code, len(requests)), found.item, grade)
        return cls(requests, truth, item, about, request_keys, item_keys, table.by_user)

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
        found = self.about.group_by(c.REQUEST_ID, maintain_order=True).agg(
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
