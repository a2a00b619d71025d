"""The oddities of messy logs that are counted, never refused."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from rankcast.records import Count
from rankcast.sources.wide.partition import PoolRows, ScoreRows
from rankcast.tables import columns as c
from rankcast.tables.logs import Logs, Placements

PLACED = "placed/"


def table_counts(frames: Mapping[str, pl.DataFrame], logs: Logs, by_columns: bool) -> list[Count]:
    """The oddities of messy logs that are counted, never refused."""
    counts = []
    known = logs.items.known if "items" in frames else None

    def count(table: str, what: str, mask: np.ndarray) -> None:
        counts.append(Count(table=table, what=what, count=int(mask.sum()), of=len(mask)))

    if "events" in frames:
        events, raw = logs.events, logs.events.raw
        what = "duplicates" if by_columns else "exact duplicates"
        counts.append(Count(table="events", what=what, count=raw - len(events.item), of=raw))
        count("events", "by a user without a request", ~np.isin(events.user, logs.requests.user))
        if c.REQUEST_ID in frames["events"].columns:
            named = frames["events"][c.REQUEST_ID].is_not_null().sum()
            rows = frames["events"]
            lost = int(named) - int(rows[c.REQUEST_ID].is_in(logs.ids.requests.implode()).sum())
            what = "with a request_id that is not in requests"
            counts.append(Count(table="events", what=what, count=lost, of=len(rows)))
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
    return counts


def wide_counts(shelves: Mapping[str, ScoreRows | PoolRows], with_items: bool) -> list[Count]:
    counts = []
    for name, shelf in shelves.items():
        what = "of a user without a request" if shelf.by_user else "of a request that is not in requests"
        counts.append(Count(table=name, what=what, count=shelf.unknown, of=shelf.total))
        if with_items and isinstance(shelf, ScoreRows):
            kept = shelf.total - shelf.unknown
            counts.append(Count(table=name, what="of an item that is not in items", count=shelf.not_items, of=kept))
    return counts


def placed_counts(frames: Mapping[str, pl.DataFrame], placements: Mapping[str, Placements]) -> list[Count]:
    return [
        Count(
            table=PLACED + name,
            what="of a request that is not in requests",
            count=len(frame) - len(placements[name].item),
            of=len(frame),
        )
        for name, frame in frames.items()
        if c.REQUEST_ID in frame.columns
    ]
