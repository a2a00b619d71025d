"""Batches of rows become batches of whole lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl

from rankcast.tables import columns as c

_LOOK = 1024


def whole_lists(batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows in batches that cut no list whose rows stand together; lists that a batch cut come at the end."""
    open_list: list[pl.DataFrame] = []
    mended: list[pl.DataFrame] = []
    for batch in batches:
        if not len(batch):
            continue
        owner = batch[c.REQUEST_ID]
        first = 0
        if open_list and owner[0] == open_list[0][c.REQUEST_ID][0]:
            first = _first_run(owner)
            open_list.append(_copy(batch, 0, first))
            if first == len(batch):
                continue
        mended += _closed(open_list)
        last = len(batch) - _first_run(owner, from_end=True)
        open_list = [_copy(batch, last, len(batch))]
        if last > first:
            yield batch.slice(first, last - first)
    mended += _closed(open_list)
    if mended:
        yield pl.concat(mended)


def _copy(batch: pl.DataFrame, start: int, end: int) -> pl.DataFrame:
    """Some rows in memory of their own: a slice would keep the whole batch alive."""
    return batch[np.arange(start, end)]


def _closed(parts: list[pl.DataFrame]) -> list[pl.DataFrame]:
    return [pl.concat(parts)] if len(parts) > 1 else parts


def _first_run(owner: pl.Series, from_end: bool = False) -> int:
    """How many values at the beginning (or end) are the same."""
    look = _LOOK
    while True:
        part = owner.tail(look) if from_end else owner.head(look)
        other = (part != part[-1 if from_end else 0]).arg_true()
        if len(other):
            return len(part) - 1 - int(other[-1]) if from_end else int(other[0])
        if look >= len(owner):
            return len(owner)
        look *= 8
