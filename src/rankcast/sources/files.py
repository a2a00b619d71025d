"""Reading raw files: parquet, csv, csv.gz and ndjson, one or many, into one frame."""

from __future__ import annotations

import csv
import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import polars as pl

from rankcast.errors import DataError, clip
from rankcast.records import Fingerprint
from rankcast.sources.source import FileSet, Source, why_missing

FORMATS = ("parquet", "csv", "csv.gz", "ndjson", "jsonl")
_BLOCK = 1 << 20


def format_of(path: Path) -> str | None:
    """The format that a file's name promises, or None.

    >>> format_of(Path("log.2023.csv.gz"))
    'csv.gz'
    """
    return next((ending for ending in sorted(FORMATS, key=len, reverse=True) if path.name.endswith("." + ending)), None)


def find(files: FileSet, source: Source) -> dict[Path, str]:
    """The files of a set with their names as shown; DataError when a pattern matches nothing or a format is unknown."""
    paths, missing = files.find()
    problems = [source.problem(why_missing(pattern)) for pattern in missing]
    problems += [
        source.problem(f"{shown}: unknown format; expected a name ending in {', '.join(FORMATS)}")
        for path, shown in paths.items()
        if format_of(path) is None
    ]
    if problems:
        raise DataError(problems)
    return paths


def read(source: Source) -> tuple[pl.DataFrame, dict[Path, int]]:
    """All rows of a source's files, columns as they are named there, and how many rows each file has.

    csv comes as text: the border gives it types.
    """
    if source.files is None:
        raise DataError(source.problem("expected `path` or `sql`"))
    paths = find(source.files, source)
    frames = [read_file(path, shown, format_of(path), source) for path, shown in paths.items()]
    check_alike(dict(zip(paths.values(), frames, strict=True)), source)
    try:
        whole = frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal_relaxed", rechunk=True)
    except pl.exceptions.PolarsError as error:
        raise DataError(source.problem(f"the files of this table do not fit together: {first_line(error)}")) from error
    return whole, {path: len(frame) for path, frame in zip(paths, frames, strict=True)}


def check_alike(frames: Mapping[str, pl.DataFrame], source: Source) -> None:
    """Files of one table have the same columns, and a column does not hold text in one and numbers in another."""
    first_name, first = next(iter(frames.items()))
    problems = []
    for name, frame in frames.items():
        odd = sorted(set(first.columns) ^ set(frame.columns))
        if odd:
            problems.append(source.problem(f"{name} and {first_name} have different columns: {', '.join(odd[:5])}"))
        clash = [
            column for column in first.columns if column in frame.columns
            and (first[column].dtype == pl.String) != (frame[column].dtype == pl.String)
            and pl.Null not in (first[column].dtype, frame[column].dtype)
            and (first[column].dtype.is_numeric() or frame[column].dtype.is_numeric())
        ]  # fmt: skip
        problems += [
            source.problem(f"`{column}` is text in one of {name} and {first_name}, numbers in the other")
            for column in clash
        ]
    if problems:
        raise DataError(problems)


def read_file(path: Path, shown: str, kind: str | None, source: Source) -> pl.DataFrame:
    """All rows of a file of a known kind; csv comes as text."""
    try:
        if kind == "parquet":
            return pl.read_parquet(path, glob=False, hive_partitioning=False)
        if kind in {"csv", "csv.gz"}:
            frame = pl.read_csv(path, infer_schema=False, glob=False)
            _check_header(frame.columns, shown, source)
            _check_rows(path, frame.lazy(), frame.columns[-1], shown, source)
            return frame
        return pl.read_ndjson(path, infer_schema_length=None)
    except pl.exceptions.NoDataError as error:
        raise DataError(source.problem(f"{shown}: the file is empty; expected at least a header")) from error
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError, ValueError) as error:
        raise DataError(source.problem(f"{shown}: cannot be read as {kind}: {first_line(error)}")) from error


def copy_as_parquet(path: Path, shown: str, kind: str | None, source: Source, target: Path) -> None:
    """A csv or ndjson file as parquet, without holding it whole; csv stays text."""
    try:
        if kind in {"csv", "csv.gz"}:
            lazy = pl.scan_csv(path, infer_schema=False, glob=False)
            _check_header(lazy.collect_schema().names(), shown, source)
        else:
            lazy = pl.scan_ndjson(path, infer_schema_length=None)
        lazy.sink_parquet(target)
        if kind in {"csv", "csv.gz"}:
            copied = pl.scan_parquet(target, glob=False)
            last = copied.collect_schema().names()[-1]
            _check_rows(path, copied, last, shown, source)
    except pl.exceptions.NoDataError as error:
        raise DataError(source.problem(f"{shown}: the file is empty; expected at least a header")) from error
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError, ValueError) as error:
        raise DataError(source.problem(f"{shown}: cannot be read as {kind}: {first_line(error)}")) from error


def _check_header(names: list[str], shown: str, source: Source) -> None:
    """Names that stand twice in a csv header, which Polars mends in silence."""
    twice = [name.removesuffix("_duplicated_0") for name in names if name.endswith("_duplicated_0")]
    if twice:
        raise DataError(source.problem(f"{shown}: the header names `{twice[0]}` twice"))


def _check_rows(path: Path, rows: pl.LazyFrame, last: str, shown: str, source: Source) -> None:
    """csv rows that end too early, which Polars mends in silence: such a row lacks its last column."""
    fields = len(rows.collect_schema().names())
    if fields < 2 or not rows.select(pl.col(last).null_count()).collect().item():
        return
    short = _first_short_line(path, fields)
    if short is not None:
        raise DataError(source.problem(f"{shown}: line {short} has fewer than the header's {fields} fields"))


def _first_short_line(path: Path, fields: int) -> int | None:
    with _open_text(path) as stream:
        rows = csv.reader(stream)
        try:
            return next((rows.line_num for row in rows if row and len(row) < fields), None)
        except (csv.Error, UnicodeDecodeError):  # a dialect that Polars reads and Python does not: nothing to say
            return None


def _open_text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def header(path: Path) -> list[str]:
    """The column names of a file, without reading its rows where the format allows."""
    kind = format_of(path)
    if kind == "parquet":
        return pl.scan_parquet(path, glob=False).collect_schema().names()
    if kind in {"csv", "csv.gz"}:
        return pl.read_csv(path, infer_schema=False, n_rows=1, glob=False).columns
    return pl.read_ndjson(path, n_rows=100).columns


def parquet_rows(path: Path) -> int | None:
    """Rows of a parquet file, as its footer says; None for other files, and for what only bears the name."""
    if format_of(path) != "parquet":
        return None
    try:
        rows: int = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
    except pl.exceptions.PolarsError:
        return None  # told when the file is read
    return rows


def find_any(source: Source) -> dict[Path, str]:
    """The files of a source whose format is not ours to know."""
    found: dict[Path, str] = {}
    problems = []
    for one in source.file_sets:
        paths, missing = one.find()
        found |= paths
        problems += [source.problem(why_missing(pattern)) for pattern in missing]
    if problems:
        raise DataError(problems)
    return found


def fingerprint(path: Path, shown: str) -> Fingerprint:
    """Size and content hash (BLAKE2b, 128 bits) of one file, under the name that may be shown, and a parquet file's rows."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return Fingerprint(path=shown, bytes=path.stat().st_size, hash=digest.hexdigest(), rows=parquet_rows(path))


def first_line(error: Exception) -> str:
    """What an error of a library says, in a line."""
    return clip((str(error).strip().splitlines() or [type(error).__name__])[0], 200)
