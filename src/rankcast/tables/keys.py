"""Where a key stands among known keys."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class KeyIndex:
    """Distinct keys, in any order, that can be found.

    >>> KeyIndex(np.array([7, 3])).find(np.array([3, 5, 7])).tolist()
    [1, -1, 0]
    """

    keys: Ints
    _sorted: Ints = field(init=False, repr=False, compare=False)
    _order: Ints | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ascending = bool((self.keys[1:] > self.keys[:-1]).all())
        order = None if ascending else np.argsort(self.keys, kind="stable")
        object.__setattr__(self, "_order", order)
        object.__setattr__(self, "_sorted", self.keys if order is None else self.keys[order])

    def find(self, keys: Ints) -> Ints:
        """Position of each key; -1 for one that is not known."""
        if not len(self._sorted):
            return np.full(len(keys), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        return np.where(self._sorted[at] == keys, at if self._order is None else self._order[at], -1)
