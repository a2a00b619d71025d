"""The ledger of targets: which requests, users, items and events fell out, at which step, and who they were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rankcast.evaluate.truth.labels import Labels, Outcomes, deciding
from rankcast.evaluate.truth.targets import STEPS, Population
from rankcast.records import LedgerRow
from rankcast.tables.logs import Bools, Ints, Logs

Scope = Literal["requests", "users", "items", "labels"]
_REASONS = {
    "period": "outside the period",
    "where": "not admitted by targets.where",
    "mature": "horizon ends after events stop being known",
    "labelled": "no label",
}
_EVENTS = {
    "duplicate": "the same event again",
    "graded": "a kind of event without a grade",
    "user": "by a user without any request",
    "attributed": "points to no request",
    "before": "before its request, or before any that it might point to",
    "horizon": "outside the horizon of its request",
    "period": "its request is outside the period",
    "where": "its request is not admitted by targets.where",
    "mature": "its request's horizon ends after events stop being known",
    "labelled": "its request has no label above 0",
    "highest": "a better or earlier event decides the label of its request and item",
}


@dataclass(frozen=True)
class Terms:
    """What the ledger must know of the rule: it words what no step takes."""

    keeps_late: bool
    keeps_unlabelled: bool

    def reason(self, step: str) -> str:
        """Why a request falls out at a step."""
        if step == "mature" and self.keeps_late:
            return "horizon not over: kept, and what is missing is estimated"
        if step == "labelled" and self.keeps_unlabelled:
            return "no label counts as zero: none is lost"
        return _REASONS[step]


def ledger(
    logs: Logs, labels: Labels, outcomes: Outcomes, population: Population, terms: Terms
) -> tuple[LedgerRow, ...]:
    """Every loss, from the raw tables to the targets: requests, users, items, events, each a chain of steps."""
    fresh = without_history(logs)
    return (
        *_requests(population, fresh, terms),
        *_users(logs, population, fresh, terms),
        *_items(logs, labels, population),
        *_labels(logs, outcomes, population),
    )


def without_history(logs: Logs) -> Bools:
    """Which requests come from a user who had done nothing before: no event strictly before the request."""
    first = np.full(len(logs.ids.users) + 1, np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(first, logs.events.user, logs.events.time)
    fresh: Bools = first[logs.requests.user] >= logs.requests.time
    return fresh


def _chain(scope: Scope, start: int, steps: Iterable[tuple[str, int, str]]) -> list[LedgerRow]:
    """Rows of steps (name, left after it, reason)."""
    rows = []
    for step, after, reason in steps:
        rows.append(LedgerRow(scope=scope, step=step, in_=start, out=after, lost=start - after, reason=reason))
        start = after
    return rows


def _requests(population: Population, fresh: Bools, terms: Terms) -> list[LedgerRow]:
    left = [int(mask.sum()) for mask in population.stages]
    rows = _chain("requests", len(fresh), [(step, n, terms.reason(step)) for step, n in zip(STEPS, left, strict=True)])
    return _who(rows, (np.ones(len(fresh), dtype=bool), *population.stages), fresh)


def _users(logs: Logs, population: Population, fresh: Bools, terms: Terms) -> list[LedgerRow]:
    size, user = len(logs.ids.users), logs.requests.user
    everyone = np.zeros(size, dtype=bool)
    everyone[user] = True
    stages = [everyone]
    for mask in population.stages:
        present = np.zeros(size, dtype=bool)
        present[user[mask]] = True
        stages.append(present)
    steps = [
        (step, int(mask.sum()), f"no request is left: {terms.reason(step)}")
        for step, mask in zip(STEPS, stages[1:], strict=True)
    ]
    rows = _chain("users", int(everyone.sum()), steps)
    order = np.lexsort((logs.requests.time, user))
    users, first = np.unique(user[order], return_index=True)
    newcomer = np.zeros(size, dtype=bool)
    newcomer[users] = fresh[order[first]]
    return _who(rows, stages, newcomer)


def _who(rows: Sequence[LedgerRow], stages: Sequence[Bools], fresh: Bools) -> list[LedgerRow]:
    """With the share of newcomers among who was lost and who was kept."""
    told = []
    for row, before, after in zip(rows, stages[:-1], stages[1:], strict=True):
        lost = before & ~after
        told.append(
            row.model_copy(
                update={
                    "new_lost": float(fresh[lost].mean()) if lost.any() else None,
                    "new_kept": float(fresh[after].mean()) if after.any() else None,
                }
            )
        )
    return told


def _items(logs: Logs, labels: Labels, population: Population) -> list[LedgerRow]:
    """Items of the service's tables. Those that only score files name are counted elsewhere."""
    here = logs.items.known.copy()
    for items in (logs.intervals.item, logs.impressions.item, logs.events.item):
        here[items] = True
    start, steps = int(here.sum()), []
    if logs.items.known.any():
        here &= logs.items.known
        steps.append(("known", int(here.sum()), "not in items"))
    if len(logs.intervals.item):
        here &= logs.intervals.open_items(logs.requests.time[population.targets])
        steps.append(("open", int(here.sum()), "not open at the time of any target"))
    labelled = np.zeros(len(here), dtype=bool)
    target = np.repeat(population.stages[-1], np.diff(labels.start))
    labelled[labels.item[target & (labels.grade > 0)]] = True
    steps.append(("labelled", int((here & labelled).sum()), "no target has a label above 0 on it"))
    return _chain("items", start, steps)


def _labels(logs: Logs, outcomes: Outcomes, population: Population) -> list[LedgerRow]:
    """Events: an event with several requests is lost at the step that takes the last of them."""
    events, steps = logs.events, list(_EVENTS)
    reached = np.full(len(events.item), steps.index("graded"), dtype=np.int64)
    has_request = np.zeros(len(logs.ids.users) + 1, dtype=bool)
    has_request[logs.requests.user] = True
    stage = _stage(logs, outcomes, population)
    stage[(outcomes.candidate < 0) & ~has_request[events.user[outcomes.event]]] = steps.index("user")
    np.maximum.at(reached, outcomes.event, stage)
    lost = np.bincount(reached, minlength=len(steps) + 1)
    lost[0] = events.raw - len(events.item)
    left = events.raw - np.cumsum(lost[: len(steps)])
    return _chain("labels", events.raw, [(step, int(n), _EVENTS[step]) for step, n in zip(steps, left, strict=True)])


def _stage(logs: Logs, outcomes: Outcomes, population: Population) -> Ints:
    """The step at which each row of outcomes is lost; one more than the last where it decides a label of a target."""
    steps = list(_EVENTS)
    asked, at = logs.requests.time[outcomes.candidate], logs.events.time[outcomes.event]
    decides = np.zeros(len(outcomes.event), dtype=bool)
    decides[deciding(outcomes, logs)] = True
    stage = np.full(len(outcomes.event), len(steps), dtype=np.int64)
    stage[~decides] = steps.index("highest")
    for step, mask in reversed(list(zip(STEPS, population.stages, strict=True))):
        stage[~mask[outcomes.request]] = steps.index(step)
    stage[outcomes.request < 0] = steps.index("horizon")
    stage[(outcomes.request < 0) & (asked > at)] = steps.index("before")
    stage[outcomes.candidate < 0] = steps.index("attributed")
    stage[outcomes.too_early] = steps.index("before")
    return stage
