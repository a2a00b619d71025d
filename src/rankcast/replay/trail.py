"""What steps took from the upper end of lists, for people who ask where an item has gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rankcast.replay.lists import Lists
from rankcast.replay.post_processing import Stage
from rankcast.tables.logs import Ints
from rankcast.tables.ragged import members


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


def moved(slates: Lists, base: Lists, k: int, items: int) -> Ints:
    """How far the first k items of each list moved against the baseline's list: the sum of their differences in rank, k for an
    item that is not in it, and k for each of the baseline's first k that is gone.

    >>> def lists(*items):
    ...     return Lists(np.array([0]), np.zeros(len(items), dtype=np.int64), np.array(items), np.zeros(len(items)))
    >>> moved(lists(1, 2), lists(2, 1), 10, 9).tolist(), moved(lists(1, 3), lists(1, 2), 10, 9).tolist()
    ([2], [20])
    """
    ours, theirs = slates.distinct(), base.distinct()
    shown, gone = ours.first(k), theirs.first(k)
    was, now = _rank_in(theirs, shown, items), _rank_in(ours, gone, items)
    away = np.where(was > 0, np.minimum(np.abs(shown.ranks() - was), k), k)
    total = np.bincount(shown.position, away, slates.n) + np.bincount(gone.position, np.where(now > 0, 0, k), slates.n)
    return total.astype(np.int64)


def _rank_in(lists: Lists, rows: Lists, items: int) -> Ints:
    """The rank of each row's item in other lists of the same requests; 0: not there."""
    keys, wanted = lists.pairs(items), rows.pairs(items)
    if not len(keys):
        return np.zeros(len(wanted), dtype=np.int64)
    order = np.argsort(keys, kind="stable")
    place = order[np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)]
    return np.where(keys[place] == wanted, lists.ranks()[place], 0)
