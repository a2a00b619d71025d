"""Slates and labels from anywhere: files of any known kind, or frames, under our names and checked.

A parquet file of slates is never read whole: it comes in batches, or in the part of its requests that hash alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rankcast.errors import DataError, Problem, nearest
from rankcast.sources import border, files, trec
from rankcast.sources.frames import to_frame
from rankcast.sources.source import FileSet, Pattern, Source, why_missing
from rankcast.tables import columns as c
from rankcast.tables.schema import HISTORY, ITEMS, LABELS, SLATES, Schema

BATCH_ROWS = 1 << 20

# Names that are understood for ours; the first that is there wins.
UNDERSTOOD: Mapping[str, tuple[str, ...]] = {
    c.REQUEST_ID: ("query_id", "q_id", "qid"),
    c.ITEM_ID: ("doc_id", "docno"),
    c.GRADE: ("relevance", "rating", "label", "gain"),
}

_DECLARED = {c.REQUEST_ID: (pl.Int64, pl.String), c.ITEM_ID: (pl.Int64, pl.String), c.SCORE: (pl.Float64, pl.Float32)}


@dataclass(frozen=True)
class Table:
    """One table as it was given: `whole` where it is in memory, else `lazy`, a scan of parquet files."""

    source: Source
    names: tuple[str, ...]
    from_text: bool
    trec: bool
    whole: pl.DataFrame | None = None
    lazy: pl.LazyFrame | None = None

    def named(self, columns: Mapping[str, str]) -> Table:
        """With a mapping ours: theirs, as far as it concerns this table, and with the names that are understood anyway."""
        mapped = {ours: theirs for ours, theirs in columns.items() if theirs in self.names}
        for ours, others in UNDERSTOOD.items():
            found = next((name for name in others if name in self.names), None)
            if ours not in mapped and ours not in self.names and found is not None:
                mapped[ours] = found
        return replace(self, source=replace(self.source, columns=mapped))

    def has(self, ours: str) -> bool:
        """Whether there is such a column."""
        return ours in self.source.columns or (ours in self.names and ours not in self.source.columns.values())

    def keyed_by(self, ours: str) -> Table:
        """With another column in the place of request_id."""
        columns = dict(self.source.columns)
        columns[c.REQUEST_ID] = columns.pop(ours, ours)
        return replace(self, source=replace(self.source, columns=columns))

    def check(self, raw: pl.DataFrame, schema: Schema) -> pl.DataFrame:
        """Rows under our names with the types that the schema says; DataError says what is wrong."""
        ready = self._ready(raw, schema)
        if ready is not None:
            return ready
        checked = border.check(raw, schema, self.source, "UTC", self.from_text and not self.trec)
        if checked.problems:
            raise DataError(checked.problems)
        return checked.frame

    def _ready(self, raw: pl.DataFrame, schema: Schema) -> pl.DataFrame | None:
        """Slates that are as they should be already, which most are: the border would copy and look twice. None for others."""
        theirs = {ours: self.source.columns.get(ours, ours) for ours in schema.kinds}
        value = c.SCORE if theirs.get(c.SCORE) in raw.columns else None
        if (
            schema is not SLATES
            or value is None
            or theirs[c.REQUEST_ID] not in raw.columns
            or theirs[c.ITEM_ID] not in raw.columns
        ):
            return None
        frame = pl.DataFrame([raw[theirs[ours]].alias(ours) for ours in (c.REQUEST_ID, c.ITEM_ID, value)])
        as_declared = all(
            frame[name].dtype in _DECLARED[name] and not frame[name].null_count() for name in frame.columns
        )
        # A minimum is NaN where any value is, and comes faster than asking each of them.
        return frame if as_declared and not (len(frame) and np.isnan(frame[value].to_numpy().min())) else None

    def read(self, schema: Schema) -> pl.DataFrame:
        """All rows, checked."""
        raw = self.whole if self.whole is not None else self._scan().collect()
        return self.check(raw, schema)

    def sample(self) -> pl.DataFrame:
        """A few rows, which tell the types."""
        return self.whole.head(1) if self.whole is not None else self._scan().head(1).collect()

    def batches(self) -> Iterator[pl.DataFrame]:
        """All rows as they came, some at a time, in order."""
        if self.whole is not None:
            yield from self.whole.iter_slices(BATCH_ROWS)
        else:
            yield from self._scan().collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)

    def part(self, number: int, of: int, column: str) -> pl.DataFrame:
        """The rows whose value in a column, hashed, falls into one of `of` parts: a value is in one part only."""
        theirs = self.source.columns.get(column, column)
        rows = self.whole.lazy() if self.whole is not None else self._scan()
        return rows.filter(pl.col(theirs).hash() % of == number).collect(engine="streaming")

    def count(self) -> int:
        """How many rows there are."""
        if self.whole is not None:
            return len(self.whole)
        rows: int = self._scan().select(pl.len()).collect().item()
        return rows

    def _scan(self) -> pl.LazyFrame:
        if self.lazy is None:
            raise ValueError("a table is whole or lazy")
        wanted = {self.source.columns.get(ours, ours) for ours in SLATES.kinds} & set(self.names)
        return self.lazy.select([name for name in self.names if name in wanted])


def open_table(given: Any, what: str, value: str, lazy: bool = False) -> Table:
    """A table from a path (or glob), a frame or a dict. `value` is what a number by request and item means: score or grade.

    `lazy`: parquet files are not read yet.
    """
    if not isinstance(given, str | Path):
        frame = to_frame(given, value, what)
        source = Source(key=what, given=f"the {type(given).__name__}")
        return Table(source, tuple(frame.columns), from_text=False, trec=False, whole=frame)
    text = str(given)
    pattern = Pattern.of(text, text, Path.cwd())
    source = Source(key=what, files=FileSet((pattern,)))
    paths, missing = FileSet((pattern,)).find()
    if missing:
        told = why_missing(pattern).replace("the file that names it", "where the command runs")
        raise DataError(Problem(told, key=what))
    kinds = {path: trec.kind_of(path) for path in paths}
    if len(set(kinds.values())) > 1:
        found = ", ".join(f"{paths[path]} ({kind})" for path, kind in list(kinds.items())[:3])
        raise DataError(source.problem(f"files of several kinds: {found}"))
    kind = next(iter(kinds.values()))
    if kind == "parquet" and lazy:
        return _scanned(paths, source)
    parts = {shown: _read(path, shown, kind, value, source) for path, shown in paths.items()}
    files.check_alike(parts, source)
    whole = pl.concat(parts.values(), how="diagonal_relaxed") if len(parts) > 1 else next(iter(parts.values()))
    return Table(source, tuple(whole.columns), kind in {"csv", "trec"}, kind == "trec", whole=whole)


def _scanned(paths: Mapping[Path, str], source: Source) -> Table:
    try:
        lazy = pl.scan_parquet(list(paths), glob=False, hive_partitioning=False)
        names = tuple(lazy.collect_schema())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(source.data_problem(f"cannot be read as parquet: {files.first_line(error)}")) from error
    return Table(source, names, from_text=False, trec=False, lazy=lazy)


def _read(path: Path, shown: str, kind: trec.Kind, value: str, source: Source) -> pl.DataFrame:
    if kind == "trec":
        return trec.read_trec(path, shown, "run" if value == c.SCORE else "qrels", source)
    return files.read_file(path, shown, kind, source)


def slates_and_labels(slates: Table, labels: Table, columns: Mapping[str, str]) -> tuple[Table, Table]:
    """Both with our names, keyed alike: by request_id, or by user_id where one of them has no request_id."""
    everywhere = {*slates.names, *labels.names}
    unknown = [
        Problem(f"no column `{theirs}` in slates or labels{nearest(theirs, everywhere)}", key=f"columns.{ours}")
        for ours, theirs in columns.items()
        if theirs not in everywhere
    ]
    if unknown:
        raise DataError(unknown)
    slates, labels = slates.named(columns), labels.named(columns)
    if slates.has(c.REQUEST_ID) and labels.has(c.REQUEST_ID):
        return slates, labels
    if slates.has(c.USER_ID) and labels.has(c.USER_ID):
        return slates.keyed_by(c.USER_ID), labels.keyed_by(c.USER_ID)
    lacking = [
        table.source.data_problem(
            f"column `{c.REQUEST_ID}` is missing{nearest(c.REQUEST_ID, table.names)}"
            f"{border.separator_hint([*table.names])}; map it with --columns {c.REQUEST_ID}=<theirs>"
        )
        for table in (slates, labels)
        if not table.has(c.REQUEST_ID)
    ]
    raise DataError(lacking)


def read_labels(table: Table) -> pl.DataFrame:
    """request_id, item_id, grade and every other column. A negative grade of TREC qrels means unjudged: its row stays for its
    request alone, with a null item.
    """
    raw = table.whole if table.whole is not None else pl.DataFrame()
    theirs = table.source.columns.get(c.GRADE, c.GRADE)
    if theirs in raw.columns and raw[theirs].dtype == pl.Boolean:
        raw = raw.with_columns(pl.col(theirs).cast(pl.Float64))
    frame = table.check(raw, LABELS)
    grades = frame[c.GRADE]
    problems = [
        table.source.data_problem(f"{int(wrong.sum())} of {len(frame)} grades are {what}, such as {example}", c.GRADE)
        for what, wrong in (("NaN", grades.is_nan()), ("infinite", grades.is_infinite()))
        for example in [_example(frame, wrong)]
        if wrong.any()
    ]
    negative = grades < 0
    if negative.any() and not table.trec:
        problems.append(
            table.source.data_problem(
                f"{int(negative.sum())} of {len(frame)} grades are negative, such as {_example(frame, negative)}; only TREC "
                "qrels may say so that nobody judged an item; leave such rows out",
                c.GRADE,
            )
        )
    if problems:
        raise DataError(problems)
    return frame


def read_catalogue(given: Any, columns: Mapping[str, str]) -> tuple[Table, pl.DataFrame]:
    """Items with their attributes."""
    table = open_table(given, "items", c.SCORE).named(columns)
    return table, table.read(ITEMS)


def read_history(given: Any, columns: Mapping[str, str]) -> tuple[Table, pl.DataFrame]:
    """What users did before: user_id and item_id of every event."""
    table = open_table(given, "history", c.SCORE).named(columns)
    return table, table.read(HISTORY)


def _example(frame: pl.DataFrame, mask: pl.Series) -> str:
    return border.rows(frame.filter(mask).select(c.REQUEST_ID, c.ITEM_ID, c.GRADE)) if mask.any() else ""
