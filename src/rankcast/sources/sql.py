"""`sql` sources: one SELECT over named raw files, run by DuckDB, which can open those files and nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import polars as pl

from rankcast.errors import DataError, clip
from rankcast.sources.files import find, format_of
from rankcast.sources.source import Source

_READERS = {
    "parquet": "read_parquet({files}, union_by_name=true)",
    "csv": "read_csv({files}, union_by_name=true, sample_size=-1)",
    "csv.gz": "read_csv({files}, union_by_name=true, sample_size=-1)",
    "ndjson": "read_json({files}, format='newline_delimited', union_by_name=true)",
    "jsonl": "read_json({files}, format='newline_delimited', union_by_name=true)",
}


def syntax_problem(sql: str) -> str | None:
    """What is wrong with a statement, without running it; None when it is one SELECT."""
    import duckdb

    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        return f"cannot be parsed: {_first_lines(error)}"
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        return "expected exactly one SELECT statement"
    return None


def read(source: Source, timezone: str) -> pl.DataFrame:
    """The rows that a source's SELECT gives. `timezone` is DuckDB's zone for time stamps that carry one."""
    with tempfile.TemporaryDirectory(prefix="rankcast-") as folder:
        target = Path(folder) / "result.parquet"
        write(source, timezone, target)
        try:
            return pl.read_parquet(target)
        except pl.exceptions.PolarsError as error:
            raise DataError(source.problem(_first_lines(error), "sql")) from error


def write(source: Source, timezone: str, target: Path, memory: int | None = None) -> None:
    """The same rows as a parquet file. DuckDB keeps to `memory` (bytes), with the rest beside the target."""
    import duckdb

    wrong = syntax_problem(source.sql or "")
    if wrong:
        raise DataError(source.problem(wrong, "sql"))
    connection = duckdb.connect()
    try:
        if memory is not None:
            connection.execute(f"SET memory_limit = '{memory}B'")
            connection.execute(f"SET temp_directory = '{_quoted(target.with_suffix('.spill'))}'")
            connection.execute(
                "SET preserve_insertion_order = false"
            )  # which takes memory, and no order of rows matters
        _open_views(connection, source, target, timezone)
        statement = (source.sql or "").strip().rstrip(";")
        connection.execute(f"COPY ({statement}\n) TO '{_quoted(target)}' (FORMAT parquet)")
    except duckdb.PermissionException as error:
        names = ", ".join(source.named)
        raise DataError(source.problem(f"only the files named in `files` can be read ({names})", "sql")) from error
    except duckdb.Error as error:
        raise DataError(source.problem(_first_lines(error), "sql")) from error
    finally:
        connection.close()


def _open_views(connection: Any, source: Source, target: Path, timezone: str) -> None:
    """A view for each named file set; afterwards no other file can be opened, so the fingerprints cover all input."""
    allowed = [target]
    views = []
    for name, files in source.named.items():
        paths = find(files, source)
        kinds = {format_of(path) for path in paths}
        if len(kinds) != 1:
            raise DataError(source.problem(f"files of several formats: {', '.join(sorted(map(str, kinds)))}", name))
        listed = "[" + ", ".join(f"'{_quoted(path)}'" for path in paths) + "]"
        reader = _READERS[str(kinds.pop())].format(files=listed)
        views.append(f'CREATE VIEW "{name.replace(chr(34), chr(34) * 2)}" AS SELECT * FROM {reader}')  # noqa: S608 - quoted
        allowed += paths
    connection.execute(f"SET TimeZone = '{timezone}'")
    connection.execute("SET allowed_paths = [" + ", ".join(f"'{_quoted(path)}'" for path in allowed) + "]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET lock_configuration = true")
    for view in views:
        connection.execute(view)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _first_lines(error: Exception) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines()[:3] if line.strip(" ^") and "COPY (" not in line]
    return clip(" ".join(lines), 300)
