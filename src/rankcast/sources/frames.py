"""Whatever holds a table in Python becomes a Polars frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from rankcast.errors import DataError, clip, show
from rankcast.tables import columns as c


def to_frame(given: Any, value: str, what: str) -> pl.DataFrame:
    """A frame from Polars, pandas, PyArrow, DuckDB or whatever speaks the Arrow C interface, from a mapping of columns, or from
    `{request: {item: value}}`, as ranx has it. Nothing of what is given changes.

    >>> to_frame({"q": {"d": 2.0}}, "score", "slates").rows()
    [('q', 'd', 2.0)]
    """
    if isinstance(given, pl.DataFrame):
        return given
    if isinstance(given, pl.LazyFrame):
        return given.collect()
    try:
        if isinstance(given, Mapping):
            return _from_mapping(given, value)
        if hasattr(given, "__arrow_c_stream__"):
            return _from_arrow(given)
        if hasattr(given, "to_dict"):  # a Run or Qrels of ranx
            return _from_mapping(given.to_dict(), value)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{what}: cannot be made a table: {clip(str(error), 200)}") from error
    raise DataError(
        f"{what}: expected a file, a frame (pandas, Polars, PyArrow, DuckDB) or a dict, found {type(given).__name__} "
        f"{clip(show(str(given)), 60)}"
    )


def _from_arrow(given: Any) -> pl.DataFrame:
    try:
        return pl.DataFrame(given)
    except (ImportError, ModuleNotFoundError):  # pandas needs PyArrow for that, and columns of NumPy do as well
        return pl.DataFrame({str(name): given[name].to_numpy() for name in given.columns})


def _from_mapping(given: Mapping[Any, Any], value: str) -> pl.DataFrame:
    nested = [one for one in given.values() if isinstance(one, Mapping)]
    if given and not nested:
        return pl.DataFrame(dict(given))
    if len(nested) < len(given):
        raise ValueError("some of its values are dicts and some are not")
    requests = [request for request, items in given.items() for _ in items]
    return pl.DataFrame(
        {
            c.REQUEST_ID: pl.Series(requests, dtype=None if requests else pl.String),
            c.ITEM_ID: [item for items in given.values() for item in items]
            if requests
            else pl.Series([], dtype=pl.String),
            value: pl.Series([float(one) for items in given.values() for one in items.values()], dtype=pl.Float64),
        }
    )
