"""The lists that were really shown: what a replayed list is held against."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rankcast.replay.lists import Lists
from rankcast.tables.logs import Bools, Ints, Logs
from rankcast.tables.ragged import place_in_group, spans


@dataclass(frozen=True)
class Logged:
    """The first `served` impressions of each request, an item once: `position`, `item` and `rank` (the place, from 1) of every
    row, in order. `twice` counts by request the impressions that repeat an item.
    """

    n: int
    position: Ints
    item: Ints
    rank: Ints
    twice: Ints
    items: int

    @classmethod
    def of(cls, requests: Ints, served: int, logs: Logs) -> Logged:
        """What some requests (codes) were shown."""
        position, at = spans(*logs.impressions_of(requests))
        within = place_in_group(position) < served
        position, at = position[within], at[within]
        again = logs.impressions.repeated[at]
        twice = np.bincount(position[again], minlength=len(requests))
        position, item = position[~again], logs.impressions.item[at][~again]
        return cls(len(requests), position, item, place_in_group(position) + 1, twice, len(logs.ids.items))

    @cached_property
    def lengths(self) -> Ints:
        """Items per request."""
        return np.bincount(self.position, minlength=self.n)

    @property
    def measured(self) -> Bools:
        """Which requests have an impression."""
        return self.lengths > 0

    def ranks_of(self, position: Ints, item: Ints) -> Ints:
        """The logged rank of each (request, item); 0 for what was not shown."""
        if not len(self.item):
            return np.zeros(len(item), dtype=np.int64)
        keys = self.position * self.items + self.item
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        wanted = position * self.items + item
        at = np.searchsorted(keys, wanted)
        at[at == len(keys)] = 0
        return np.where(keys[at] == wanted, self.rank[order[at]], 0)

    def _marks(self, lists: Lists) -> Ints:
        """The logged rank of each row: what was shown is looked up among the rows, since it is less."""
        if lists.repeats:
            return self.ranks_of(lists.position, lists.item)
        marks = np.zeros(len(lists.item), dtype=np.int64)
        if len(marks) and len(self.item):
            keys = lists.pairs(self.items)
            order = np.argsort(keys, kind="stable")
            keys = keys[order]
            wanted = self.position * self.items + self.item
            at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            hit = keys[at] == wanted
            marks[order[at[hit]]] = self.rank[hit]
        return marks

    def mark(self, lists: Lists) -> Lists:
        """The same lists, knowing at which rank the log shows each item."""
        if lists.logged is None:
            return replace(lists, logged=self._marks(lists))
        unknown = np.flatnonzero(lists.logged < 0)
        if not len(unknown):
            return lists
        logged = lists.logged.copy()
        logged[unknown] = self.ranks_of(lists.position[unknown], lists.item[unknown])
        return replace(lists, logged=logged)
