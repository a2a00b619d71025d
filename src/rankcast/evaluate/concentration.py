"""How a variant spreads its places over items: how often each is shown, and how much of everything the most shown ones get."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from rankcast.tables.logs import Floats, Ints

POINTS = 20  # of a Lorenz curve, besides its origin


@dataclass(frozen=True)
class Times:
    """How often items (codes, ascending) are shown; items that never are do not occur."""

    item: Ints
    count: Ints

    def plus(self, others: Iterable[Times]) -> Times:
        """With those of other requests.

        >>> times(np.array([3, 1])).plus([times(np.array([3]))]).count.tolist()
        [1, 2]
        """
        parts = (self, *others)
        item, place = np.unique(np.concatenate([one.item for one in parts]), return_inverse=True)
        count = np.bincount(place, np.concatenate([one.count for one in parts]), len(item))
        return Times(item, count.astype(np.int64))

    def of(self, items: Ints) -> Ints:
        """How often each of some items is shown."""
        if not len(self.item):
            return np.zeros(len(items), dtype=np.int64)
        place = np.minimum(np.searchsorted(self.item, items), len(self.item) - 1)
        return np.where(self.item[place] == items, self.count[place], 0)


def times(item: Ints) -> Times:
    """Counted over the places of lists.

    >>> found = times(np.array([5, 2, 5]))
    >>> found.item.tolist(), found.count.tolist()
    ([2, 5], [1, 2])
    """
    count = np.bincount(item)
    shown = np.flatnonzero(count)
    return Times(shown, count[shown])


def lorenz(count: Ints, zeros: int, points: int = POINTS) -> Floats:
    """The Lorenz curve (Lorenz, 1905) at shares 0, 1/points, ..., 1 of the items, least shown first: their share of all places.

    `zeros`: items that are never shown. Linear between items; (points + 1), from 0 to 1; NaN where nothing is shown.

    >>> lorenz(np.array([1, 3]), 2, 4).tolist()
    [0.0, 0.0, 0.0, 0.25, 1.0]
    """
    if not count.sum():
        return np.full(points + 1, np.nan)
    cumulated = np.concatenate((np.zeros(zeros + 1), np.cumsum(np.sort(count)))) / count.sum()
    places = np.linspace(0, len(cumulated) - 1, points + 1)
    curve: Floats = np.interp(places, np.arange(len(cumulated)), cumulated)
    return curve


def top_share(count: Ints, zeros: int, share: float) -> float | None:
    """The share of all places that go to the most shown `share` of the items (at least one item).

    >>> top_share(np.array([1, 3]), 8, 0.1)
    0.75
    """
    most = max(1, round((len(count) + zeros) * share))
    return float(np.sort(count)[::-1][:most].sum() / count.sum()) if count.sum() else None
