"""Whatever holds a table in Python becomes a Polars frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from rankcast.errors import DataError, clip, show
from rankcast.tables import columns as c


def to_frame(given: Any, value: str, what: str) -> tuple[pl.DataFrame, bool]:
    """A frame of what was handed over, and whether it was nested: `{request: {item: value}}`, as ranx has it.

    Polars, pandas, PyArrow, DuckDB and whatever else speaks the Arrow C interface, or a mapping of columns. Nothing of what is
    given changes.

    >>> frame, nested = to_frame({"q": {"d": 2.0}}, "score", "slates")
    >>> frame.rows(), nested
    ([('q', 'd', 2.0)], True)
    """
    if isinstance(given, pl.DataFrame):
        return given, False
    try:
        if isinstance(given, pl.LazyFrame):
            return given.collect(), False
        if isinstance(given, Mapping):
            return _from_mapping(given, value)
        if hasattr(given, "__arrow_c_stream__"):
            return _from_arrow(given), False
        if hasattr(given, "to_dict"):  # a Run or Qrels of ranx
            return _from_mapping(given.to_dict(), value)
    except Exception as error:  # whatever holds the data has its own ways to fail
        raise DataError(f"{what}: cannot be made a table: {type(error).__name__}: {clip(str(error), 200)}") from error
    raise DataError(
        f"{what}: expected a file, a frame (pandas, Polars, PyArrow, DuckDB) or a dict, found {type(given).__name__} "
        f"{clip(show(str(given)), 60)}"
    )


def _from_arrow(given: Any) -> pl.DataFrame:
    try:
        return pl.DataFrame(given)
    except (ImportError, ModuleNotFoundError):  # pandas needs PyArrow for that, and columns of NumPy do as well
        return pl.DataFrame({str(name): given[name].to_numpy() for name in given.columns})


def _from_mapping(given: Mapping[Any, Any], value: str) -> tuple[pl.DataFrame, bool]:
    nested = [one for one in given.values() if isinstance(one, Mapping)]
    if given and not nested:
        return pl.DataFrame(dict(given)), False
    if len(nested) < len(given):
        raise ValueError("some of its values are dicts and some are not")
    for kind, ids in (("requests", list(given)), ("items", [item for items in nested for item in items])):
        if len({isinstance(one, str) for one in ids}) > 1:
            raise ValueError(f"some {kind} are text and some are not")
    empty = [request for request, items in given.items() if not items] if value == c.GRADE else []
    requests = [request for request, items in given.items() for _ in items]
    items = [item for items in given.values() for item in items]
    numbers = [float(one) for items in given.values() for one in items.values()]
    some = {
        c.REQUEST_ID: requests + empty,
        c.ITEM_ID: items + [None] * len(empty),
        value: numbers + [None] * len(empty),
    }
    kinds = {c.REQUEST_ID: requests + empty, c.ITEM_ID: items}
    frame = pl.DataFrame([pl.Series(name, column, dtype=_dtype(kinds.get(name))) for name, column in some.items()])
    return frame, True


def _dtype(ids: list[Any] | None) -> type[pl.DataType] | None:
    """Of an id column: as it comes, text where nothing comes; of numbers: floats."""
    if ids is None:
        return pl.Float64
    return None if ids else pl.String
