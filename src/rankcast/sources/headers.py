"""What can be known of the data without reading its rows: files that are not there, columns that are missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from rankcast.errors import DataError, Problem
from rankcast.sources import border, files, sql
from rankcast.sources.load import Inputs, paths_of
from rankcast.sources.source import Source
from rankcast.tables.schema import Schema

_SCOPES = {"requests": "request", "items": "item", "users": "user"}


def check_headers(inputs: Inputs) -> tuple[Mapping[str, frozenset[str]], list[Problem]]:
    """Columns by scope (request, item, user) as far as headers tell, and the problems that they tell."""
    problems: list[Problem] = []
    columns: dict[str, frozenset[str]] = {}
    for name, source, schema in inputs.wanted():
        try:
            headers = _headers(source)
        except DataError as error:
            problems += error.problems
            continue
        renamed = [_renamed(header, source) for header in headers]
        problems += [problem for header in headers for problem in _missing(header, schema, source)]
        if name in _SCOPES and renamed:
            columns[_SCOPES[name]] = frozenset(column for header in renamed for column in header)
    return columns, list(dict.fromkeys(problems))


def _headers(source: Source) -> list[list[str]]:
    """The header of each file that is read as it is; DataError where a file or the SQL cannot be read."""
    found = paths_of(source)
    if source.sql is not None:
        wrong = sql.syntax_problem(source.sql)
        if wrong:
            raise DataError(source.problem(wrong, "sql"))
        return []
    return [_header(path, shown, source) for path, shown in found.items()]


def _header(path: Path, shown: str, source: Source) -> list[str]:
    try:
        return files.header(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(source.problem(f"{shown}: cannot be read: {files.first_line(error)}")) from error


def _renamed(header: list[str], source: Source) -> list[str]:
    ours = {theirs: name for name, theirs in source.columns.items()}
    return [ours.get(name, name) for name in header]


def _missing(header: list[str], schema: Schema, source: Source) -> list[Problem]:
    lost = [(ours, theirs) for ours, theirs in source.columns.items() if theirs not in header]
    if lost:
        return [border.unmapped(ours, theirs, header, source) for ours, theirs in lost]
    return border.missing_columns(_renamed(header, source), schema, source)
