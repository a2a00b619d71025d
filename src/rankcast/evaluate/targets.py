"""Targets: the requests that count, the same for every variant, and the ledger of those that fell out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from rankcast.evaluate.labels import Labels
from rankcast.records import LedgerRow
from rankcast.tables.duration import Duration
from rankcast.tables.logs import Bools, Floats, Ints, Logs

WithoutLabels = Literal["exclude", "zero"]


@dataclass(frozen=True)
class Population:
    """Request codes: all that are replayed, and of these the targets. `ledger` accounts for the rest."""

    replayed: Ints
    targets: Ints
    ledger: tuple[LedgerRow, ...]


@dataclass(frozen=True)
class Rule:
    """What makes a request a target. Instants are microseconds; `admitted` is the answer of `targets.where` by request."""

    start: int
    end: int
    admitted: Bools
    horizon: Duration
    known_until: int | None
    without_labels: WithoutLabels


def replayed(rule: Rule, logs: Logs) -> Ints:
    """The requests (codes) inside the period that are admitted."""
    time = logs.requests.time
    return np.flatnonzero((rule.start <= time) & (time < rule.end) & rule.admitted)


def select(logs: Logs, labels: Labels, rule: Rule) -> Population:
    """Apply period, where, maturity and labels in this order."""
    time = logs.requests.time
    inside = (rule.start <= time) & (time < rule.end)
    mature = np.zeros(len(time), dtype=bool)
    if rule.known_until is not None:
        mature = time <= rule.known_until - rule.horizon.micros
    labelled = labels.labelled() if rule.without_labels == "exclude" else np.ones(len(time), dtype=bool)
    kept = np.ones(len(time), dtype=bool)
    ledger = []
    for step, mask, reason in (
        ("period", inside, "outside the period"),
        ("where", rule.admitted, "not admitted by targets.where"),
        ("mature", mature, "horizon ends after events stop being known"),
        (
            "labelled",
            labelled,
            "no label" if rule.without_labels == "exclude" else "no label counts as zero: none is lost",
        ),
    ):
        before, kept = int(kept.sum()), kept & mask
        after = int(kept.sum())
        ledger.append(LedgerRow(scope="requests", step=step, in_=before, out=after, lost=before - after, reason=reason))
    return Population(replayed(rule, logs), np.flatnonzero(kept), tuple(ledger))


def weights(groups: Ints | None, n: int) -> Floats:
    """Weight of each of n targets: 1, or 1 / targets of its group, so that every group weighs the same.

    >>> weights(np.array([3, 3, 5]), 3).tolist()
    [0.5, 0.5, 1.0]
    """
    if groups is None:
        return np.ones(n)
    _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return 1.0 / sizes[member]
