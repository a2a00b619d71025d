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


@dataclass(frozen=True)
class Loaded:
    """Everything that came in, encoded, with its fingerprints and the oddities that were counted."""

    logs: Logs
    scores: Mapping[str, Scores]
    candidates: Mapping[str, tuple[Ints, Ints]]
    fingerprints: tuple[Fingerprint, ...]
    counts: tuple[Count, ...]


@dataclass(frozen=True)
class _Table:
    source: Source
    schema: Schema
    frame: pl.DataFrame


def load(inputs: Inputs, progress: Progress) -> Loaded:
    """Read, check and encode. DataError with the problems of all tables at once."""
    wanted = [(name, source, SCHEMAS[name]) for name, source in inputs.tables.items()]
    wanted += [(f"scores/{name}", source, SCORES) for name, source in inputs.scores.items()]
    wanted += [(f"candidates/{name}", source, CANDIDATES) for name, source in inputs.candidates.items()]
    tables: dict[str, _Table] = {}
    problems: list[Problem] = []
    prints: dict[Path, Fingerprint] = {}
    for name, source, schema in wanted:
        try:
            checked = _read(source, schema, inputs.timezone)
        except DataError as error:
            problems += error.problems
            continue
        problems += checked.problems
        tables[name] = _Table(source, schema, checked.frame)
        for path, fingerprint in fingerprints(source):
            rows = (
                len(checked.frame) if source.sql is None and len(files.find(source.file_sets[0], source)) == 1 else None
            )
            prints[path] = fingerprint.model_copy(update={"rows": rows})
        progress(f"{name}: {len(checked.frame):,} rows")
    problems += _id_problems(tables)
    if problems:
        raise DataError(problems)
    return _encode(tables, tuple(sorted(prints.values(), key=lambda one: (one.path, one.hash))))


def fingerprints(source: Source) -> list[tuple[Path, Fingerprint]]:
    """All files of a source with their fingerprints."""
    return [
        (path, files.fingerprint(path, file_set.show(path)))
        for file_set in source.file_sets
        for path in files.find(file_set, source)
    ]


def check_headers(inputs: Inputs) -> list[Problem]:
    """What can be known of the data without reading its rows: files that are not there, columns that are missing."""
    problems: list[Problem] = []
    wanted = [(source, SCHEMAS[name]) for name, source in inputs.tables.items()]
    wanted += [(source, SCORES) for source in inputs.scores.values()]
    wanted += [(source, CANDIDATES) for source in inputs.candidates.values()]
    for source, schema in wanted:
        try:
            found = [(files_, path) for files_ in source.file_sets for path in files.find(files_, source)]
        except DataError as error:
            problems += error.problems
            continue
        if source.sql is not None:
            wrong = sql.syntax_problem(source.sql)
            problems += [source.problem(wrong, "sql")] if wrong else []
            continue
        for file_set, path in found[:1]:
            try:
                header = files.header(path)
            except (pl.exceptions.PolarsError, OSError) as error:
                problems.append(files.unreadable(source, file_set.show(path), error))
                continue
            problems += _header_problems(header, schema, source)
    return problems


def _header_problems(header: list[str], schema: Schema, source: Source) -> list[Problem]:
    theirs = {theirs: ours for ours, theirs in source.columns.items()}
    lost = [
        source.problem(f"column `{name}` is missing; found: {', '.join(header)}", f"columns.{ours}")
        for name, ours in theirs.items()
        if name not in header
    ]
    return lost or border.missing_columns([theirs.get(name, name) for name in header], schema, source)


def _read(source: Source, schema: Schema, timezone: str) -> border.Checked:
    if source.sql is not None:
        return border.check(sql.read(source, timezone), schema, source, timezone, from_text=False)
    raw = files.read(source)
    kinds = {files.format_of(path) for path in files.find(source.file_sets[0], source)}
    return border.check(raw, schema, source, timezone, from_text=bool(kinds & {"csv", "csv.gz"}))


def _id_problems(tables: dict[str, _Table]) -> list[Problem]:
    """Ids of another type than in the table that owns them; tables without rows take the owner's type."""
    problems = []
    for column, owner in _ID_OWNERS.items():
        named = [owner] if owner in tables else []
        named += [name for name in tables if name not in named]
        holders = [name for name in named if column in tables[name].frame.columns and column in tables[name].schema.ids]
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
                    table.source.problem(
                        f"ids are {_kind(table.frame[column].dtype)}, but {_kind(first)} in `{filled[0]}`; "
                        "make them one type, e.g. with CAST in `sql`",
                        column,
                    )
                )
    return problems


def _kind(dtype: pl.DataType) -> str:
    return "integers" if dtype.is_integer() else "text" if dtype == pl.String else str(dtype)


def _encode(tables: dict[str, _Table], prints: tuple[Fingerprint, ...]) -> Loaded:
    frames = {name: table.frame for name, table in tables.items() if "/" not in name}
    scores = {name.removeprefix("scores/"): table.frame for name, table in tables.items() if table.schema is SCORES}
    pools = {
        name.removeprefix("candidates/"): table.frame for name, table in tables.items() if table.schema is CANDIDATES
    }
    logs, encoders = encode.encode(frames, scores, pools)
    encoded = {name: encode.encode_scores(frame, encoders, logs.requests) for name, frame in scores.items()}
    candidates = {name: encode.encode_candidates(frame, encoders) for name, frame in pools.items()}
    counts = _counts(frames, scores, logs, encoded)
    return Loaded(logs, encoded, candidates, prints, tuple(counts))


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
            early = (
                (events.request >= 0) & (events.time < logs.requests.time[events.request])
                if len(logs.requests.time)
                else events.request >= 0
            )
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
