"""Tables of events: several become one, the same event counts once, and up to when events are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from rankcast.errors import Problem, nearest
from rankcast.sources.source import Source
from rankcast.tables import columns as c
from rankcast.tables.schema import EVENTS, Kind, Schema

_KEY = (c.USER_ID, c.ITEM_ID, c.TIMESTAMP, c.EVENT, c.REQUEST_ID)


@dataclass(frozen=True)
class EventTerms:
    """What is said of one table of events: the `kind` of all its rows, which columns make two rows the same event, and up to when
    (microseconds) its events are known.
    """

    kind: str | None = None
    distinct: tuple[str, ...] | None = None
    complete_until: int | None = None


@dataclass(frozen=True)
class KnownEvents:
    """Events of all tables, those that are the same by a table's own rule once; `raw` rows came in.

    `declared`: up to when each kind that a table holds is known; `until` stands for all others (None: no event is
    known).
    """

    frame: pl.DataFrame
    raw: int
    declared: Mapping[str, int]
    until: int | None
    by_columns: bool = False  # whether a table says by which columns two rows are the same


def events_schema(terms: EventTerms) -> Schema:
    """What a table of events must have: no `event` where every row is of one kind, and what `distinct` names."""
    required = dict(EVENTS.required)
    optional = dict(EVENTS.optional)
    if terms.kind is not None:
        optional[c.EVENT] = required.pop(c.EVENT)
    own = {name: Kind.ANY for name in terms.distinct or () if name not in _KEY}
    return replace(EVENTS, required=required | own, optional=optional, nullable=EVENTS.nullable | own.keys())


def event_problems(frame: pl.DataFrame, source: Source, terms: EventTerms) -> list[Problem]:
    """What a checked table says against its terms."""
    problems = []
    if terms.kind is not None and c.EVENT in frame.columns:
        problems.append(
            source.data_problem(
                f"has a column `event`, and the service says that every row is `{terms.kind}`; leave one of them out",
                c.EVENT,
            )
        )
    if c.REQUEST_ID in (terms.distinct or ()) and c.REQUEST_ID not in frame.columns:
        problems.append(source.data_problem(f"distinct: no column `request_id`{nearest(c.REQUEST_ID, frame.columns)}"))
    return problems


def together(tables: Sequence[tuple[pl.DataFrame, EventTerms]]) -> KnownEvents:
    """All tables of events as one."""
    frames, holds = [], []
    for raw, terms in tables:
        frame = raw if terms.kind is None else raw.with_columns(pl.lit(terms.kind).alias(c.EVENT))
        key = [name for name in _KEY if name in frame.columns]
        if terms.distinct is not None:
            frame = frame.sort(c.TIMESTAMP, *(name for name in key if name != c.TIMESTAMP), nulls_last=True)
            same = [c.EVENT, *terms.distinct]
            unknown = pl.any_horizontal(pl.col(name).is_null() for name in same)
            once = frame.filter(~unknown).unique(same, keep="first", maintain_order=True)
            frame = pl.concat([once, frame.filter(unknown)])  # of what is not known nothing is the same
        frames.append(frame.select(key))
        kinds = frame[c.EVENT].unique().to_list() if terms.kind is None else [terms.kind]
        holds.append((kinds, terms.complete_until))
    whole = pl.concat(frames, how="diagonal_relaxed")
    stamps = [int(raw[c.TIMESTAMP].dt.epoch("us").to_numpy().max()) for raw, _ in tables if len(raw)]
    newest = max(stamps, default=None)
    said = [complete for _, complete in holds if complete is not None]
    until = min(said) if len(said) == len(holds) else newest
    declared: dict[str, int] = {}
    for kinds, complete in holds:
        known = newest if complete is None else complete
        if known is not None:
            declared |= {kind: min(declared.get(kind, known), known) for kind in kinds}
    by_columns = any(terms.distinct is not None for _, terms in tables)
    return KnownEvents(whole, sum(len(raw) for raw, _ in tables), declared, until, by_columns)
