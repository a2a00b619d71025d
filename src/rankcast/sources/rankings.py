"""Slates and labels from anywhere: files of any known kind, or frames, under our names and checked.

A parquet file of slates is never read whole: it comes in batches, or in the part of its requests that hash alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
from rankcast.tables.schema import LABELS, SLATES, Schema

BATCH_ROWS = 1 << 20
UNJUDGED = -1.0  # the grade of a row that stands for its request alone

# Names that are understood for ours; the first that is there wins.
UNDERSTOOD: Mapping[str, tuple[str, ...]] = {
    c.REQUEST_ID: ("query_id", "q_id", "qid"),
    c.ITEM_ID: ("doc_id", "docno"),
    c.GRADE: ("relevance", "rating", "label", "gain"),
}
# Which of our names concern which table.
OURS: Mapping[str, tuple[str, ...]] = {
    "slates": (c.REQUEST_ID, c.USER_ID, c.ITEM_ID, c.SCORE, c.RANK),
    "labels": (c.REQUEST_ID, c.USER_ID, c.ITEM_ID, c.GRADE),
    "items": (c.ITEM_ID,),
    "history": (c.USER_ID, c.ITEM_ID),
}
_DECLARED = {c.REQUEST_ID: (pl.Int64, pl.String), c.ITEM_ID: (pl.Int64, pl.String), c.SCORE: (pl.Float64, pl.Float32)}


@dataclass(frozen=True)
class Table:
    """One table as it was given: `whole` where it is in memory, else `lazy`, a scan of each of its parquet files.

    `by_user`: user_id stands for request_id. `nested`: it came as `{request: {item: number}}`.
    """

    source: Source
    names: tuple[str, ...]
    from_text: bool = False
    trec: bool = False
    nested: bool = False
    by_user: bool = False
    whole: pl.DataFrame | None = None
    lazy: tuple[pl.LazyFrame, ...] = ()

    def named(self, columns: Mapping[str, str]) -> Table:
        """With a mapping ours: theirs, as far as it concerns this table, and with the names that are understood anyway."""
        ours_here = OURS[self.source.key]
        mapped = {ours: theirs for ours, theirs in columns.items() if ours in ours_here and theirs in self.names}
        for ours, others in UNDERSTOOD.items():
            found = next((name for name in others if name in self.names and name not in mapped.values()), None)
            if ours in ours_here and ours not in mapped and ours not in self.names and found is not None:
                mapped[ours] = found
        return replace(self, source=replace(self.source, columns=mapped))

    def has(self, ours: str) -> bool:
        """Whether there is such a column."""
        return ours in self.source.columns or (ours in self.names and ours not in self.source.columns.values())

    def keyed_by_user(self) -> Table:
        """With user_id in the place of request_id."""
        columns = dict(self.source.columns)
        columns[c.REQUEST_ID] = columns.pop(c.USER_ID, c.USER_ID)
        return replace(self, by_user=True, source=replace(self.source, columns=columns))

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
        named = all(theirs.get(ours) in raw.columns for ours in (c.REQUEST_ID, c.ITEM_ID, c.SCORE))
        if schema is not SLATES or not named:
            return None
        frame = pl.DataFrame([raw[theirs[ours]].alias(ours) for ours in (c.REQUEST_ID, c.ITEM_ID, c.SCORE)])
        as_declared = all(
            frame[name].dtype in _DECLARED[name] and not frame[name].null_count() for name in frame.columns
        )
        # A minimum is NaN where any value is, and comes faster than asking each of them.
        return frame if as_declared and not (len(frame) and np.isnan(frame[c.SCORE].to_numpy().min())) else None

    def read(self, schema: Schema) -> pl.DataFrame:
        """All rows, checked."""
        return self.check(self.whole if self.whole is not None else pl.DataFrame(), schema)

    def read_or_look(self, schema: Schema) -> pl.DataFrame:
        """All rows where they are in memory; else none, which tells the types."""
        if self.whole is not None:
            return self.read(schema)
        with self._reading():
            return self.check(self._scan(self.lazy[0]).head(0).collect(), schema)

    def batches(self) -> Iterator[pl.DataFrame]:
        """All rows as they came, some at a time, in order. Reading begins at once, behind whatever is done first."""
        if self.whole is not None:
            return self.whole.iter_slices(BATCH_ROWS)
        with self._reading():
            return self._after(self._begin(self.lazy[0]))

    def _after(self, first: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        with self._reading():
            yield from first
            for lazy in self.lazy[1:]:
                yield from self._begin(lazy)

    def _begin(self, lazy: pl.LazyFrame) -> Iterator[pl.DataFrame]:
        return self._scan(lazy).collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)

    def part(self, number: int, of: int, column: str) -> list[pl.DataFrame]:
        """The rows whose value in a column, hashed, falls into one of `of` parts, file by file: a value is in one part only."""
        theirs = self.source.columns.get(column, column)
        scans = [self._scan(lazy) for lazy in self.lazy] if self.whole is None else [self.whole.lazy()]
        # One file's integers may be narrower than another's, and would hash otherwise.
        whole_numbers = scans[0].collect_schema()[theirs].is_integer()
        key = pl.col(theirs).cast(pl.Int64 if whole_numbers else pl.String)
        with self._reading():
            return [rows.filter(key.hash() % of == number).collect(engine="streaming") for rows in scans]

    def count(self) -> int:
        """How many rows there are."""
        if self.whole is not None:
            return len(self.whole)
        with self._reading():
            return sum(int(lazy.select(pl.len()).collect().item()) for lazy in self.lazy)

    def _scan(self, lazy: pl.LazyFrame) -> pl.LazyFrame:
        """Of one file, the columns that count."""
        there = lazy.collect_schema().names()
        wanted = {self.source.columns.get(ours, ours) for ours in SLATES.kinds}
        return lazy.select([name for name in there if name in wanted])

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(self.source.data_problem(f"cannot be read: {files.first_line(error)}")) from error


def open_table(given: Any, what: str, value: str, lazy: bool = False) -> Table:
    """A table from a path (or glob), a frame or a dict. `value` is what a number by request and item means: score or grade.

    `lazy`: parquet files are not read yet.
    """
    if not isinstance(given, str | Path):
        frame, nested = to_frame(given, value, what)
        source = Source(key=what, given=f"the {type(given).__name__}", alone=True)
        return Table(source, tuple(frame.columns), nested=nested, whole=frame)
    pattern = _pattern(given)
    source = Source(key=what, files=FileSet((pattern,)), alone=True)
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


def files_of(given: Any) -> set[Path]:
    """The files that something handed over names, if it names any."""
    return {path.resolve() for path in _pattern(given).matches()} if isinstance(given, str | Path) else set()


def _pattern(given: str | Path) -> Pattern:
    return Pattern.of(str(given), str(given), Path.cwd())


def _scanned(paths: Mapping[Path, str], source: Source) -> Table:
    try:
        lazy = tuple(pl.scan_parquet(path, glob=False, hive_partitioning=False) for path in paths)
        names = tuple(lazy[0].collect_schema())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(source.data_problem(f"cannot be read as parquet: {files.first_line(error)}")) from error
    return Table(source, names, lazy=lazy)


def _read(path: Path, shown: str, kind: trec.Kind, value: str, source: Source) -> pl.DataFrame:
    if kind == "trec":
        return trec.read_trec(path, shown, "run" if value == c.SCORE else "qrels", source)
    return files.read_file(path, shown, kind, source)


def under_our_names(tables: Mapping[str, Table], columns: Mapping[str, str]) -> dict[str, Table]:
    """All with our names; slates and labels keyed alike: by request_id, or by user_id where one of them has no request_id."""
    known = {ours for names in OURS.values() for ours in names}
    everywhere = {name for table in tables.values() for name in table.names}
    unknown = [
        Problem(f"`{ours}` is none of our names{nearest(ours, known)}", key=f"columns.{ours}")
        for ours in columns
        if ours not in known
    ] + [
        Problem(f"no column `{theirs}` in {' or '.join(tables)}{nearest(theirs, everywhere)}", key=f"columns.{ours}")
        for ours, theirs in columns.items()
        if theirs not in everywhere
    ]
    if unknown:
        raise DataError(unknown)
    named = {name: table.named(columns) for name, table in tables.items()}
    pair = [named["slates"], named["labels"]]
    if all(table.has(c.REQUEST_ID) for table in pair):
        return named
    if all(table.has(c.USER_ID) for table in pair):
        return named | {name: named[name].keyed_by_user() for name in ("slates", "labels")}
    raise DataError(
        table.source.data_problem(
            f"column `{c.REQUEST_ID}` is missing{nearest(c.REQUEST_ID, table.names)}"
            f"{border.separator_hint([*table.names])}; {table.source.how_to_map(c.REQUEST_ID)}"
        )
        for table in pair
        if not table.has(c.REQUEST_ID)
    )


def read_labels(table: Table) -> pl.DataFrame:
    """request_id, item_id, grade and every other column. A negative grade of TREC qrels means unjudged: its row stays for its
    request alone, with a null item.
    """
    raw = table.whole if table.whole is not None else pl.DataFrame()
    theirs = table.source.columns.get(c.GRADE, c.GRADE)
    if theirs in raw.columns and raw[theirs].dtype == pl.Boolean:
        raw = raw.with_columns(pl.col(theirs).cast(pl.Float64))
    bare = raw.clear()
    if table.nested:  # a request without any label counts too
        bare, raw = raw.filter(pl.col(theirs).is_null()), raw.filter(pl.col(theirs).is_not_null())
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
    if len(bare):
        frame = pl.concat(
            [frame, bare.with_columns(pl.lit(UNJUDGED).alias(c.GRADE)).select(frame.columns)], how="vertical_relaxed"
        )
    return frame


def _example(frame: pl.DataFrame, mask: pl.Series) -> str:
    return border.rows(frame.filter(mask).select(c.REQUEST_ID, c.ITEM_ID, c.GRADE)) if mask.any() else ""
