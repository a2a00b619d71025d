"""What steps took from the upper end of lists, for people who ask where an item has gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rankcast.replay.lists import Lists
from rankcast.replay.post_processing import Stage
from rankcast.tables.logs import Ints
from rankcast.tables.ragged import members

_TOGETHER = 20_000  # lists that are looked at at a time


@dataclass(frozen=True)
class Removed:
    """Items that a step removed: the position of the request, the item, its rank in the list that the step saw, and which of the
    `steps` it was.
    """

    position: Ints
    item: Ints
    rank: Ints
    step: Ints
    steps: tuple[str, ...]


def removed(stages: Sequence[Stage], reach: int, items: int) -> Removed:
    """What stages removed within rank `reach`: what would have been shown, had the list been cut there. `items`: item codes."""
    found = [_of_stage(stage, reach, items) for stage in stages]
    steps = [np.full(len(rank), at) for at, (_, rank) in enumerate(found)]
    nothing = np.zeros(0, dtype=np.int64)
    taken = [(stage.before, rows) for stage, (rows, _) in zip(stages, found, strict=True)]
    return Removed(
        np.concatenate([nothing, *(before.position[rows] for before, rows in taken)]),
        np.concatenate([nothing, *(before.item[rows] for before, rows in taken)]),
        np.concatenate([nothing, *(rank for _, rank in found)]),
        np.concatenate([nothing, *steps]),
        tuple(stage.name for stage in stages),
    )


def _of_stage(stage: Stage, reach: int, items: int) -> tuple[Ints, Ints]:
    """The rows that a stage lost, and their ranks."""
    before = stage.before
    kept = stage.kept if stage.kept is not None else members(before.pairs(items), stage.after.pairs(items))
    rows = np.flatnonzero(~kept)
    lengths = before.lengths()
    rank = rows - (np.cumsum(lengths) - lengths)[before.position[rows]] + 1
    near = rank <= reach
    return rows[near], rank[near]


def moved(slates: Lists, base: Lists, k: int) -> Ints:
    """How far each list moved against the baseline's: over every item of either's first k, the difference of its ranks, k at most
    and where a list does not have it. An item that a list shows twice counts at its best rank.

    >>> def lists(*items):
    ...     return Lists(np.array([0]), np.zeros(len(items), dtype=np.int64), np.array(items), np.zeros(len(items)))
    >>> moved(lists(1, 2), lists(2, 1), 10).tolist(), moved(lists(1, 3), lists(1, 2), 10).tolist()
    ([2], [20])
    """
    ours, theirs = _places(slates, 2 * k), _places(base, 2 * k)  # whoever is further away counts k in any case
    total = np.zeros(slates.n, dtype=np.int64)
    for start in range(0, slates.n, _TOGETHER):
        some = slice(start, start + _TOGETHER)
        shown, gone = ours[some, :k], theirs[some, :k]
        gone = np.where(_rank_in(shown, gone) > 0, -1, gone)  # what is in both counts once
        total[some] = _distance(shown, theirs[some], k) + _distance(gone, ours[some], k)
    return total


def _places(lists: Lists, k: int) -> Ints:
    """The items of the first k places of each list (n, k); -1 where a list is shorter."""
    once = lists.distinct()
    rank = once.ranks()
    near = rank <= k
    places = np.full((lists.n, k), -1, dtype=np.int64)
    places[once.position[near], rank[near] - 1] = once.item[near]
    return places


def _distance(items: Ints, places: Ints, k: int) -> Ints:
    """The sum over the items (n, k; -1: none) of how far each is from its rank among some places."""
    there = _rank_in(places, items)
    away = np.where(there > 0, np.minimum(np.abs(there - np.arange(1, k + 1)), k), k)
    total: Ints = (away * (items >= 0)).sum(axis=1)
    return total


def _rank_in(places: Ints, items: Ints) -> Ints:
    """The rank of each item (n, k) among the places of the same list; 0: not there."""
    same = items[:, :, None] == places[:, None, :]
    return np.where(same.any(axis=2) & (items >= 0), same.argmax(axis=2) + 1, 0)
