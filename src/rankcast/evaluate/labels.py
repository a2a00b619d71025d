"""Labels: how good an item turned out to be for a request, from what the user did within a horizon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rankcast.tables.asof import AsOf
from rankcast.tables.duration import Duration
from rankcast.tables.logs import Bools, Floats, Ints, Logs
from rankcast.tables.ragged import offsets, spans

Attribution = Literal["request_id", "last_shown", "last_request", "any_request"]

REASONS = ("counted", "no request to count for", "outside the horizon")


@dataclass(frozen=True)
class Labelling:
    """How events become labels: a grade per kind of event, a horizon, and which request an event counts for."""

    grades: Mapping[str, float]
    horizon: Duration
    attribute: Attribution


@dataclass(frozen=True)
class Outcomes:
    """What became of every graded event: one row per event and request, `request` -1 where it counts for none."""

    event: Ints
    request: Ints
    grade: Floats
    candidate: Ints  # the request that the rule pointed to, whether or not the horizon let the event count; -1 for none

    def reasons(self) -> Ints:
        """Why each event counts, or does not: positions in REASONS."""
        return np.where(self.request >= 0, 0, np.where(self.candidate >= 0, 2, 1))


@dataclass(frozen=True)
class Labels:
    """Grades of (request, item), the highest where several events count; sorted by request and grade, best first.

    `start[request]` .. `start[request + 1]` are a request's labels.
    """

    item: Ints
    grade: Floats
    start: Ints

    def grades_of(self, requests: Ints, position: Ints, item: Ints) -> Floats:
        """Grade of each row (position in `requests`, item); NaN where there is no label."""
        start = self.start[requests]
        owner, at = spans(start, self.start[requests + 1] - start)
        if not len(at):
            return np.full(len(item), np.nan)
        size = int(max(self.item.max(), item.max(initial=0))) + 1
        keys, rows = owner * size + self.item[at], position * size + item
        order = np.argsort(keys)
        place = order[np.minimum(np.searchsorted(keys[order], rows), len(order) - 1)]
        return np.where(keys[place] == rows, self.grade[at][place], np.nan)

    def labelled(self) -> Bools:
        """Which requests have a label with a grade above 0."""
        positive = np.concatenate(([0], np.cumsum(self.grade > 0)))
        return positive[self.start[1:]] > positive[self.start[:-1]]


def attribute(logs: Logs, labelling: Labelling) -> Outcomes:
    """Apply the attribution rule to every graded event. An event counts for a request if t <= event < t + horizon."""
    grade_of = np.array([labelling.grades.get(kind, np.nan) for kind in logs.events.kinds], dtype=np.float64)
    event = np.flatnonzero(~np.isnan(grade_of[logs.events.kind])) if len(grade_of) else np.zeros(0, dtype=np.int64)
    event, candidate = _RULES[labelling.attribute](logs, event, labelling.horizon.micros)
    at = logs.events.time[event]
    asked = logs.requests.time[candidate]
    inside = (candidate >= 0) & (asked <= at) & (at - asked < labelling.horizon.micros)
    return Outcomes(event, np.where(inside, candidate, -1), grade_of[logs.events.kind[event]], candidate)


def labels_of(outcomes: Outcomes, logs: Logs) -> Labels:
    """The label of each (request, item): the highest grade among its events."""
    counted = outcomes.request >= 0
    request, grade = outcomes.request[counted], outcomes.grade[counted]
    item = logs.events.item[outcomes.event[counted]]
    order = np.lexsort((-grade, item, request))
    request, item, grade = request[order], item[order], grade[order]
    best = np.ones(len(request), dtype=bool)
    best[1:] = (request[1:] != request[:-1]) | (item[1:] != item[:-1])
    request, item, grade = request[best], item[best], grade[best]
    order = np.lexsort((item, -grade, request))
    return Labels(item[order], grade[order], offsets(request[order], len(logs.ids.requests)))


def known_until(logs: Logs, complete_until: int | None) -> int | None:
    """Up to which instant events are known: as declared, or else the newest event; None when there is neither."""
    if complete_until is not None:
        return complete_until
    return int(logs.events.time.max()) if len(logs.events.time) else None


def _by_request_id(logs: Logs, event: Ints, horizon: int) -> tuple[Ints, Ints]:
    del horizon
    return event, logs.events.request[event]


def _by_last_request(logs: Logs, event: Ints, horizon: int) -> tuple[Ints, Ints]:
    del horizon
    index = AsOf.build(logs.requests.user, logs.requests.time)  # in order of request_id, so the greatest wins ties
    return event, index.at_or_before(logs.events.user[event], logs.events.time[event])


def _by_last_shown(logs: Logs, event: Ints, horizon: int) -> tuple[Ints, Ints]:
    del horizon
    size = len(logs.ids.items)
    shown = logs.impressions.request
    index = AsOf.build(logs.requests.user[shown] * size + logs.impressions.item, logs.requests.time[shown])
    pair = logs.events.user[event] * size + logs.events.item[event]
    at = index.at_or_before(pair, logs.events.time[event])
    return event, np.where(at >= 0, shown[at], -1) if len(shown) else np.full(len(event), -1, dtype=np.int64)


def _by_any_request(logs: Logs, event: Ints, horizon: int) -> tuple[Ints, Ints]:
    index = AsOf.build(logs.requests.user, logs.requests.time)
    at = logs.events.time[event]
    start, length = index.between(logs.events.user[event], at - horizon, at)
    owner, position = spans(start, length)
    lonely = event[length == 0]
    last = index.at_or_before(logs.events.user[lonely], logs.events.time[lonely])
    return np.concatenate((event[owner], lonely)), np.concatenate((index.order[position], last))


_RULES = {
    "request_id": _by_request_id,
    "last_request": _by_last_request,
    "last_shown": _by_last_shown,
    "any_request": _by_any_request,
}
