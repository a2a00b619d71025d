"""Looking things up as of a moment: the newest entry of a group before, or at, a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from rankcast.tables.ragged import members

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class AsOf:
    """An index over entries (group, time), for questions such as "the latest request of this user before t".

    `groups` and `times` are sorted together; entries with equal group and time keep the order in which they were given, so
    that the last one given wins. A look-up costs two binary searches.

    >>> index = AsOf.build(np.array([1, 1, 2]), np.array([10, 20, 15]))
    >>> index.at_or_before(np.array([1, 1, 2, 3]), np.array([20, 19, 14, 99])).tolist()
    [1, 0, -1, -1]
    >>> index.before(np.array([1]), np.array([20])).tolist()
    [0]
    """

    order: Ints  # position of each sorted entry in the arrays that were given
    known_groups: Ints
    known_times: Ints
    keys: Ints

    @classmethod
    def build(cls, groups: Ints, times: Ints) -> AsOf:
        """Index entries given in any order."""
        order = np.lexsort((times, groups))
        known_groups, group_codes = np.unique(groups[order], return_inverse=True)
        known_times, time_codes = np.unique(times[order], return_inverse=True)
        keys = group_codes.astype(np.int64) * (len(known_times) + 1) + time_codes + 1
        return cls(order, known_groups, known_times, keys)

    def at_or_before(self, groups: Ints, times: Ints) -> Ints:
        """Position (in the given arrays) of the newest entry with time <= `times`, or -1."""
        return self._find(groups, times, "right")

    def before(self, groups: Ints, times: Ints) -> Ints:
        """Position (in the given arrays) of the newest entry with time < `times`, or -1."""
        return self._find(groups, times, "left")

    def between(self, groups: Ints, after: Ints, until: Ints) -> tuple[Ints, Ints]:
        """(start, length) of the entries with after < time <= until, as positions in `order`.

        >>> index = AsOf.build(np.array([1, 1, 2]), np.array([10, 20, 15]))
        >>> index.between(np.array([1, 2]), np.array([10, 10]), np.array([20, 14]))
        (array([1, 2]), array([1, 0]))
        """
        base = self._base(groups)
        first = np.searchsorted(self.keys, base + np.searchsorted(self.known_times, after, side="right"), side="right")
        last = np.searchsorted(self.keys, base + np.searchsorted(self.known_times, until, side="right"), side="right")
        known = members(groups, self.known_groups)
        return first, np.where(known, last - first, 0)

    def _base(self, groups: Ints) -> Ints:
        codes = np.searchsorted(self.known_groups, groups)
        return np.minimum(codes, max(len(self.known_groups) - 1, 0)) * (len(self.known_times) + 1)

    def _find(self, groups: Ints, times: Ints, side: Literal["left", "right"]) -> Ints:
        found = np.full(len(groups), -1, dtype=np.int64)
        if not len(self.keys):
            return found
        codes = np.minimum(np.searchsorted(self.known_groups, groups), len(self.known_groups) - 1)
        known = np.flatnonzero(self.known_groups[codes] == groups)  # often few: only these are looked up
        base = codes[known] * (len(self.known_times) + 1)
        until = base + np.searchsorted(self.known_times, times[known], side=side)
        at = np.searchsorted(self.keys, until, side="right") - 1
        some = (at >= 0) & (self.keys[at] > base)
        found[known[some]] = self.order[at[some]]
        return found
