"""From checked frames to `Logs`: ids become dense codes, rows get their canonical order.

After this, the order in which rows came no longer matters to anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from rankcast.sources.happened import KnownEvents
from rankcast.tables import columns as c
from rankcast.tables.logs import (
    FOREVER,
    Entities,
    Events,
    Ids,
    Impressions,
    Intervals,
    Ints,
    Logs,
    Placements,
    Requests,
)
from rankcast.tables.ragged import ascending, offsets, repeats

Frames = Mapping[str, pl.DataFrame]
_CODE = "code"


@dataclass(frozen=True)
class Encoder:
    """Codes of the ids of one kind."""

    ids: pl.Series

    @classmethod
    def over(cls, series: list[pl.Series]) -> Encoder:
        """Codes for every id that occurs."""
        filled = [part.drop_nulls().unique() for part in series if part.dtype != pl.Null and len(part)]
        merged = pl.concat(filled).unique().sort() if filled else pl.Series("id", [], dtype=pl.Int64)
        return cls(merged.rename("id"))

    def codes(self, values: pl.Series) -> Ints:
        """The code of each value; -1 for an id that has none, and for null."""
        if not len(self.ids) or values.dtype != self.ids.dtype:
            return np.full(len(values), -1, dtype=np.int64)
        table = pl.DataFrame({"id": self.ids, _CODE: np.arange(len(self.ids), dtype=np.int64)})
        joined = pl.DataFrame({"id": values}).join(table, on="id", how="left", maintain_order="left")
        return joined[_CODE].fill_null(-1).to_numpy().astype(np.int64, copy=False)


@dataclass(frozen=True)
class Encoders:
    """The encoders of the three kinds of ids."""

    requests: Encoder
    users: Encoder
    items: Encoder


def encode(frames: Frames, items: Encoder, events: KnownEvents | None) -> tuple[Logs, Encoders]:
    """Encode the service's tables, with the codes that items have in all tables together."""
    encoders = Encoders(
        requests=Encoder.over([frames["requests"][c.REQUEST_ID]]),
        users=Encoder.over([frames[name][c.USER_ID] for name in ("requests", "events") if name in frames]),
        items=items,
    )
    logs = Logs(
        ids=Ids(encoders.requests.ids, encoders.users.ids, encoders.items.ids),
        requests=encode_requests(frames["requests"], encoders),
        items=_entities(frames.get("items"), c.ITEM_ID, encoders.items),
        users=_entities(frames.get("users"), c.USER_ID, encoders.users),
        intervals=_intervals(frames.get("availability"), encoders.items),
        impressions=_impressions(frames.get("impressions"), encoders),
        events=_events(events, encoders),
    )
    return logs, encoders


def encode_placements(frame: pl.DataFrame, encoders: Encoders) -> Placements:
    """Items placed at ranks; rows of unknown requests are left out."""
    if c.REQUEST_ID in frame.columns:
        request = encoders.requests.codes(frame[c.REQUEST_ID])
    else:
        request = np.full(len(frame), -1, dtype=np.int64)
    item, rank = encoders.items.codes(frame[c.ITEM_ID]), frame[c.RANK].to_numpy()
    known = request >= 0 if c.REQUEST_ID in frame.columns else np.ones(len(frame), dtype=bool)
    request, item, rank = request[known], item[known], rank[known]
    order = np.lexsort((rank, request))
    return Placements(request[order], item[order], rank[order])


def micros(series: pl.Series) -> Ints:
    """Instants as microseconds since 1970 UTC; null is the end of time."""
    return series.dt.epoch("us").fill_null(FOREVER).to_numpy().astype(np.int64, copy=False)


def encode_requests(frame: pl.DataFrame, encoders: Encoders) -> Requests:
    """Every request by code."""
    ordered = frame.sort(c.REQUEST_ID)
    return Requests(encoders.users.codes(ordered[c.USER_ID]), micros(ordered[c.TIMESTAMP]), ordered)


def _entities(frame: pl.DataFrame | None, key: str, encoder: Encoder) -> Entities:
    ids = pl.DataFrame({key: encoder.ids})
    if frame is None:
        return Entities(ids, np.zeros(len(ids), dtype=bool))
    known = ids[key].is_in(frame[key].implode()).to_numpy() if len(frame) else np.zeros(len(ids), dtype=bool)
    if frame[key].dtype != ids[key].dtype:
        frame = frame.with_columns(pl.col(key).cast(ids[key].dtype))
    return Entities(ids.join(frame, on=key, how="left", maintain_order="left"), known)


def _intervals(frame: pl.DataFrame | None, encoder: Encoder) -> Intervals:
    if frame is None:
        return Intervals(*(np.zeros(0, dtype=np.int64),) * 3, np.zeros(len(encoder.ids) + 1, dtype=np.int64))
    item, opens, closes = encoder.codes(frame[c.ITEM_ID]), micros(frame[c.OPEN_AT]), micros(frame[c.CLOSE_AT])
    order = np.lexsort((closes, opens, item))
    return Intervals(item[order], opens[order], closes[order], offsets(item[order], len(encoder.ids)))


def _impressions(frame: pl.DataFrame | None, encoders: Encoders) -> Impressions:
    size = len(encoders.requests.ids)
    if frame is None:
        nothing = np.zeros(0, dtype=np.int64)
        return Impressions(nothing, nothing, nothing, nothing.astype(bool), np.zeros(size + 1, dtype=np.int64))
    request, item = encoders.requests.codes(frame[c.REQUEST_ID]), encoders.items.codes(frame[c.ITEM_ID])
    rank = frame[c.RANK].to_numpy()
    known = request >= 0
    if not known.all():
        request, item, rank = request[known], item[known], rank[known]
    if not ascending((request, rank, item)):
        order = np.lexsort((item, rank, request))
        request, item, rank = request[order], item[order], rank[order]
    repeated = np.zeros(len(request), dtype=bool)
    repeated[repeats(request * np.int64(len(encoders.items.ids) + 1) + item)] = True
    return Impressions(request, item, rank, repeated, offsets(request, size))


def _events(known: KnownEvents | None, encoders: Encoders) -> Events:
    if known is None:
        return Events(*(np.zeros(0, dtype=np.int64),) * 5, ())
    frame = known.frame
    key = [c.USER_ID, c.ITEM_ID, c.TIMESTAMP, c.EVENT] + ([c.REQUEST_ID] if c.REQUEST_ID in frame.columns else [])
    once = frame.select(key).unique().sort(c.TIMESTAMP, c.USER_ID, c.ITEM_ID, c.EVENT, *key[4:], nulls_last=True)
    kinds = once[c.EVENT].unique().sort()
    request = encoders.requests.codes(once[c.REQUEST_ID]) if len(key) > 4 else np.full(len(once), -1, dtype=np.int64)
    return Events(
        user=encoders.users.codes(once[c.USER_ID]),
        item=encoders.items.codes(once[c.ITEM_ID]),
        time=micros(once[c.TIMESTAMP]),
        kind=Encoder(kinds.rename("id")).codes(once[c.EVENT]),
        request=request,
        kinds=tuple(kinds.to_list()),
        raw=known.raw,
        known_until=known.declared,
        known=known.until,
    )
