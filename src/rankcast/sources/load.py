"""Load every table that a study needs, check it at the border, and encode it.

The service's tables are held in memory. Score files and candidate tables, a row per request and candidate, stream by and are
partitioned by user.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from rankcast.errors import DataError, Problem
from rankcast.records import Count, Fingerprint
from rankcast.sources import border, encode, files, sql
from rankcast.sources.encode import Encoder, Encoders
from rankcast.sources.happened import EventTerms, KnownEvents, event_problems, events_schema, together
from rankcast.sources.oddities import PLACED, placed_counts, table_counts, wide_counts
from rankcast.sources.source import Source
from rankcast.sources.wide.partition import Cut, Dictionary, PoolRows, ScoreRows, open_pool, open_scores
from rankcast.sources.wide.shelf import Room
from rankcast.sources.wide.table import Wide
from rankcast.tables import columns as c
from rankcast.tables.logs import Ints, Logs, Placements
from rankcast.tables.schema import CANDIDATES, FEATURES, PLACEMENTS, SCHEMAS, SCORES, Schema

Progress = Callable[[str], None]
SCORED, POOLED, FED = "scores/", "candidates/", "features/"
_BYTES_PER_ROW = 250  # of a wide table, while its part is replayed and judged
_TABLES = 2  # tables are held as they came and encoded
_LEAST_MEMORY = 100_000_000  # bytes below which SQL cannot work
_LEAST_ROWS = 50_000  # in a part: below, parts cost more than they save
_ID_OWNERS = {c.REQUEST_ID: "requests", c.USER_ID: "requests", c.ITEM_ID: "items"}


@dataclass(frozen=True)
class Inputs:
    """What to load: the service's tables, each variant's score file, candidate tables and tables of placed items by name.

    `reads`: files that private code reads by itself; they are only fingerprinted. `events`: which of the tables hold events.
    `features`: what models were fed, by variant; only rules look at them.
    """

    tables: Mapping[str, Source]
    scores: Mapping[str, Source]
    candidates: Mapping[str, Source]
    timezone: str
    placements: Mapping[str, Source] = field(default_factory=dict)
    reads: Mapping[str, Source] = field(default_factory=dict)
    events: Mapping[str, EventTerms] = field(default_factory=dict)
    features: Mapping[str, Source] = field(default_factory=dict)

    def whole(self) -> list[tuple[str, Source, Schema]]:
        """Tables that are held in memory."""
        return [
            *((name, source, self._schema(name)) for name, source in self.tables.items()),
            *((PLACED + name, source, PLACEMENTS) for name, source in self.placements.items()),
            *((FED + name, source, FEATURES) for name, source in self.features.items()),
        ]

    def _schema(self, name: str) -> Schema:
        return events_schema(self.events[name]) if name in self.events else SCHEMAS[name]

    def wide(self) -> list[tuple[str, Source, Schema]]:
        """Tables that are partitioned."""
        return [
            *((SCORED + name, source, SCORES) for name, source in self.scores.items()),
            *((POOLED + name, source, CANDIDATES) for name, source in self.candidates.items()),
        ]

    def wanted(self) -> list[tuple[str, Source, Schema]]:
        """Every table with its source and schema."""
        return [*self.whole(), *self.wide()]


@dataclass(frozen=True)
class Means:
    """What loading may use: a `folder` for what does not fit into `memory` (bytes), which `processes` share; at most about
    `most_rows` of wide tables in a part.

    `done`: ids of requests whose wide rows are not needed, nor those of their users. `items`: ids that occur elsewhere.
    """

    folder: Path
    memory: int
    most_rows: int
    processes: int = 1
    done: pl.Series | None = None
    items: pl.Series | None = None

    def rows_per_part(self, held: int) -> int:
        """So many wide rows that a part fits beside `held` bytes of tables, which every process has."""
        free = self.memory / self.processes - _TABLES * held
        return (
            max(_LEAST_ROWS, min(self.most_rows, int(free / _BYTES_PER_ROW)))
            if self.most_rows > _LEAST_ROWS
            else self.most_rows
        )


@dataclass(frozen=True)
class Loaded:
    """Everything that came in, encoded; wide tables by part. `counts` are oddities, `rows` by file as it is shown."""

    logs: Logs
    scores: Mapping[str, ScoreRows]
    candidates: Mapping[str, PoolRows]
    placements: Mapping[str, Placements]
    cut: Cut
    counts: tuple[Count, ...]
    rows: Mapping[str, int]
    features: Mapping[str, pl.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class _Table:
    source: Source
    schema: Schema
    frame: pl.DataFrame


def fingerprints(inputs: Inputs) -> tuple[tuple[Fingerprint, ...], tuple[tuple[str, str], ...]]:
    """Every file that is read, and (table, content hash) in the order in which tables read them; DataError: what is missing."""
    prints, contents, problems = looked_at(inputs)
    if problems:
        raise DataError(problems)
    return prints, contents


def looked_at(
    inputs: Inputs,
) -> tuple[tuple[Fingerprint, ...], tuple[tuple[str, str], ...], tuple[Problem, ...]]:
    """The same as far as files are there, and what is wrong with the others."""
    prints: dict[Path, Fingerprint] = {}
    contents: list[tuple[str, str]] = []
    problems: list[Problem] = []
    sources = [(name, source) for name, source, _ in inputs.wanted()]
    for name, source in [*sources, *((f"reads/{name}", source) for name, source in inputs.reads.items())]:
        try:
            found = paths_of(source) if not name.startswith("reads/") else files.find_any(source)
        except DataError as error:
            problems += error.problems
            continue
        for path, shown in found.items():
            if path not in prints:
                prints[path] = files.fingerprint(path, shown)
            contents.append((name, prints[path].hash))
    ordered = sorted(prints.values(), key=lambda one: (one.path, one.hash))
    return tuple(ordered), tuple(contents), tuple(problems)


def load(inputs: Inputs, means: Means, progress: Progress, with_wide: bool = True) -> Loaded:
    """Read, check and encode. DataError with the problems of all tables at once.

    Without wide tables (`with_wide`), they are neither read nor checked.
    """
    rows: dict[str, int] = {}
    tables, problems = _whole(inputs, rows, progress)
    wides: dict[str, Wide] = {}
    for number, (name, source, schema) in enumerate(inputs.wide() if with_wide else ()):
        try:
            wide = Wide.open(
                source, schema, inputs.timezone, means.folder / f"copy-{number}", max(_LEAST_MEMORY, means.memory // 2)
            )
            tables[name] = _Table(source, schema, wide.head())
            wides[name] = wide
            rows |= dict(zip(wide.paths.values(), wide.rows.values(), strict=False))
        except DataError as error:
            problems += error.problems
    heads = {name: tables.pop(name).frame for name in list(wides)}
    checked = tables | {name: _Table(wides[name].source, wides[name].schema, head) for name, head in heads.items()}
    problems += _id_problems(checked)
    tables = {name: table for name, table in checked.items() if name not in wides}
    if "requests" in tables and not len(tables["requests"].frame):
        problems.append(tables["requests"].source.data_problem("no rows; expected at least one request"))
    if problems:
        raise DataError([*problems, *_wide_problems(wides)])
    several = [(one.frame, inputs.events[name]) for name, one in tables.items() if name in inputs.events]
    frames = {name: one.frame for name, one in tables.items() if name not in inputs.events}
    known = None
    if several:
        known = together(several)
        frames["events"] = known.frame
    return _encode(frames, known, wides, heads, means, rows, progress)


def paths_of(source: Source) -> dict[Path, str]:
    """All files of a source with their names as shown."""
    return {path: shown for one in source.file_sets for path, shown in files.find(one, source).items()}


def _whole(inputs: Inputs, rows: dict[str, int], progress: Progress) -> tuple[dict[str, _Table], list[Problem]]:
    tables: dict[str, _Table] = {}
    problems: list[Problem] = []
    for name, source, schema in inputs.whole():
        try:
            checked, read = _read(source, schema, inputs.timezone)
        except DataError as error:
            problems += error.problems
            continue
        problems += checked.problems
        if name in inputs.events and not checked.problems:
            problems += event_problems(checked.frame, source, inputs.events[name])
        tables[name] = _Table(source, schema, checked.frame)
        shown = paths_of(source)
        rows |= {shown[path]: number for path, number in read.items()}
        progress(f"{name}: {len(checked.frame):,} rows")
    return tables, problems


def _read(source: Source, schema: Schema, timezone: str) -> tuple[border.Checked, dict[Path, int]]:
    if source.sql is not None:
        return border.check(sql.read(source, timezone), schema, source, timezone, from_text=False), {}
    raw, rows = files.read(source)
    kinds = {files.format_of(path) for path in rows}
    return border.check(raw, schema, source, timezone, from_text=bool(kinds & {"csv", "csv.gz"})), rows


def _wide_problems(wides: Mapping[str, Wide]) -> list[Problem]:
    """What is wrong with wide tables besides, where a study is refused anyway."""
    problems: list[Problem] = []
    for wide in wides.values():
        try:
            for _ in wide.batches():
                pass
        except DataError as error:
            problems += error.problems
    return problems


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
    tables: Mapping[str, pl.DataFrame],
    events: KnownEvents | None,
    wides: Mapping[str, Wide],
    heads: Mapping[str, pl.DataFrame],
    means: Means,
    rows: Mapping[str, int],
    progress: Progress,
) -> Loaded:
    frames = {name: frame for name, frame in tables.items() if "/" not in name}
    placed = {name.removeprefix(PLACED): frame for name, frame in tables.items() if name.startswith(PLACED)}
    elsewhere = [] if means.items is None else [means.items]
    base = Encoder.over(
        [
            *(frame[c.ITEM_ID] for name, frame in frames.items() if c.ITEM_ID in SCHEMAS[name].ids),
            *(frame[c.ITEM_ID] for frame in placed.values()),
            *elsewhere,
        ]
    )
    keys = Encoders(
        requests=Encoder.over([frames["requests"][c.REQUEST_ID]]),
        users=Encoder.over([frames[name][c.USER_ID] for name in ("requests", "events") if name in frames]),
        items=base,
    )
    requests = encode.encode_requests(frames["requests"], keys)
    held = sum(int(frame.estimated_size()) for frame in frames.values())
    cut = _cut(keys, requests.user, wides, means, held)
    dictionary, known = Dictionary(base.ids), None
    if "items" in frames:
        known = base.ids.is_in(frames["items"][c.ITEM_ID].cast(base.ids.dtype).implode()).to_numpy()
    room = Room(means.memory // 4 if means.processes == 1 else 0)
    shelves: dict[str, ScoreRows | PoolRows] = {}
    problems: list[Problem] = []
    for number, (name, wide) in enumerate(wides.items()):
        place = means.folder / f"parts-{number}"  # names are the user's: they may be anything
        if wide.schema is SCORES:
            shelf: ScoreRows | PoolRows = open_scores(wide, heads[name], keys, requests, cut, room, place)
        else:
            shelf = open_pool(wide, keys, requests, cut, room, place)
        shelves[name] = shelf
        try:
            for batch in wide.batches():
                shelf.sort_in(batch, dictionary, known)
            progress(f"{name}: {shelf.total:,} rows")
        except DataError as error:
            problems += error.problems
    items = Encoder.over([dictionary.ids])
    places = dictionary.places(items)
    for shelf in shelves.values():
        owners = keys.users.ids if shelf.by_user else keys.requests.ids
        problems += shelf.settle(places, (owners, items.ids))
    if problems:
        raise DataError(problems)
    if means.processes > 1:
        room.clear()  # what is on disk need not be sent to each of them
    logs, encoders = encode.encode(frames, items, events)
    placements = {name: encode.encode_placements(frame, encoders) for name, frame in placed.items()}
    return Loaded(
        logs,
        {name.removeprefix(SCORED): one for name, one in shelves.items() if isinstance(one, ScoreRows)},
        {name.removeprefix(POOLED): one for name, one in shelves.items() if isinstance(one, PoolRows)},
        placements,
        cut,
        (
            *table_counts(frames, logs, events is not None and events.by_columns),
            *wide_counts(shelves, known is not None),
            *placed_counts(placed, placements),
        ),
        rows,
        {name.removeprefix(FED): frame for name, frame in tables.items() if name.startswith(FED)},
    )


def _cut(keys: Encoders, user: Ints, wides: Mapping[str, Wide], means: Means, held: int) -> Cut:
    """Users are cut into parts so that a part of all wide tables has about the rows that are wanted."""
    codes = np.arange(len(keys.requests.ids))
    size = len(keys.users.ids)
    parts = max(1, -(-sum(wide.total for wide in wides.values()) // means.rows_per_part(held)))
    if means.done is not None and len(means.done):
        finished = np.zeros(size, dtype=bool)
        finished[user[keys.requests.codes(means.done)]] = True
        codes = codes[~finished[user]]
    return Cut.by_requests(user, codes, min(parts, max(1, len(codes))), size)
