"""Why a replayed slate and the list that was shown differ: a reason for every item that stands in only one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rankcast.records import (
    BELOW_CUT,
    BEYOND,
    NO_BATCH,
    NOT_SCORED,
    OLDER,
    OTHER,
    PINNED,
    REMOVED_BY,
    TWICE,
    UNAVAILABLE,
)
from rankcast.replay.candidates import Batches
from rankcast.replay.fidelity.logged import Logged
from rankcast.replay.lists import Lists
from rankcast.replay.post_processing import Stage
from rankcast.replay.steps.available import is_open
from rankcast.replay.steps.pin import Pin, pins_of
from rankcast.tables.logs import Bools, Ints, Logs
from rankcast.tables.ragged import members, offsets

EXAMPLES = 3

Example = tuple[int, int, int]  # codes of request and item, and the rank


@dataclass(frozen=True)
class Mismatches:
    """How many items stand in one list only, by reason, with the first few of each: (request code, item code, rank)."""

    counts: Mapping[str, int]
    examples: Mapping[str, tuple[Example, ...]]

    def plus(self, other: Mismatches) -> Mismatches:
        """Two shards together."""
        counts = dict(self.counts)
        examples = dict(self.examples)
        for reason, number in other.counts.items():
            counts[reason] = counts.get(reason, 0) + number
            both = (*examples.get(reason, ()), *other.examples[reason])
            examples[reason] = tuple(sorted(both, key=_in_order)[:EXAMPLES])
        return Mismatches(counts, examples)


def _in_order(example: Example) -> tuple[int, int, int]:
    request, item, rank = example
    return request, rank, item


@dataclass(frozen=True)
class _Found:
    """Rows of one reason, in order of request and rank."""

    reason: str
    position: Ints
    item: Ints
    rank: Ints


def explain(
    slates: Lists, stages: Sequence[Stage], candidates: Lists, early: Bools, source: object, logged: Logged, logs: Logs
) -> Mismatches:
    """A reason for each item that was shown and is not replayed, and the reverse. Lists know their logged ranks."""
    found = [
        *_not_replayed(slates, stages, candidates, early, source, logged, logs),
        *_not_shown(slates, stages, logged, logs),
    ]
    counts = {one.reason: len(one.item) for one in found if len(one.item)}
    examples = {one.reason: _first(one, slates.requests) for one in found if len(one.item)}
    if logged.twice.any():
        counts[TWICE] = int(logged.twice.sum())
        examples[TWICE] = tuple((int(slates.requests[at]), -1, 0) for at in np.flatnonzero(logged.twice)[:EXAMPLES])
    return Mismatches(counts, examples)


def _first(found: _Found, requests: Ints) -> tuple[Example, ...]:
    request = requests[found.position[:EXAMPLES]]
    return tuple(
        (int(of), int(item), int(rank)) for of, item, rank in zip(request, found.item, found.rank, strict=False)
    )


def _not_replayed(
    slates: Lists, stages: Sequence[Stage], candidates: Lists, early: Bools, source: object, logged: Logged, logs: Logs
) -> list[_Found]:
    """Every logged item that the slates lack: where it was lost, the last place if there were several."""
    start = offsets(logged.position, logged.n)

    def held(lists: Lists) -> Bools:
        """Which logged items stand in lists."""
        shown = logged.mark(lists)
        rank = shown.logged if shown.logged is not None else shown.item
        mask = np.zeros(len(logged.item), dtype=bool)
        mask[start[shown.position[rank > 0]] + rank[rank > 0] - 1] = True
        return mask

    missing = ~held(slates)
    if not missing.any():
        return []
    current = scored = held(candidates)
    reason = np.full(len(missing), -1)
    for number, stage in enumerate(stages):
        after = held(stage.after)
        reason[current & ~after] = number
        current = after
    unscored = missing & ~scored
    early_rows = unscored & early[logged.position]
    older = np.zeros(len(missing), dtype=bool)
    if isinstance(source, Batches):
        at = np.flatnonzero(unscored & ~early_rows)
        older[at] = source.held_earlier(slates.requests[logged.position[at]], logged.item[at], logs)
    masks = {
        NO_BATCH: early_rows,
        OLDER: older,
        NOT_SCORED: unscored & ~early_rows & ~older,
        **{
            REMOVED_BY + stage.name: missing & scored & ~current & (reason == number)
            for number, stage in enumerate(stages)
        },
        BELOW_CUT: missing & scored & current,
    }
    return [_Found(why, logged.position[mask], logged.item[mask], logged.rank[mask]) for why, mask in masks.items()]


def _not_shown(slates: Lists, stages: Sequence[Stage], logged: Logged, logs: Logs) -> list[_Found]:
    """Every replayed item that the log lacks."""
    rank = slates.ranks()
    extra = (slates.logged == 0) & logged.measured[slates.position]
    position, item, rank = slates.position[extra], slates.item[extra], rank[extra]
    if not len(item):
        return []
    free = np.ones(len(item), dtype=bool)
    found = []
    pinned = np.zeros(len(item), dtype=bool)
    for stage in stages:
        if isinstance(stage.bound.named.step, Pin) and stage.bound.placed is not None:
            pin, what, _ = pins_of(stage.bound.placed, slates.requests, len(logs.ids.requests))
            pinned |= members(position * logged.items + item, pin * logged.items + what)
    closed = np.zeros(len(item), dtype=bool)
    if len(logs.intervals.item):
        closed = ~is_open(item, logs.requests.time[slates.requests][position], logs)
    beyond = rank > logged.lengths[position]
    for why, mask in ((PINNED, pinned), (UNAVAILABLE, closed), (BEYOND, beyond), (OTHER, free)):
        mine = mask & free
        found.append(_Found(why, position[mine], item[mine], rank[mine]))
        free &= ~mine
    return found
