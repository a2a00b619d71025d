"""The service's logs after the border: ids are dense codes whose order is the order of the ids.

A code is the position of an id among all sorted ids of its kind (integers by number, text by code point). So "ties by
item_id ascending" is "ties by item code", and "the greatest request_id" is "the greatest request code".
Absent tables are empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from rankcast.tables import columns as c

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FOREVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Requests:
    """Every request of the log, by code: user code, instant (microseconds, UTC) and the columns as they came."""

    user: Ints
    time: Ints
    frame: pl.DataFrame


@dataclass(frozen=True)
class Entities:
    """Items or users by code: their columns, and which of them their own table knows (others have null columns)."""

    frame: pl.DataFrame
    known: Bools


@dataclass(frozen=True)
class Intervals:
    """When items were open, sorted by item and opening; `start[item]` .. `start[item + 1]` are an item's intervals."""

    item: Ints
    open: Ints
    close: Ints
    start: Ints

    def open_items(self, times: Ints) -> Bools:
        """Which items were open at one of the `times` at least (open_at <= t < close_at)."""
        times = np.sort(times)
        hit = np.searchsorted(times, self.close) > np.searchsorted(times, self.open)
        seen = np.zeros(len(self.start) - 1, dtype=bool)
        seen[self.item[hit]] = True
        return seen


@dataclass(frozen=True)
class Impressions:
    """What was shown, sorted by request, rank and item; `start` as in `Intervals`, by request. `repeated` marks a row whose
    item the request shows already at a better rank.
    """

    request: Ints
    item: Ints
    rank: Ints
    repeated: Bools
    start: Ints


@dataclass(frozen=True)
class Events:
    """What users did, duplicates once, by time. `request` is -1 for none; `raw` rows came in.

    Events are known up to `known_until`, by kind, or up to `known`, of kinds that it does not name (microseconds; None: nothing
    is known).
    """

    user: Ints
    item: Ints
    time: Ints
    kind: Ints
    request: Ints
    kinds: tuple[str, ...]
    raw: int = 0
    known_until: Mapping[str, int] = field(default_factory=dict)
    known: int | None = None

    def of_kinds(self, names: tuple[str, ...]) -> Bools:
        """Which events are of one of these kinds."""
        wanted = np.array([name in names for name in self.kinds], dtype=bool)
        return wanted[self.kind] if len(self.kinds) else np.zeros(0, dtype=bool)


@dataclass(frozen=True)
class Scores:
    """What a variant scored: batches of ranked rows, best first, ties by item.

    `owner` of a batch is a request or a user code (`by_user`); `computed` its instant, the beginning of time where the
    file has none (`batched` says so). Rows of batch b are `start[b]` .. `start[b + 1]`. `value` is the score, or minus the
    rank (`ranked`).
    """

    by_user: bool
    ranked: bool
    batched: bool
    owner: Ints
    computed: Ints
    start: Ints
    item: Ints
    value: Floats


@dataclass(frozen=True)
class Placements:
    """Items placed at ranks, sorted by request and rank; request -1 is every request."""

    request: Ints
    item: Ints
    rank: Ints


@dataclass(frozen=True)
class Ids:
    """The ids behind the codes."""

    requests: pl.Series
    users: pl.Series
    items: pl.Series


@dataclass(frozen=True)
class Logs:
    """All tables of a service, checked and encoded."""

    ids: Ids
    requests: Requests
    items: Entities
    users: Entities
    intervals: Intervals
    impressions: Impressions
    events: Events

    @property
    def keys(self) -> frozenset[str]:
        """Columns that are no attributes."""
        return frozenset({c.REQUEST_ID, c.USER_ID, c.ITEM_ID, c.TIMESTAMP})

    def impressions_of(self, requests: Ints) -> tuple[Ints, Ints]:
        """Start and length of the impressions of each request."""
        start = self.impressions.start[requests]
        return start, self.impressions.start[requests + 1] - start
