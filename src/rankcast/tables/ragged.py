"""Lists of unequal length in flat arrays: the shape of everything per request."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def spans(starts: Ints, lengths: Ints) -> tuple[Ints, Ints]:
    """Unroll spans [start, start + length): (number of the span, position) of every element.

    >>> owner, position = spans(np.array([5, 0]), np.array([2, 1]))
    >>> owner.tolist(), position.tolist()
    ([0, 0, 1], [5, 6, 0])
    """
    owner = np.repeat(np.arange(len(starts), dtype=np.int64), lengths)
    first = np.cumsum(lengths) - lengths
    position = np.arange(len(owner), dtype=np.int64) - np.repeat(first, lengths) + np.repeat(starts, lengths)
    return owner, position


def offsets(groups: Ints, size: int) -> Ints:
    """Where each group 0..size-1 starts in an array sorted by group; one more entry closes the last.

    >>> offsets(np.array([0, 0, 2]), 3).tolist()
    [0, 2, 2, 3]
    """
    return np.searchsorted(groups, np.arange(size + 1, dtype=np.int64))


def place_in_group(groups: Ints) -> Ints:
    """Position, from 0, of each element inside its run of equal neighbours.

    >>> place_in_group(np.array([4, 4, 7, 4])).tolist()
    [0, 1, 0, 0]
    """
    if not len(groups):
        return np.zeros(0, dtype=np.int64)
    fresh = np.concatenate(([True], groups[1:] != groups[:-1]))
    starts = np.flatnonzero(fresh)
    return np.arange(len(groups), dtype=np.int64) - np.repeat(starts, np.diff(np.append(starts, len(groups))))


def sum_by(groups: Ints, values: npt.NDArray[np.float64] | npt.NDArray[np.bool_], size: int) -> npt.NDArray[np.float64]:
    """Sum of `values` in each group 0..size-1, added in the order given.

    >>> sum_by(np.array([0, 2, 0]), np.array([1.0, 2.0, 3.0]), 3).tolist()
    [4.0, 0.0, 2.0]
    """
    return np.bincount(groups, values, size).astype(np.float64, copy=False)  # without rows bincount answers integers


def members(values: Ints, of: Ints) -> npt.NDArray[np.bool_]:
    """Which values occur in `of`. Much faster than `numpy.isin` where the values come roughly in order.

    >>> members(np.array([1, 2, 5]), np.array([5, 1])).tolist()
    [True, False, True]
    """
    if not len(of):
        return np.zeros(len(values), dtype=bool)
    known = np.sort(of, kind="stable")  # three times as fast where keys come roughly in order
    at = np.searchsorted(known, values)
    at[at == len(known)] = 0
    found: npt.NDArray[np.bool_] = known[at] == values
    return found


def ascending(keys: Iterable[np.ndarray]) -> bool:
    """Whether rows are in order by the first key, then the second, and so on.

    >>> ascending((np.array([1, 1, 2]), np.array([3, 4, 0]))), ascending((np.array([1, 1]), np.array([4, 3])))
    (True, False)
    """
    undecided: np.ndarray | None = None
    for key in keys:
        before, after = key[:-1], key[1:]
        if undecided is None:
            if (after < before).any():
                return False
            undecided = after == before
        else:
            if (undecided & (after < before)).any():
                return False
            undecided &= after == before
    return True


def repeats(keys: Ints) -> Ints:
    """Where a key stands that stood before.

    >>> repeats(np.array([7, 3, 7, 7])).tolist()
    [2, 3]
    """
    order = np.argsort(keys, kind="stable")
    later: Ints = order[1:][keys[order][1:] == keys[order][:-1]]
    return later
