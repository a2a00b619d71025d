"""Ranked lists of one variant for some requests, in flat arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankcast.tables.logs import Bools, Floats, Ints, Logs
from rankcast.tables.ragged import place_in_group, repeats


@dataclass(frozen=True)
class Lists:
    """Rows of the lists of n requests, sorted by request and best first.

    `requests` (n) are request codes; `position` (rows) says to which of them a row belongs, `item` is an item code,
    `value` the score that ordered it. `repeats`: an item may stand in a list twice, as only a log can show it.
    """

    requests: Ints
    position: Ints
    item: Ints
    value: Floats
    repeats: bool = False

    @property
    def n(self) -> int:
        """How many requests."""
        return len(self.requests)

    def lengths(self) -> Ints:
        """Items per request."""
        return np.bincount(self.position, minlength=self.n)

    def ranks(self) -> Ints:
        """Rank of every row in its list, from 1."""
        return place_in_group(self.position) + 1

    def keep(self, mask: Bools) -> Lists:
        """The lists without the rows where `mask` is false, in the same order."""
        return Lists(self.requests, self.position[mask], self.item[mask], self.value[mask], self.repeats)

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

    def row_times(self, logs: Logs) -> Ints:
        """Instant of every row's request."""
        return logs.requests.time[self.requests][self.position]

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
