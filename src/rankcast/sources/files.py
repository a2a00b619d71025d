"""Reading raw files: parquet, csv, csv.gz and ndjson, one or many, into one frame."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl

from rankcast.errors import DataError, Problem
from rankcast.records import Fingerprint
from rankcast.sources.source import FileSet, Source

FORMATS = ("parquet", "csv", "csv.gz", "ndjson", "jsonl")
_BLOCK = 1 << 20


def format_of(path: Path) -> str | None:
    """The format that a file's name promises, or None.

    >>> format_of(Path("log.2023.csv.gz"))
    'csv.gz'
    """
    return next((ending for ending in sorted(FORMATS, key=len, reverse=True) if path.name.endswith("." + ending)), None)


def find(files: FileSet, source: Source) -> list[Path]:
    """The files of a set; DataError when a pattern matches nothing or a name promises no known format."""
    paths, missing = files.find()
    problems = [
        source.problem(f"no file matches `{pattern}`; paths are relative to the file that names them")
        for pattern in missing
    ]
    problems += [
        source.problem(f"{files.show(path)}: unknown format; expected a name ending in {', '.join(FORMATS)}")
        for path in paths
        if format_of(path) is None
    ]
    if problems:
        raise DataError(problems)
    return paths


def read(source: Source) -> pl.DataFrame:
    """All rows of a source's files, columns as they are named there. csv comes as text: the border gives it types."""
    assert_files = source.files
    if assert_files is None:
        raise DataError(source.problem("expected `path` or `sql`"))
    frames = [_read_file(path, assert_files.show(path), source) for path in find(assert_files, source)]
    try:
        return frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal_relaxed", rechunk=True)
    except pl.exceptions.PolarsError as error:
        raise DataError(source.problem(f"the files of this table do not fit together: {_first_line(error)}")) from error


def _read_file(path: Path, shown: str, source: Source) -> pl.DataFrame:
    kind = format_of(path)
    try:
        if kind == "parquet":
            return pl.read_parquet(path, hive_partitioning=False)
        if kind in {"csv", "csv.gz"}:
            return pl.read_csv(path, infer_schema=False)
        return pl.read_ndjson(path, infer_schema_length=None)
    except pl.exceptions.NoDataError as error:
        raise DataError(source.problem(f"{shown}: the file is empty; expected at least a header")) from error
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError, ValueError) as error:
        raise DataError(source.problem(f"{shown}: cannot be read as {kind}: {_first_line(error)}")) from error


def header(path: Path) -> list[str]:
    """The column names of a file, without reading its rows where the format allows."""
    kind = format_of(path)
    if kind == "parquet":
        return list(pl.read_parquet_schema(path))
    if kind in {"csv", "csv.gz"}:
        return pl.read_csv(path, infer_schema=False, n_rows=1).columns
    return pl.read_ndjson(path, n_rows=100).columns


def fingerprint(path: Path, shown: str) -> Fingerprint:
    """Size and content hash (BLAKE2b, 128 bits) of one file, under the name that may be shown."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return Fingerprint(path=shown, bytes=path.stat().st_size, hash=digest.hexdigest())


def unreadable(source: Source, shown: str, error: Exception) -> Problem:
    """The problem of a file whose header cannot be read."""
    return source.problem(f"{shown}: cannot be read: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
