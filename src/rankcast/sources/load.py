"""Load every table that a study needs, check it at the border, and encode it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from rankcast.errors import DataError, Problem
from rankcast.records import Count, Fingerprint
from rankcast.sources import border, encode, files, sql
from rankcast.sources.source import Source
from rankcast.tables import columns as c
from rankcast.tables.logs import Ints, Logs, Scores
from rankcast.tables.schema import CANDIDATES, SCHEMAS, SCORES, Schema

Progress = Callable[[str], None]
_ID_OWNERS = {c.REQUEST_ID: "requests", c.USER_ID: "requests", c.ITEM_ID: "items"}


@dataclass(frozen=True)
class Inputs:
    """What to load: the service's tables, each variant's score file, and candidate tables by name."""

    tables: Mapping[str, Source]
    scores: Mapping[str, Source]
    candidates: Mapping[str, Source]
    timezone: str

    def wanted(self) -> list[tuple[str, Source, Schema]]:
        """Every table with its source and schema."""
        return [
            *((name, source, SCHEMAS[name]) for name, source in self.tables.items()),
            *((f"scores/{name}", source, SCORES) for name, source in self.scores.items()),
            *((f"candidates/{name}", source, CANDIDATES) for name, source in self.candidates.items()),
        ]


@dataclass(frozen=True)
class Loaded:
    """Everything that came in, encoded, with its fingerprints and the oddities that were counted."""

    logs: Logs
    scores: Mapping[str, Scores]
    candidates: Mapping[str, tuple[Ints, Ints]]
    fingerprints: tuple[Fingerprint, ...]
    contents: tuple[tuple[str, str], ...]  # (table, content hash) of every file, in the order in which tables read them
    counts: tuple[Count, ...]


@dataclass(frozen=True)
class _Table:
    source: Source
    schema: Schema
    frame: pl.DataFrame


def load(inputs: Inputs, progress: Progress) -> Loaded:
    """Read, check and encode. DataError with the problems of all tables at once."""
    tables: dict[str, _Table] = {}
    problems: list[Problem] = []
    prints: dict[Path, Fingerprint] = {}
    contents: list[tuple[str, str]] = []
    for name, source, schema in inputs.wanted():
        try:
            checked, rows = _read(source, schema, inputs.timezone)
        except DataError as error:
            problems += error.problems
            continue
        problems += checked.problems
        tables[name] = _Table(source, schema, checked.frame)
        for path, shown in paths_of(source).items():
            if path not in prints:
                known = rows[path] if path in rows else files.parquet_rows(path)
                prints[path] = files.fingerprint(path, shown, known)
            contents.append((name, prints[path].hash))
        progress(f"{name}: {len(checked.frame):,} rows")
    problems += _id_problems(tables)
    if "requests" in tables and not len(tables["requests"].frame):
        problems.append(tables["requests"].source.data_problem("no rows; expected at least one request"))
    if problems:
        raise DataError(problems)
    fingerprinted = tuple(sorted(prints.values(), key=lambda one: (one.path, one.hash)))
    return _encode(tables, fingerprinted, tuple(contents))


def paths_of(source: Source) -> dict[Path, str]:
    """All files of a source with their names as shown."""
    return {path: shown for one in source.file_sets for path, shown in files.find(one, source).items()}


def _read(source: Source, schema: Schema, timezone: str) -> tuple[border.Checked, dict[Path, int]]:
    if source.sql is not None:
        return border.check(sql.read(source, timezone), schema, source, timezone, from_text=False), {}
    raw, rows = files.read(source)
    kinds = {files.format_of(path) for path in rows}
    return border.check(raw, schema, source, timezone, from_text=bool(kinds & {"csv", "csv.gz"})), rows


def _id_problems(tables: dict[str, _Table]) -> list[Problem]:
    """Ids of another type than in the table that owns them; tables without rows take the owner's type."""
    problems = []
    for column, owner in _ID_OWNERS.items():
        named = [owner] if owner in tables else []
        named += [name for name in tables if name not in named]
        holders = [
            name for name in named if column in tables[name].schema.ids and _holds_ids(tables[name].frame, column)
        ]
        filled = [name for name in holders if tables[name].frame[column].null_count() < len(tables[name].frame)]
        if not filled:
            continue
        first = tables[filled[0]].frame[column].dtype
        for name in holders:
            table = tables[name]
            if name not in filled:
                tables[name] = replace(table, frame=table.frame.with_columns(pl.col(column).cast(first, strict=False)))
            elif table.frame[column].dtype != first:
                problems.append(
                    table.source.data_problem(
                        f"ids are {border.type_name(table.frame[column].dtype)}, but {border.type_name(first)} in `{filled[0]}`; "
                        "make them one type, e.g. with CAST in `sql`",
                        column,
                    )
                )
    return problems


def _holds_ids(frame: pl.DataFrame, column: str) -> bool:
    """A column that was refused at the border holds no ids; its problem is told already."""
    return column in frame.columns and frame[column].dtype in (pl.Int64, pl.String)


def _encode(
    tables: dict[str, _Table], prints: tuple[Fingerprint, ...], contents: tuple[tuple[str, str], ...]
) -> Loaded:
    frames = {name: table.frame for name, table in tables.items() if "/" not in name}
    scores = {name.removeprefix("scores/"): table.frame for name, table in tables.items() if table.schema is SCORES}
    pools = {
        name.removeprefix("candidates/"): table.frame for name, table in tables.items() if table.schema is CANDIDATES
    }
    logs, encoders = encode.encode(frames, scores, pools)
    encoded = {name: encode.encode_scores(frame, encoders, logs.requests) for name, frame in scores.items()}
    candidates = {name: encode.encode_candidates(frame, encoders) for name, frame in pools.items()}
    counts = _counts(frames, scores, logs, encoded)
    counts += [
        Count(
            table=f"candidates/{name}",
            what="of a request that is not in requests",
            count=len(frame) - len(candidates[name][0]),
            of=len(frame),
        )
        for name, frame in pools.items()
    ]
    return Loaded(logs, encoded, candidates, prints, contents, tuple(counts))


def _counts(
    frames: Mapping[str, pl.DataFrame], scores: Mapping[str, pl.DataFrame], logs: Logs, encoded: Mapping[str, Scores]
) -> list[Count]:
    """The oddities of messy logs that are counted, never refused."""
    counts = []
    known = logs.items.known if "items" in frames else None

    def count(table: str, what: str, mask: np.ndarray) -> None:
        counts.append(Count(table=table, what=what, count=int(mask.sum()), of=len(mask)))

    if "events" in frames:
        events = logs.events
        raw = len(frames["events"])
        counts.append(Count(table="events", what="exact duplicates", count=raw - len(events.item), of=raw))
        count("events", "by a user without a request", ~np.isin(events.user, logs.requests.user))
        if c.REQUEST_ID in frames["events"].columns:
            named = frames["events"][c.REQUEST_ID].is_not_null().sum()
            lost = int(named) - int(frames["events"][c.REQUEST_ID].is_in(logs.ids.requests.implode()).sum())
            counts.append(Count(table="events", what="with a request_id that is not in requests", count=lost, of=raw))
            early = (events.request >= 0) & (events.time < logs.requests.time[events.request])
            count("events", "before their request", early)
        if known is not None:
            count("events", "of an item that is not in items", ~known[events.item])
    if "impressions" in frames:
        raw = len(frames["impressions"])
        strangers = raw - int(frames["impressions"][c.REQUEST_ID].is_in(logs.ids.requests.implode()).sum())
        counts.append(Count(table="impressions", what="of a request that is not in requests", count=strangers, of=raw))
        count("impressions", "of an item that the request showed already", logs.impressions.repeated)
        if known is not None:
            count("impressions", "of an item that is not in items", ~known[logs.impressions.item])
    if "items" in frames and "availability" in frames:
        count("items", "without any availability row", np.diff(logs.intervals.start)[known] == 0)
    for name, frame in scores.items():
        kept = len(encoded[name].item)
        what = "of a user without a request" if encoded[name].by_user else "of a request that is not in requests"
        counts.append(Count(table=f"scores/{name}", what=what, count=len(frame) - kept, of=len(frame)))
        if known is not None:
            count(f"scores/{name}", "of an item that is not in items", ~known[encoded[name].item])
    return counts
