"""Values of two columns made comparable: each value becomes a code, lists become several."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from rankcast.errors import DataError
from rankcast.tables.logs import Bools, Ints
from rankcast.tables.ragged import offsets


@dataclass(frozen=True)
class ValueSets:
    """For each row of a column, its set of value codes: `code[start[r]:start[r + 1]]`; empty for null and empty lists.

    `keys` are all (row, code) pairs as sorted numbers row * size + code. `single`: where no set has two values, the one of
    each row, -1 for none; else None.
    """

    start: Ints
    code: Ints
    keys: Ints
    size: int
    single: Ints | None = None

    def contain(self, rows: Ints, codes: Ints) -> Bools:
        """Whether the set of `rows[i]` holds `codes[i]`."""
        if self.single is not None:
            same: Bools = self.single[rows] == codes
            return same
        if not len(self.keys):
            return np.zeros(len(rows), dtype=bool)
        wanted = rows * self.size + codes
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        found: Bools = self.keys[at] == wanted
        return found


def comparable(one: pl.Series, other: pl.Series) -> tuple[ValueSets, ValueSets]:
    """Both columns in the same codes. DataError when their types cannot be compared."""
    flat_one, flat_other = _explode(one), _explode(other)
    left, right = flat_one["value"], flat_other["value"]
    if not len(left) or not len(right):  # a column of nothing but nulls may have any type
        left, right = (left, right.cast(left.dtype)) if len(left) else (left.cast(right.dtype), right)
    elif _family(left.dtype) != _family(right.dtype):
        raise DataError(f"`{one.name}` holds {left.dtype}, `{other.name}` holds {right.dtype}: they can never be equal")
    both = pl.concat([pl.DataFrame({"value": left}), pl.DataFrame({"value": right})], how="vertical_relaxed")["value"]
    codes = both.rank("dense").cast(pl.Int64).to_numpy() if len(both) else np.zeros(0, dtype=np.int64)
    size = int(codes.max(initial=0)) + 1
    return (
        _sets(flat_one["row"], codes[: len(left)], len(one), size),
        _sets(flat_other["row"], codes[len(left) :], len(other), size),
    )


def group_codes(column: pl.Series) -> Ints:
    """A code for each distinct value of a column, in their order; -1 for null. DataError for lists and records."""
    if column.dtype.is_nested():
        raise DataError(f"`{column.name}` holds lists or records; expected one value a row")
    if column.dtype == pl.Null:
        return np.full(len(column), -1, dtype=np.int64)
    return column.rank("dense").cast(pl.Int64).fill_null(-1).to_numpy()


def _explode(column: pl.Series) -> pl.DataFrame:
    frame = pl.DataFrame({"row": np.arange(len(column), dtype=np.int64), "value": column})
    if isinstance(column.dtype, pl.List | pl.Array):
        frame = frame.explode("value")
    if frame["value"].dtype in (pl.Categorical, pl.Enum):
        frame = frame.with_columns(pl.col("value").cast(pl.String))
    if frame["value"].dtype == pl.String:
        frame = frame.filter(pl.col("value") != "")  # an empty text is a filter that is not set
    return frame.drop_nulls("value")


def _sets(row: pl.Series, codes: Ints, rows: int, size: int) -> ValueSets:
    owner = row.to_numpy()
    start = offsets(owner, rows)
    single = None
    if len(owner) == 0 or np.diff(start).max(initial=0) <= 1:
        single = np.full(rows, -1, dtype=np.int64)
        single[owner] = codes
    return ValueSets(start, codes, np.unique(owner * size + codes), size, single)


def _family(dtype: pl.DataType) -> str:
    return "number" if dtype.is_numeric() else "time" if dtype.is_temporal() else str(dtype)
