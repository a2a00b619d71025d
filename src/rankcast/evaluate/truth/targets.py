"""Targets: the requests that count, the same for every variant, and how much each counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rankcast.evaluate.truth.labels import Labels
from rankcast.tables.logs import Bools, Floats, Ints, Logs

WithoutLabels = Literal["exclude", "zero"]
STEPS = ("period", "where", "mature", "labelled")


@dataclass(frozen=True)
class Known:
    """Of one graded kind of event: how long it counts, and up to when it is known (microseconds; None: no event is known)."""

    kind: str
    horizon: int
    until: int | None

    def mature(self, time: Ints) -> Bools:
        """Which requests can have no further event of this kind."""
        if self.until is None:
            return np.zeros(len(time), dtype=bool)
        over: Bools = time <= self.until - self.horizon
        return over


@dataclass(frozen=True)
class Rule:
    """What makes a request a target. Instants are microseconds; `admitted` is the answer of `targets.where` by request.

    `keep_late`: requests whose horizon is not over are targets too.
    """

    start: int
    end: int
    admitted: Bools
    known: Sequence[Known]
    without_labels: WithoutLabels
    keep_late: bool = False

    def replayed(self, time: Ints) -> Ints:
        """The requests (codes) inside the period that are admitted."""
        return np.flatnonzero((self.start <= time) & (time < self.end) & self.admitted)

    def mature(self, time: Ints) -> Bools:
        """Which requests have their horizon over, for every kind of event."""
        over = np.ones(len(time), dtype=bool)
        for one in self.known:
            over &= one.mature(time)
        return over


@dataclass(frozen=True)
class Population:
    """Request codes: all that are replayed, and of these the targets. `stages` are the requests that are still in after each of
    STEPS (masks by request).
    """

    replayed: Ints
    targets: Ints
    stages: tuple[Bools, ...]


def select(logs: Logs, labels: Labels, rule: Rule) -> Population:
    """Apply period, where, maturity and labels in this order."""
    time = logs.requests.time
    everything = np.ones(len(time), dtype=bool)
    kept, stages = everything, []
    for mask in (
        (rule.start <= time) & (time < rule.end),
        rule.admitted,
        everything if rule.keep_late else rule.mature(time),
        labels.labelled() if rule.without_labels == "exclude" else everything,
    ):
        kept = kept & mask
        stages.append(kept)
    return Population(np.flatnonzero(stages[1]), np.flatnonzero(kept), tuple(stages))


def weights(groups: Ints | None, n: int, own: Floats | None = None) -> Floats:
    """Weight of each of n targets: 1, or 1 / targets of its group, so that every group weighs the same.

    With `own` weights c (n): c, or c / sum of c over its group; a group whose sum is 0 weighs nothing.

    >>> weights(np.array([3, 3, 5]), 3).tolist()
    [0.5, 0.5, 1.0]
    >>> weights(np.array([3, 3, 5]), 3, np.array([3.0, 1.0, 2.0])).tolist()
    [0.75, 0.25, 1.0]
    """
    single = np.ones(n) if own is None else own
    if groups is None:
        return single
    _, member = np.unique(groups, return_inverse=True)
    total = np.bincount(member, single)[member]
    share: Floats = np.divide(single, total, out=np.zeros(n), where=total > 0)
    return share
