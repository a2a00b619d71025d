"""Ranked lists of one variant for some requests, in flat arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rankcast.tables.logs import Bools, Floats, Ints, Logs
from rankcast.tables.ragged import repeats, spans


@dataclass(frozen=True)
class Clocks:
    """How far requests are ahead of the clock by which a table was written, in microseconds."""

    scores: int = 0
    availability: int = 0
    events: int = 0


RIGHT = Clocks()


@dataclass(frozen=True)
class Lists:
    """Rows of the lists of n requests, sorted by request and best first.

    `requests` (n) are request codes; `position` (rows) says to which of them a row belongs, `item` is an item code,
    `value` the score that ordered it, NaN for what was placed without one. `repeats`: an item may stand in a list twice, as
    only a log can show it. `logged`: the rank at which the request's log shows the item, 0 if it does not; None where nobody
    asks. `clocks`: by how many microseconds the clock of a table is wrong; for asking what if.
    """

    requests: Ints
    position: Ints
    item: Ints
    value: Floats
    repeats: bool = False
    logged: Ints | None = None
    clocks: Clocks = RIGHT

    @property
    def n(self) -> int:
        """How many requests."""
        return len(self.requests)

    def lengths(self) -> Ints:
        """Items per request."""
        return self._lengths

    @cached_property
    def _lengths(self) -> Ints:
        return np.bincount(self.position, minlength=self.n)

    def first(self, most: int) -> Lists:
        """The best `most` items of each list."""
        lengths = self.lengths()
        return self.take(spans(np.cumsum(lengths) - lengths, np.minimum(lengths, most))[1])

    def ranks(self) -> Ints:
        """Rank of every row in its list, from 1."""
        lengths = self.lengths()
        return np.arange(1, len(self.position) + 1, dtype=np.int64) - np.repeat(np.cumsum(lengths) - lengths, lengths)

    def keep(self, mask: Bools) -> Lists:
        """The lists without the rows where `mask` is false, in the same order."""
        return self.take(np.flatnonzero(mask))

    def only(self, at: Ints) -> Lists:
        """The lists of some requests (positions), which become positions 0, 1, ..."""
        place = np.full(self.n, -1, dtype=np.int64)
        place[at] = np.arange(len(at))
        kept = self.keep(place[self.position] >= 0)
        return replace(kept, requests=self.requests[at], position=place[kept.position])

    def take(self, rows: Ints) -> Lists:
        """The rows with these numbers, in their order, which must keep requests together and in order."""
        return replace(
            self,
            position=self.position[rows],
            item=self.item[rows],
            value=self.value[rows],
            logged=None if self.logged is None else self.logged[rows],
        )

    def distinct(self) -> Lists:
        """The lists with every item once, at its best rank."""
        if not self.repeats:
            return self
        mask = np.ones(len(self.item), dtype=bool)
        mask[repeats(self.pairs(int(self.item.max(initial=0)) + 1))] = False
        return self.keep(mask)

    def row_requests(self) -> Ints:
        """Request code of every row."""
        return self.requests[self.position]

    def row_times(self, logs: Logs, clock: int = 0) -> Ints:
        """Instant of every row's request, by a clock that is so much ahead."""
        return (logs.requests.time[self.requests] + clock)[self.position]

    def row_users(self, logs: Logs) -> Ints:
        """User code of every row's request."""
        return logs.requests.user[self.requests][self.position]

    def pairs(self, items: int) -> Ints:
        """A number for each (request, item), for set operations; `items` is the number of item codes."""
        return self.position * items + self.item


def ordered(requests: Ints, position: Ints, item: Ints, value: Floats) -> Lists:
    """Lists from rows in any order: best first, ties (-0.0 equals 0.0) by item ascending."""
    value = value + 0.0
    order = np.lexsort((item, -value, position))
    return Lists(requests, position[order], item[order], value[order])


def ordered_within(lists: Lists, value: Floats) -> Lists:
    """The same rows ordered by another value: best first, ties (-0.0 equals 0.0) by item ascending."""
    value = value + 0.0
    order = np.lexsort((lists.item, -value, lists.position))
    return replace(lists.take(order), value=value[order])
