"""TREC files: a run has `request Q0 item rank score tag` in a line, qrels have `request 0 item grade`."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Literal

import polars as pl

from rankcast.errors import DataError, clip
from rankcast.sources.files import first_line
from rankcast.sources.source import Source
from rankcast.tables import columns as c

Kind = Literal["parquet", "csv", "ndjson", "trec"]
Form = Literal["run", "qrels"]

# Fields are apart by blanks and tabs only: an id may hold other spaces, such as those of Japanese.
_FIELDS = r"^[ \t]*([^ \t\r]+)[ \t]+([^ \t\r]+)[ \t]+([^ \t\r]+)[ \t]+([^ \t\r]+)(?:[ \t]+([^ \t\r]+))?"
_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(nan|inf|infinity)$", re.IGNORECASE)
_HEADERS = {c.REQUEST_ID, c.ITEM_ID, c.USER_ID, c.SCORE, c.RANK, c.GRADE}
_GZIP = b"\x1f\x8b"
_LOOK = 1 << 16  # bytes of a file that tell what it is


def kind_of(path: Path) -> Kind:
    """What a file is, by its content: its ending is not looked at."""
    line = _first_line(path)
    if line.startswith("PAR1"):
        return "parquet"
    if line.startswith("{"):
        return "ndjson"
    if {cell.strip().lower() for cell in re.split(r"[,;\t|]", line)} & _HEADERS:
        return "csv"
    fields = _split(line)
    return "trec" if len(fields) >= 4 and any(_NUMBER.match(field) for field in fields[3:5]) else "csv"


def read_trec(path: Path, shown: str, form: Form, source: Source) -> pl.DataFrame:
    """The rows of a run (request_id, item_id, score) or of qrels (request_id, item_id, grade); ids are text.

    What stands behind the fields is passed over, as are empty lines and lines that begin with #. The rank of a run is not
    looked at, as in the reference program.
    """
    _check_form(path, shown, form, source)
    lines = _lines(path, shown, source)
    parts = lines.with_columns(
        fields=pl.col("line").str.extract_groups(_FIELDS),
        number=pl.int_range(1, pl.len() + 1),
    ).filter(~pl.col("line").str.contains(r"^[ \t\r]*(#|$)"))
    value = "5" if form == "run" else "4"
    expected = "request Q0 item rank score tag" if form == "run" else "request 0 item grade"
    frame = parts.select(
        "line",
        "number",
        request=pl.col("fields").struct.field("1"),
        item=pl.col("fields").struct.field("3"),
        value=pl.col("fields").struct.field(value).cast(pl.Float64, strict=False),
    )
    broken = frame.filter(pl.col("value").is_null())
    if len(broken):
        line, text = broken["number"][0], clip(str(broken["line"][0]).strip(), 60)
        raise DataError(
            source.problem(
                f"{shown}: {len(broken)} of {len(frame)} lines are no `{expected}`, the first is line {line}: `{text}`"
            )
        )
    name = c.SCORE if form == "run" else c.GRADE
    return frame.select(
        pl.col("request").alias(c.REQUEST_ID), pl.col("item").alias(c.ITEM_ID), pl.col("value").alias(name)
    )


def _check_form(path: Path, shown: str, form: Form, source: Source) -> None:
    """A run that stands for the labels, and qrels that stand for the slates, are told apart from broken lines."""
    fields = _split(_first_line(path))
    is_run = len(fields) >= 5 and fields[1].upper() == "Q0" and _NUMBER.match(fields[4]) is not None
    is_qrels = len(fields) == 4 and _NUMBER.match(fields[3]) is not None
    if (form == "qrels" and is_run) or (form == "run" and is_qrels):
        found = "a TREC run" if is_run else "TREC qrels"
        raise DataError(
            source.problem(f"{shown} looks like {found}; expected SLATES first, then LABELS: are they swapped?")
        )


def _first_line(path: Path) -> str:
    """The first line that says something; empty where there is none."""
    with path.open("rb") as stream:
        start = stream.read(_LOOK)
    try:
        start = zlib.decompressobj(wbits=31).decompress(start) if start[:2] == _GZIP else start
    except zlib.error:
        start = b""  # whoever reads the file will say what is wrong with it
    text = start.decode("utf-8", errors="replace").lstrip("\ufeff")
    return next(
        (
            line.strip(" \t\r")
            for line in text.split("\n")
            if line.strip(" \t\r") and not line.lstrip(" \t").startswith("#")
        ),
        "",
    )


def _split(line: str) -> list[str]:
    return [field for field in re.split(r"[ \t\r]+", line) if field]


def _lines(path: Path, shown: str, source: Source) -> pl.DataFrame:
    try:
        return pl.read_csv(
            path,
            has_header=False,
            separator="\x01",
            quote_char=None,
            infer_schema=False,
            schema={"line": pl.String},
            truncate_ragged_lines=True,
            glob=False,
        )
    except pl.exceptions.NoDataError:
        return pl.DataFrame(schema={"line": pl.String})
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(source.problem(f"{shown}: cannot be read as text in UTF-8: {first_line(error)}")) from error
