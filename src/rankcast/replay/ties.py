"""Equal scores: the lists that come out if ties are ordered at best, and at worst.

A ranking with ties is a set of rankings; a metric of the one that a file happens to have can be luck (McSherry and Najork, 2008).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rankcast.replay.lists import Lists
from rankcast.replay.post_processing import BoundStep, through
from rankcast.tables.logs import Bools, Floats, Ints

Grades = Callable[[Ints, Ints, Ints], Floats]
"""The grade of each row (position among some requests, item), NaN where it has no label."""


@dataclass(frozen=True)
class Tied:
    """The slates of the requests (codes) that have ties: relevant items first among equals, and last."""

    best: Lists
    worst: Lists


def tied(candidates: Lists, steps: Sequence[BoundStep], served: int, chosen: Bools, grades: Grades) -> Tied:
    """Of the `chosen` requests (by position), order candidates with equal scores both ways and run the steps again."""
    at = np.flatnonzero(chosen)
    same = (candidates.position[1:] == candidates.position[:-1]) & (candidates.value[1:] == candidates.value[:-1])
    has = np.zeros(candidates.n, dtype=bool)
    has[candidates.position[1:][same]] = True
    some = replace(candidates.only(at[has[at]]), logged=None)
    grade = np.nan_to_num(grades(some.requests, some.position, some.item))

    def ordered(worth: Floats) -> Lists:
        order = np.lexsort((some.item, -worth, -(some.value + 0.0), some.position))
        return through(steps, some.take(order)).first(served)

    return Tied(ordered(grade), ordered(-grade))
