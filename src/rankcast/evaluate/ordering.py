"""The order of a list: best first, and a rule for ties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from rankcast.tables.logs import Floats, Ints

Ties = Literal["item_id", "reverse_item_id", "given"]
Order = Ties | Literal["any"]  # "any" is for labels: nothing depends on how equal grades stand
Comparable = Callable[[Ints], Ints]
"""Numbers for some rows that are ordered as the rows' item ids are."""


def ordered(value: Floats | Ints, bounds: Ints, ties: Order, comparable: Comparable) -> tuple[Ints | None, int]:
    """The order that puts each list (bounds[l] .. bounds[l + 1]) best first, None where it is so already; and the tied rows.

    >>> ordered(np.array([1.0, 2.0, 2.0]), np.array([0, 3]), "item_id", lambda rows: np.array([5, 9, 7])[rows])
    (array([2, 1, 0]), 2)
    """
    inner = bounds[1:-1] - 1  # the last row of a list and the first of the next are no neighbours
    order: Ints | None = None
    not_falling = value[1:] >= value[:-1]
    not_falling[inner] = False
    if not not_falling.any():
        return None, 0
    rising = value[1:] > value[:-1]
    rising[inner] = False
    if rising.any():
        member = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
        # Numbers of 16 bits are sorted by radix; blocks are cut so that they suffice for all but absurd lists.
        member = member.astype(np.uint16) if len(bounds) <= 1 << 16 else member
        order = np.argsort(-value, kind="stable" if ties == "given" else "quicksort")
        order = order[np.argsort(member[order], kind="stable")]
        value = value[order]
    if ties == "any":
        return order, 0
    equal = value[1:] == value[:-1]
    equal[inner] = False
    pairs = np.flatnonzero(equal)
    if not len(pairs):
        return order, 0
    tied = np.zeros(len(value), dtype=bool)
    tied[:-1] = equal
    tied[1:] |= equal
    rows = np.flatnonzero(tied)
    if ties != "given":
        place = rows if order is None else order[rows]
        code = comparable(place) if ties == "item_id" else ~comparable(place)
        group = np.cumsum(np.concatenate(([True], ~equal[rows[1:] - 1] | (np.diff(rows) > 1))))
        proper = np.lexsort((code, group))
        if (proper[1:] < proper[:-1]).any():
            order = np.arange(len(value)) if order is None else order
            order[rows] = place[proper]
    return order, len(rows)
