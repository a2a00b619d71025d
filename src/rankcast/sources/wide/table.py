"""Wide tables, a row per request and candidate: read in batches, never whole.

What is no parquet is copied into one first, a file at a time, so that there is one way to read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from rankcast.errors import DataError, Problem
from rankcast.sources import border, files, sql
from rankcast.sources.source import Source
from rankcast.tables.schema import Kind, Schema

BATCH_ROWS = 1 << 19
_WHOLE_ROWS = 20_000_000  # a table with a problem is read whole for a better message, up to here


@dataclass(frozen=True)
class Wide:
    """A wide table ready to be read: parquet files with all its rows, `from_text` where they hold csv text.

    `integers`: the id columns of csv text all of whose values are integers.
    """

    source: Source
    schema: Schema
    timezone: str
    paths: Mapping[Path, str]
    rows: Mapping[Path, int]
    from_text: bool = False
    integers: frozenset[str] = field(default=frozenset())

    @classmethod
    def open(cls, source: Source, schema: Schema, timezone: str, folder: Path, memory: int) -> Wide:
        """Find the files and look at their columns; what is no parquet is copied into `folder`. DataError as for any table."""
        folder.mkdir(parents=True, exist_ok=True)
        if source.sql is not None:
            target = folder / "sql.parquet"
            sql.write(source, timezone, target, memory)
            return cls(source, schema, timezone, {target: source.reads}, {})
        if source.files is None:
            raise DataError(source.problem("expected `path` or `sql`"))
        found = files.find(source.files, source)
        paths, rows, texts = {}, {}, []
        for number, (path, shown) in enumerate(found.items()):
            kind = files.format_of(path)
            target = path if kind == "parquet" else folder / f"{number:05}.parquet"
            if kind != "parquet":
                files.copy_as_parquet(path, shown, kind, source, target)
            paths[target] = shown
            rows[path] = _rows(target, shown, source)
            texts.append(kind in {"csv", "csv.gz"})
        opened = cls(source, schema, timezone, paths, rows, any(texts))
        files.check_alike({shown: opened._empty(path, shown) for path, shown in paths.items()}, source)
        return opened if not opened.from_text else opened._with_integers()

    @property
    def total(self) -> int:
        """How many rows there are."""
        return sum(_rows(path, shown, self.source) for path, shown in self.paths.items())

    def batches(self) -> Iterator[pl.DataFrame]:
        """Checked rows, some at a time. DataError with every problem that the table has."""
        row = 0
        for path, shown in self.paths.items():
            for raw in self._raw(path, shown):
                checked = self._check(raw)
                if checked.problems:
                    raise DataError(self._told(checked.problems, row, row + len(raw)))
                row += len(raw)
                if len(raw):
                    yield checked.frame

    def _raw(self, path: Path, shown: str) -> Iterator[pl.DataFrame]:
        with _reading(shown, self.source):
            rows = pl.scan_parquet(path, glob=False, hive_partitioning=False)
            batches = iter(rows.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True))
        while True:
            with _reading(shown, self.source):
                raw = next(batches, None)
            if raw is None:
                return
            yield raw

    def head(self) -> pl.DataFrame:
        """A row, checked, or none where there is none: it tells the types."""
        for path, shown in self.paths.items():
            with _reading(shown, self.source):
                raw = pl.scan_parquet(path, glob=False, hive_partitioning=False).head(1).collect()
            if len(raw):
                return self._check(raw).frame
        checked = self._check(self._empty(*next(iter(self.paths.items()))))
        if checked.problems:
            raise DataError(checked.problems)
        return checked.frame

    def _check(self, raw: pl.DataFrame) -> border.Checked:
        return border.check(
            raw, self.schema, self.source, self.timezone, self.from_text, integers=self.integers, duplicates=False
        )

    def _told(self, problems: tuple[Problem, ...], first: int, end: int) -> list[Problem]:
        """Problems of the whole table if it can be read whole, or else of the batch in which they were found."""
        if self.total <= _WHOLE_ROWS:
            with suppress(pl.exceptions.PolarsError):  # files that fit one by one, and not together
                frames = [pl.read_parquet(path, glob=False, hive_partitioning=False) for path in self.paths]
                whole = self._check(pl.concat(frames, how="diagonal_relaxed"))
                if whole.problems:
                    return list(whole.problems)
        where = f" (in rows {first + 1:,} to {end:,}; what comes later was not looked at)"
        return [Problem(one.message + where, one.file, one.line, one.key) for one in problems]

    def _empty(self, path: Path, shown: str) -> pl.DataFrame:
        with _reading(shown, self.source):
            return pl.scan_parquet(path, glob=False, hive_partitioning=False).head(0).collect()

    def _with_integers(self) -> Wide:
        """csv ids are integers only if every one of them is."""
        theirs = {
            self.source.columns.get(ours, ours): ours for ours, kind in self.schema.kinds.items() if kind is Kind.ID
        }
        lazy = pl.scan_parquet(list(self.paths), glob=False, hive_partitioning=False)
        present = [name for name in lazy.collect_schema().names() if name in theirs]
        if not present:
            return self
        answers = lazy.select(border.all_integers(name) for name in present).collect(engine="streaming").row(0)
        integers = frozenset(theirs[name] for name, answer in zip(present, answers, strict=True) if answer)
        return Wide(self.source, self.schema, self.timezone, self.paths, self.rows, self.from_text, integers)


def _rows(path: Path, shown: str, source: Source) -> int:
    with _reading(shown, source):
        rows: int = pl.scan_parquet(path, glob=False, hive_partitioning=False).select(pl.len()).collect().item()
        return rows


@contextmanager
def _reading(shown: str, source: Source) -> Iterator[None]:
    """What cannot be read is told as a problem of its file."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(source.problem(f"{shown}: cannot be read as parquet: {files.first_line(error)}")) from error
