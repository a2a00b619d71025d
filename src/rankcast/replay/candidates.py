"""Candidates: the items that could have been shown for a request, as of its time, scored by a variant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rankcast.replay.builtin import Pool, Scorer, Setting
from rankcast.replay.lists import RIGHT, Clocks, Lists
from rankcast.tables.asof import AsOf
from rankcast.tables.logs import Bools, Floats, Ints, Logs, Scores
from rankcast.tables.ragged import members, offsets, spans

SCORED, AVAILABLE, IMPRESSIONS = "scored", "available", "impressions"
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Scored:
    """A variant's candidates, best first; which requests it scored nothing for, and which of those came before any batch; how
    many scored items were refused because they were no candidates.
    """

    lists: Lists
    without: Bools
    early: Bools
    refused: Ints


@dataclass(frozen=True)
class Batches:
    """A score file ready for look-ups: the newest batch of a request or its user at or before the request's time."""

    scores: Scores
    index: AsOf
    owners: Ints

    @classmethod
    def of(cls, scores: Scores) -> Batches:
        """Build the index once for all shards."""
        return cls(scores, AsOf.build(scores.owner, scores.computed), np.unique(scores.owner))

    def candidates(self, requests: Ints, logs: Logs, clocks: Clocks = RIGHT, lag: int = 0) -> Scored:
        """Everything that the batch holds, in its order; what if clocks were wrong, or production used batches that are `lag`
        older?
        """
        owner = logs.requests.user[requests] if self.scores.by_user else requests
        batch = self.index.at_or_before(owner, logs.requests.time[requests] + clocks.scores)
        if lag and len(self.scores.owner):
            other = np.clip(batch - lag, -1, len(self.scores.owner) - 1)
            known = (batch >= 0) & (other >= 0) & (self.scores.owner[np.maximum(other, 0)] == owner)
            batch = np.where(known, other, -1 if lag > 0 else batch)
        found = batch >= 0
        start = np.where(found, self.scores.start[batch], 0)
        length = np.where(found, self.scores.start[batch + 1] - self.scores.start[batch], 0)
        position, at = spans(start, length)
        lists = Lists(requests, position, self.scores.item[at], self.scores.value[at], clocks=clocks)
        return Scored(lists, ~found, ~found & members(owner, self.owners), np.zeros(len(requests), dtype=np.int64))

    def held_earlier(self, requests: Ints, items: Ints, logs: Logs) -> Bools:
        """Which items an older batch of the same owner held, older than the newest one at the request's time."""
        scores = self.scores
        nowhere = np.zeros(len(items), dtype=bool)
        if len(scores.owner) == len(self.owners) or not len(items):
            return nowhere  # one batch each
        owner = logs.requests.user[requests] if scores.by_user else requests
        batch = self.index.at_or_before(owner, logs.requests.time[requests])
        size = len(logs.ids.items)
        key = np.repeat(scores.owner, np.diff(scores.start)) * size + scores.item
        known, first = np.unique(key, return_index=True)
        computed = np.repeat(scores.computed, np.diff(scores.start))[first]
        wanted = owner * size + items
        at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        held: Bools = (batch >= 0) & (known[at] == wanted) & (computed[at] < scores.computed[np.maximum(batch, 0)])
        return held


def of_scorer(scorer: Scorer, pool: Callable[[], Pool], requests: Ints, logs: Logs, setting: Setting) -> Scored:
    """A scorer's candidates, in its order."""
    lists = scorer.lists(requests, pool, logs, setting)
    nobody = np.zeros(len(requests), dtype=np.int64)
    return Scored(lists, lists.lengths() == 0, nobody.astype(bool), nobody)


def restrict(scored: Scored, pool: Pool, items: int) -> Scored:
    """The scored items that are in the pool."""
    position, item = pool
    kept = scored.lists.keep(members(scored.lists.pairs(items), position * items + item))
    return Scored(kept, scored.without, scored.early, scored.lists.lengths() - kept.lengths())


def shown(requests: Ints, logs: Logs) -> Pool:
    """The pool `impressions`: what was shown, an item once."""
    position, at = spans(*logs.impressions_of(requests))
    fresh = ~logs.impressions.repeated[at]
    return position[fresh], logs.impressions.item[at][fresh]


def listed(requests: Ints, table: Pool, size: int) -> Pool:
    """The pool of a candidates table, sorted by request; `size` is the number of request codes."""
    request, item = table
    start = offsets(request, size)
    position, at = spans(start[requests], start[requests + 1] - start[requests])
    return position, item[at]


def open_items(requests: Ints, logs: Logs) -> Pool:
    """The pool `available`: (position, item) of every item open at the request's time."""
    intervals = logs.intervals
    times = logs.requests.time[requests]
    chunk = max(1, _CHUNK // max(1, len(intervals.item)))
    positions, items = [], []
    for first in range(0, len(requests), chunk):
        now = times[first : first + chunk, None]
        row, at = np.nonzero((intervals.open <= now) & (now < intervals.close))
        fresh = np.ones(len(row), dtype=bool)  # an item with overlapping intervals is one candidate
        fresh[1:] = (row[1:] != row[:-1]) | (intervals.item[at][1:] != intervals.item[at][:-1])
        positions.append(row[fresh] + first)
        items.append(intervals.item[at][fresh])
    if not positions:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return np.concatenate(positions), np.concatenate(items)


@dataclass(frozen=True)
class Held:
    """Which items are candidates of each request: sorted keys position * items + item, without repeats, and how many each."""

    keys: Ints
    size: Ints
    items: int

    @classmethod
    def of(cls, lists: Lists, items: int) -> Held:
        """The candidates of lists."""
        lists = lists.distinct()
        return cls(np.sort(lists.pairs(items), kind="stable"), lists.lengths(), items)

    def overlap(self, other: Held) -> Floats:
        """Jaccard overlap with other candidates per request; NaN where both have none."""
        if self is other:
            return np.where(self.size > 0, 1.0, np.nan)
        merged = np.sort(
            np.concatenate((self.keys, other.keys)), kind="stable"
        )  # two runs: merging them takes linear time
        twice = merged[1:][merged[1:] == merged[:-1]]
        both = np.bincount(twice // self.items, minlength=len(self.size))
        union = self.size + other.size - both
        share: Floats = np.divide(both, union, out=np.full(len(both), np.nan), where=union > 0)
        return share

    def without(self, position: Ints, item: Ints) -> Ints:
        """How many of the given (request, item) are no candidates, by request."""
        if not len(self.keys):
            return np.bincount(position, minlength=len(self.size))
        wanted = position * self.items + item
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.bincount(position[self.keys[at] != wanted], minlength=len(self.size))
