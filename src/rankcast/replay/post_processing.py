"""Steps at work: what each did to the lists of one variant, in order, until they are cut to `served`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rankcast.replay.lists import Lists
from rankcast.replay.step import Change, NamedStep
from rankcast.tables.logs import Bools, Ints, Logs, Placements
from rankcast.tables.ragged import members

SERVED = "served"


@dataclass(frozen=True)
class StepCount:
    """What a step did: counts that add up over shards.

    `requests` lost an item, `emptied` lost their last; `reordered` have their items in another order, or new ones.
    """

    step: str
    items_in: int
    removed: int
    requests: int
    emptied: int
    unknown: int | None = None
    added: int = 0
    reordered: int = 0

    def plus(self, other: StepCount) -> StepCount:
        """The counts of two shards together."""
        unknown = None if self.unknown is None or other.unknown is None else self.unknown + other.unknown
        return StepCount(
            self.step,
            self.items_in + other.items_in,
            self.removed + other.removed,
            self.requests + other.requests,
            self.emptied + other.emptied,
            unknown,
            self.added + other.added,
            self.reordered + other.reordered,
        )


@dataclass(frozen=True)
class BoundStep:
    """A step that has looked up what it needs."""

    named: NamedStep
    change: Change
    placed: Placements | None = None

    def __call__(self, lists: Lists) -> Bools | Lists:
        with self.named.place.blamed():
            return self.change(lists)


@dataclass(frozen=True)
class Stage:
    """A step's doing: the lists before and after it; `kept` says which rows a filter left, None where it was no filter."""

    bound: BoundStep
    before: Lists
    after: Lists
    kept: Bools | None

    @property
    def name(self) -> str:
        """The step's name."""
        return self.bound.named.name

    @property
    def alone(self) -> bool:
        """Whether the step was a filter that looks at one item at a time."""
        return self.kept is not None and self.bound.named.step.alone


def run_step(bound: BoundStep, lists: Lists) -> Stage:
    """One step."""
    answer = bound(lists)
    if isinstance(answer, Lists):
        return Stage(bound, lists, answer, None)
    return Stage(bound, lists, lists.keep(answer), answer)


def count(stage: Stage, logs: Logs) -> StepCount:
    """What a step did, in numbers."""
    before, after = stage.before, stage.after
    if stage.kept is not None:
        unknown = None
        if "availability" in stage.bound.named.step.needs():
            rows = np.diff(logs.intervals.start)[before.item[~stage.kept]]
            unknown = int((rows == 0).sum())
        return _lost(stage.name, before, stage.kept, unknown)
    items = len(logs.ids.items)
    old, new = before.pairs(items), after.pairs(items)
    stayed, added = members(old, new), ~members(new, old)
    moved = before.position[stayed][old[stayed] != new[~added]]
    touched = len(np.unique(np.concatenate((moved, after.position[added]))))
    lost = _lost(stage.name, before, stayed, None)
    return StepCount(
        lost.step, lost.items_in, lost.removed, lost.requests, lost.emptied, None, int(added.sum()), touched
    )


def cut(lists: Lists, served: int) -> tuple[Lists, StepCount]:
    """The final cut, which counts as a step."""
    mask = lists.ranks() <= served
    return lists.keep(mask), _lost(SERVED, lists, mask, None)


def _lost(step: str, before: Lists, kept: Bools, unknown: int | None) -> StepCount:
    had = before.lengths()
    lost: Ints = np.bincount(before.position[~kept], minlength=before.n)
    return StepCount(
        step=step,
        items_in=len(kept),
        removed=int(len(kept) - kept.sum()),
        requests=int((lost > 0).sum()),
        emptied=int(((had > 0) & (lost == had)).sum()),
        unknown=unknown,
    )


def without(stages: Sequence[Stage], left_out: int) -> tuple[Lists, Bools]:
    """The lists when one step is left out and the others run as before, of those requests for which that can make a
    difference; and which these are.

    Only what the step took away can make a difference, so filters that look at one item at a time see just those rows again.
    """
    stage, later = stages[left_out], stages[left_out + 1 :]
    if not stage.alone or stage.kept is None:
        touched = _touched(stage)
        return through((one.bound for one in later), stage.before.keep(touched[stage.before.position])), touched
    fresh, stayed = np.flatnonzero(~stage.kept), np.flatnonzero(stage.kept)
    while later and later[0].alone and later[0].kept is not None:
        answer = later[0].bound(stage.before.take(fresh))
        fresh = fresh[answer] if not isinstance(answer, Lists) else fresh
        stayed = stayed[later[0].kept]
        later = later[1:]
    touched = np.zeros(stage.before.n, dtype=bool)
    touched[stage.before.position[fresh]] = True
    stayed = stayed[touched[stage.before.position[stayed]]]
    return through((one.bound for one in later), stage.before.take(np.sort(np.concatenate((stayed, fresh))))), touched


def _touched(stage: Stage) -> Bools:
    """Which requests a step may have changed."""
    if stage.kept is None:
        return np.ones(stage.before.n, dtype=bool)
    return np.bincount(stage.before.position[~stage.kept], minlength=stage.before.n) > 0


def through(steps: Iterable[BoundStep], lists: Lists) -> Lists:
    """The lists after some steps."""
    for bound in steps:
        lists = run_step(bound, lists).after
    return lists
