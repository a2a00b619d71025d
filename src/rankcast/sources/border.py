"""The border: every table is checked here once against its declared schema, and trusted afterwards.

All problems of a table are collected, with column, counts and examples. What comes out has the declared columns under our
names, ids as 64-bit integers or text, instants in UTC with microseconds, and every other column untouched.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from rankcast.errors import Problem, clip, nearest, show
from rankcast.sources.source import Source
from rankcast.tables import columns as c
from rankcast.tables.schema import Kind, Schema
from rankcast.tables.timestamps import to_utc

_CANONICAL_INTEGER = r"^(0|-?[1-9][0-9]{0,18})$"
_DIGITS = r"^[+-]?[0-9]+$"
_FLOAT = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_EXAMPLES = 3
_REMEDY = {c.USER_ID: "; give anonymous visitors an id of their own, such as `coalesce(user_id, session_id)` in `sql`"}


@dataclass(frozen=True)
class Checked:
    """A table after the border, or what is wrong with it."""

    frame: pl.DataFrame
    problems: tuple[Problem, ...] = ()


def check(
    raw: pl.DataFrame,
    schema: Schema,
    source: Source,
    timezone: str,
    from_text: bool,
    integers: frozenset[str] | None = None,
    duplicates: bool = True,
) -> Checked:
    """Hold a raw frame against its schema. `from_text`: the values come from csv, where everything is text.

    Where a frame is only some of a table's rows, `integers` says which ids of csv are integers in all rows, and `duplicates`
    are looked for elsewhere.
    """
    renamed, problems = _rename(raw, source)
    problems += missing_columns(renamed.columns, schema, source)
    if problems:
        return Checked(renamed, tuple(problems))
    beaten = {other for one, other in schema.either if one in renamed.columns}
    columns: list[pl.Series] = []
    for series in renamed.drop(beaten & set(renamed.columns)).get_columns():
        kind = schema.kinds.get(series.name)
        if kind is None:
            if schema.extras:
                columns.append(_guess(series) if from_text else _plain(series))
            continue
        converted, wrong = _convert(series, kind, source, timezone, from_text, integers)
        converted = converted.alias(series.name)
        columns.append(converted)
        problems += wrong
        if not wrong and series.name not in schema.nullable:
            problems += _nulls(converted, source)
    frame = pl.DataFrame(columns)
    if not problems:
        problems += _values(frame, schema, source)
        problems += _duplicates(frame, schema, source) if duplicates else []
    return Checked(frame, tuple(problems))


def missing_columns(found: list[str], schema: Schema, source: Source) -> list[Problem]:
    """A problem for each declared column that is not among `found`."""
    problems = [
        source.data_problem(
            f"column `{name}` is missing{nearest(name, found)}{separator_hint(found)}; {source.how_to_map(name)}",
            name,
        )
        for name in schema.required
        if name not in found
    ]
    problems += [
        source.data_problem(f"neither `{one}` nor `{other}` is there; found: {', '.join(found)}")
        for one, other in schema.either
        if one not in found and other not in found
    ]
    return problems


def unmapped(ours: str, theirs: str, found: list[str], source: Source) -> Problem:
    """The problem of a mapping to a column that is not there."""
    return source.data_problem(
        f"column `{theirs}` is missing{nearest(theirs, found)}{separator_hint(found)}", f"columns.{ours}"
    )


def separator_hint(header: list[str]) -> str:
    """A hint when a csv file seems to be separated by something else than commas."""
    odd = next((mark for mark in (";", "\t", "|") if len(header) == 1 and mark in header[0]), None)
    return "" if odd is None else f"; the columns seem to be separated by {odd!r}, expected commas"


def _rename(raw: pl.DataFrame, source: Source) -> tuple[pl.DataFrame, list[Problem]]:
    lost = [(ours, theirs) for ours, theirs in source.columns.items() if theirs not in raw.columns]
    problems = [unmapped(ours, theirs, raw.columns, source) for ours, theirs in lost]
    if problems:
        return raw, problems
    taken = set(source.columns.values())
    kept = [name for name in raw.columns if name not in taken and name not in source.columns]
    mapped = [pl.col(theirs).alias(ours) for ours, theirs in source.columns.items()]
    return raw.select(*mapped, *kept), []


def _convert(
    series: pl.Series, kind: Kind, source: Source, timezone: str, from_text: bool, integers: frozenset[str] | None
) -> tuple[pl.Series, list[Problem]]:
    if kind is Kind.ID:
        whole = None if integers is None else series.name in integers
        converted: pl.Series | None = _to_id(series, from_text, whole)
    elif kind is Kind.TIME:
        converted = to_utc(series, timezone)
    elif kind is Kind.TEXT:
        converted = _plain(series) if _plain(series).dtype in (pl.String, pl.Null) else None
        converted = None if converted is None else converted.cast(pl.String)
    elif kind is Kind.COUNT:
        converted = _to_count(series)
    elif kind is Kind.ANY:
        converted = _guess(series) if from_text else _plain(series)
    else:
        converted = _to_number(series)
    if converted is None:
        hint = "; turn epochs into time stamps with `sql`, e.g. to_timestamp(ts)" if kind is Kind.TIME else ""
        found = f"found {type_name(series.dtype)} such as {_examples(series)}"
        return series, [source.data_problem(f"expected {kind.value}, {found}{hint}", series.name)]
    lost = converted.is_null() & series.is_not_null()
    if lost.any() and kind is not Kind.ANY:
        message = (
            f"{int(lost.sum())} of {len(series)} values are not {kind.value}, such as {_examples(series.filter(lost))}"
            f"{f'; beyond 64 bits: make it text {source.by_sql}' if kind is Kind.ID else ''}"
        )
        return converted, [source.data_problem(message, series.name)]
    return converted, []


def _to_id(series: pl.Series, from_text: bool, whole: bool | None) -> pl.Series | None:
    plain = _plain(series)
    if plain.dtype == pl.String and from_text and whole is not None:
        text = plain.set(plain == "", None)
        return text.cast(pl.Int64, strict=False) if whole else text
    if plain.dtype == pl.String:
        return integers_of(plain) if from_text else plain
    if plain.dtype.is_integer():
        return plain.cast(pl.Int64, strict=False)
    return plain.cast(pl.Int64) if plain.dtype == pl.Null else None


def integers_of(text: pl.Series) -> pl.Series:
    """csv text as integers if every value is a canonical one of 64 bits, else as it is; an empty text is no id."""
    text = text.set(text == "", None)
    values = text.drop_nulls()
    if len(values) and values.str.contains(_CANONICAL_INTEGER).all():
        integers = text.cast(pl.Int64, strict=False)
        return integers if integers.null_count() == text.null_count() else text
    return text


def all_integers(name: str) -> pl.Expr:
    """Whether `integers_of` makes integers of a column of text."""
    text = pl.when(pl.col(name) != "").then(pl.col(name))
    integers = text.cast(pl.Int64, strict=False)
    fits = text.str.contains(_CANONICAL_INTEGER).all() & (integers.null_count() == text.null_count())
    return (fits & (text.count() > 0)).alias(name)


def _to_count(series: pl.Series) -> pl.Series | None:
    if series.dtype == pl.String:
        return series.cast(pl.Int64, strict=False)
    if series.dtype.is_float():
        return series.set(~(series == series.floor()), None).cast(pl.Int64, strict=False)
    return series.cast(pl.Int64, strict=False) if series.dtype.is_integer() or series.dtype == pl.Null else None


def _to_number(series: pl.Series) -> pl.Series | None:
    if series.dtype.is_numeric() or series.dtype in (pl.String, pl.Null):
        return series.cast(pl.Float64, strict=False)
    return None


def _plain(series: pl.Series) -> pl.Series:
    """Categories are text, NaN is null; what else a file holds stays as it is."""
    if series.dtype.is_float():
        return series.fill_nan(None)
    return series.cast(pl.String) if series.dtype in (pl.Categorical, pl.Enum) else series


def _guess(series: pl.Series) -> pl.Series:
    """A type for an undeclared csv column: integer, number or boolean only if every value is one. 007 stays text."""
    values = series.drop_nulls()
    if series.dtype != pl.String:
        return series
    if not len(values):
        return series.cast(pl.Null)
    if values.str.contains(_DIGITS).all():
        return integers_of(series)  # too long for 64 bits: text, since numbers would merge
    if values.str.contains(_FLOAT).all() and not values.str.contains(r"^[+-]?0[0-9]").any():
        return series.cast(pl.Float64)
    if values.str.to_lowercase().is_in(["true", "false"]).all():
        return series.str.to_lowercase() == "true"
    return series


def _nulls(series: pl.Series, source: Source) -> list[Problem]:
    count = series.null_count()
    if not count:
        return []
    rows = series.is_null().arg_true().head(_EXAMPLES).to_list()
    where = ", ".join(str(row + 1) for row in rows)
    remedy = _REMEDY.get(series.name) or f"; leave such rows out {source.by_sql}"
    return [source.data_problem(f"{count} of {len(series)} values are null (rows {where}){remedy}", series.name)]


def _values(frame: pl.DataFrame, schema: Schema, source: Source) -> list[Problem]:
    problems = []
    if c.SCORE in frame.columns and schema.kinds.get(c.SCORE) is Kind.NUMBER and frame[c.SCORE].is_nan().any():
        broken = frame.filter(pl.col(c.SCORE).is_nan())
        problems.append(
            source.data_problem(
                f"{len(broken)} of {len(frame)} scores are NaN, such as {rows(broken)}; a model that cannot score an item "
                "must leave the row out",
                c.SCORE,
            )
        )
    if c.RANK in frame.columns and schema.kinds.get(c.RANK) is Kind.COUNT:
        broken = frame.filter(pl.col(c.RANK) < 1)
        if len(broken):
            problems.append(
                source.data_problem(
                    f"{len(broken)} of {len(frame)} ranks are below 1, such as {rows(broken)}; ranks count from 1",
                    c.RANK,
                )
            )
    if c.CLOSE_AT in frame.columns and schema.kinds.get(c.CLOSE_AT) is Kind.TIME:
        broken = frame.filter(pl.col(c.CLOSE_AT) < pl.col(c.OPEN_AT))
        if len(broken):
            problems.append(
                source.data_problem(
                    f"{len(broken)} of {len(frame)} intervals close before they open, such as {rows(broken)}",
                    c.CLOSE_AT,
                )
            )
    return problems


def _duplicates(frame: pl.DataFrame, schema: Schema, source: Source) -> list[Problem]:
    keys = [list(schema.unique)]
    if schema.table == "placements":  # one item at a rank, one rank for an item
        owner = [c.REQUEST_ID] if c.REQUEST_ID in frame.columns else []
        keys = [[*owner, c.ITEM_ID], [*owner, c.RANK]]
    return [problem for key in keys if key for problem in _repeated(frame, key, source)]


def _repeated(frame: pl.DataFrame, key: list[str], source: Source) -> list[Problem]:
    repeated = (
        len(frame) - frame.select(pl.struct(key).n_unique() if len(key) > 1 else pl.col(key[0]).n_unique()).item()
    )
    if not repeated:
        return []
    broken = frame.filter(frame.select(key).is_duplicated()).select(key).unique(maintain_order=True)
    name = ", ".join(key)
    return [
        source.data_problem(f"{repeated} rows repeat a ({name}) that is already there, such as {rows(broken)}", key[-1])
    ]


def type_name(dtype: pl.DataType) -> str:
    """A type as people say it."""
    if dtype.is_integer():
        return "integers"
    if dtype.is_numeric():
        return "numbers"
    if dtype.is_temporal():
        return "times"
    names = {
        pl.String: "text",
        pl.Boolean: "booleans",
        pl.Null: "nothing but nulls",
        pl.List: "lists",
        pl.Struct: "records",
    }
    return next((name for kind, name in names.items() if dtype == kind), str(dtype))


def _examples(series: pl.Series) -> str:
    values = series.drop_nulls()
    values = values.to_physical() if values.dtype.is_temporal() else values  # what no calendar holds cannot be written
    shown = [clip(show(value), 40) for value in values.unique(maintain_order=True).head(_EXAMPLES).to_list()]
    return ", ".join(shown) or "nothing but nulls"


def rows(frame: pl.DataFrame) -> str:
    """The first rows of a frame, for a message."""
    return "; ".join(
        ", ".join(f"{name}={clip(str(value), 40)}" for name, value in row.items())
        for row in frame.head(_EXAMPLES).to_dicts()
    )
