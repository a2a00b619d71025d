"""What is known of items beside labels: their attributes, whether they could have been shown, how popular they were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from rankcast.tables.expression import Expression
from rankcast.tables.keys import KeyIndex
from rankcast.tables.logs import Bools, Floats, Ints
from rankcast.tables.valuesets import group_codes

if TYPE_CHECKING:
    from rankcast.tables.logs import Events

NEVER = np.iinfo(np.int64).max  # the popularity rank of what nobody had to do with


@dataclass(frozen=True)
class History:
    """What users did before: by item code, distinct `users` and `events`; `everyone` is the number of distinct users."""

    users: Ints
    events: Ints
    everyone: int

    @classmethod
    def of(cls, user: Ints, item: Ints, size: int) -> History:
        """Counted over (user, item) pairs of events; items are codes below `size`.

        >>> history = History.of(np.array([1, 1, 2]), np.array([0, 0, 0]), 2)
        >>> history.users.tolist(), history.events.tolist(), history.everyone
        ([2, 0], [3, 0], 2)
        """
        known, member = np.unique(user, return_inverse=True)
        pairs = np.unique(member * np.int64(size) + item)
        return cls(np.bincount(pairs % size, minlength=size), np.bincount(item, minlength=size), len(known))

    @classmethod
    def before(cls, events: Events, counted: Bools, until: int, size: int) -> History:
        """Of the counted events strictly before an instant."""
        early = counted & (events.time < until)
        return cls.of(events.user[early], events.item[early], size)

    def popularity_rank(self) -> Ints:
        """Rank (from 1) of each item by its events, ties by code; NEVER for items without events.

        >>> History(np.array([1, 0, 2]), np.array([1, 0, 2]), 3).popularity_rank().tolist() == [2, NEVER, 1]
        True
        """
        order = np.argsort(-self.events, kind="stable")
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(1, len(order) + 1)
        return np.where(self.events > 0, rank, NEVER)


@dataclass(frozen=True)
class Catalogue:
    """Items by code: their columns in `frame`, and which were `available` to be shown.

    `keys` are those by which lists know the items, by code; None where lists hold codes already.
    """

    frame: pl.DataFrame
    available: Bools
    history: History | None = None
    keys: KeyIndex | None = None

    def past(self) -> History:
        """What users did before."""
        if self.history is None:
            raise ValueError("no history was kept: the metric must say what it `needs`")
        return self.history

    def place(self, items: Ints) -> Ints:
        """The code of each item; -1 for an item that the catalogue does not know."""
        return items if self.keys is None else self.keys.find(items)

    def groups(self, column: str) -> Ints:
        """A code for each distinct value of a column (`item.<name>`), by item; -1 for null."""
        return group_codes(self.frame[column.removeprefix("item.")].alias(column))

    def groups_of(self, column: str, items: Ints) -> Ints:
        """The group of each item of a list; -1 for null and for unknown items."""
        return looked_up(self.groups(column), self.place(items), -1)

    def admitted(self, condition: Expression) -> Bools:
        """Which items satisfy a condition; null does not."""
        return condition.evaluate(lambda _, name: self.frame[name], len(self.frame))


def looked_up(table: Ints | Floats | Bools, codes: Ints, otherwise: int) -> np.ndarray:
    """`table[codes]`, with a value for the code -1.

    >>> looked_up(np.array([7, 8]), np.array([1, -1]), 0).tolist()
    [8, 0]
    """
    if not len(table):
        return np.full(len(codes), otherwise, dtype=table.dtype)
    return np.where(codes >= 0, table[codes], table.dtype.type(otherwise))
