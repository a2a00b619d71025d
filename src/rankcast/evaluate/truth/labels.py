"""Labels: how good an item turned out to be for a request, from what the user did within a horizon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from rankcast.tables.asof import AsOf
from rankcast.tables.duration import Duration
from rankcast.tables.logs import Bools, Floats, Ints, Logs
from rankcast.tables.ragged import members, offsets, spans

Attribution = Literal["request_id", "last_shown", "last_request", "any_request"]

REASONS = ("counted", "no request to count for", "outside the horizon")


@dataclass(frozen=True)
class Labelling:
    """How events become labels: a grade per kind of event, a horizon, and which request an event counts for.

    `horizons`: of kinds that have their own. `after`: the kind of event that leads to this one; both count for the same requests.
    """

    grades: Mapping[str, float]
    horizon: Duration
    attribute: Attribution
    horizons: Mapping[str, Duration] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)

    def horizon_of(self, kind: str) -> Duration:
        """How long after a request an event of this kind counts."""
        return self.horizons.get(kind, self.horizon)

    @property
    def longest(self) -> int:
        """The longest horizon of all kinds, in microseconds."""
        return max(self.horizon_of(kind).micros for kind in self.grades)


@dataclass(frozen=True)
class Outcomes:
    """What became of every graded event: one row per event and request, `request` -1 where it counts for none; by event."""

    event: Ints
    request: Ints
    grade: Floats
    candidate: Ints  # the request that the rule pointed to, whether or not the horizon let the event count; -1 for none
    too_early: Bools  # whether it points to none, but would have, had it come later

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

    def relevant_of(self, requests: Ints) -> tuple[Ints, Ints, Floats]:
        """(request, item, grade) of every label above 0 of some requests (codes)."""
        start = self.start[requests]
        owner, at = spans(start, self.start[requests + 1] - start)
        good = self.grade[at] > 0
        return requests[owner[good]], self.item[at[good]], self.grade[at[good]]

    def labelled(self) -> Bools:
        """Which requests have a label with a grade above 0."""
        positive = np.concatenate(([0], np.cumsum(self.grade > 0)))
        return positive[self.start[1:]] > positive[self.start[:-1]]


def attribute(logs: Logs, labelling: Labelling) -> Outcomes:
    """Apply the attribution rule to every graded event. An event counts for a request if t <= event < t + horizon."""
    events = logs.events
    per_kind = np.array([labelling.grades.get(kind, np.nan) for kind in events.kinds], dtype=np.float64)
    spans_of = np.array([labelling.horizon_of(kind).micros for kind in events.kinds], dtype=np.int64)
    graded = np.flatnonzero(~np.isnan(per_kind[events.kind])) if len(per_kind) else np.zeros(0, dtype=np.int64)
    root = _roots(logs, graded, labelling.after)
    known = root >= 0
    rule = _RULES[labelling.attribute]
    event, candidate = rule(logs, graded[known], root[known], spans_of[events.kind[graded[known]]])
    root_of = np.full(len(events.item), -1, dtype=np.int64)
    root_of[graded] = root
    event = np.concatenate((event, graded[~known]))
    candidate = np.concatenate((candidate, np.full(int((~known).sum()), -1, dtype=np.int64)))
    order = np.lexsort((candidate, event))
    event, candidate = event[order], candidate[order]
    too_early = (candidate < 0) & (root_of[event] >= 0)
    too_early[too_early] = _has_any(logs, labelling.attribute, root_of[event[too_early]])
    at, asked = events.time[event], logs.requests.time[candidate]
    inside = (candidate >= 0) & (asked <= at) & (at - asked < spans_of[events.kind[event]])
    return Outcomes(event, np.where(inside, candidate, -1), per_kind[events.kind[event]], candidate, too_early)


def _has_any(logs: Logs, rule: Attribution, event: Ints) -> Bools:
    """Whether there is a request, at whatever time, that the rule might point to."""
    if rule == "request_id":
        return np.zeros(len(event), dtype=bool)
    if rule == "last_shown":
        size, shown = np.int64(len(logs.ids.items)), logs.impressions
        pairs = logs.requests.user[shown.request] * size + shown.item
        return members(logs.events.user[event] * size + logs.events.item[event], pairs)
    return members(logs.events.user[event], logs.requests.user)


def labels_of(outcomes: Outcomes, logs: Logs) -> Labels:
    """The label of each (request, item): the highest grade among its events."""
    rows = deciding(outcomes, logs)
    request, grade = outcomes.request[rows], outcomes.grade[rows]
    item = logs.events.item[outcomes.event[rows]]
    order = np.lexsort((item, -grade, request))
    return Labels(item[order], grade[order], offsets(request[order], len(logs.ids.requests)))


def deciding(outcomes: Outcomes, logs: Logs) -> Ints:
    """The rows of outcomes that decide a label: of each request and item the highest grade, of these the earliest event."""
    counted = np.flatnonzero(outcomes.request >= 0)
    request, grade = outcomes.request[counted], outcomes.grade[counted]
    item = logs.events.item[outcomes.event[counted]]
    order = np.lexsort((outcomes.event[counted], -grade, item, request))
    request, item = request[order], item[order]
    best = np.ones(len(request), dtype=bool)
    best[1:] = (request[1:] != request[:-1]) | (item[1:] != item[:-1])
    rows: Ints = counted[order[best]]
    return rows


def first_relevant(outcomes: Outcomes, logs: Logs) -> Ints:
    """The item (code) of each request's first relevant event, by request code: the earliest above grade 0, ties by higher grade
    and smaller item_id; -1 where there is none.
    """
    rows = np.flatnonzero((outcomes.request >= 0) & (outcomes.grade > 0))
    request, event = outcomes.request[rows], outcomes.event[rows]
    item = logs.events.item[event]
    order = np.lexsort((item, -outcomes.grade[rows], logs.events.time[event], request))
    found, first = np.unique(request[order], return_index=True)
    answer = np.full(len(logs.ids.requests), -1, dtype=np.int64)
    answer[found] = item[order][first]
    return answer


def _roots(logs: Logs, event: Ints, after: Mapping[str, str]) -> Ints:
    """The event whose request each event counts for: itself, or what led to it; -1 where nothing did."""
    events, root = logs.events, event.copy()
    kinds = {kind: code for code, kind in enumerate(events.kinds)}
    size = len(logs.ids.items)
    pair = events.user * np.int64(size) + events.item
    for _ in after:  # as many links as a chain can have
        for kind, leads in after.items():
            mine = np.flatnonzero((root >= 0) & (events.kind[root] == kinds.get(kind, -1)))
            if not len(mine):
                continue
            leading = np.flatnonzero(events.kind == kinds.get(leads, -1))
            index = AsOf.build(pair[leading], events.time[leading])
            found = index.at_or_before(pair[root[mine]], events.time[root[mine]])
            root[mine] = np.where(found >= 0, leading[found], -1) if len(leading) else -1
    return root


def _by_request_id(logs: Logs, event: Ints, root: Ints, horizon: Ints) -> tuple[Ints, Ints]:
    del horizon
    return event, logs.events.request[root]


def _by_last_request(logs: Logs, event: Ints, root: Ints, horizon: Ints) -> tuple[Ints, Ints]:
    del horizon
    index = AsOf.build(logs.requests.user, logs.requests.time)  # in order of request_id, so the greatest wins ties
    return event, index.at_or_before(logs.events.user[root], logs.events.time[root])


def _by_last_shown(logs: Logs, event: Ints, root: Ints, horizon: Ints) -> tuple[Ints, Ints]:
    del horizon
    size = len(logs.ids.items)
    shown = logs.impressions.request
    index = AsOf.build(logs.requests.user[shown] * size + logs.impressions.item, logs.requests.time[shown])
    pair = logs.events.user[root] * size + logs.events.item[root]
    at = index.at_or_before(pair, logs.events.time[root])
    return event, np.where(at >= 0, shown[at], -1) if len(shown) else np.full(len(event), -1, dtype=np.int64)


def _by_any_request(logs: Logs, event: Ints, root: Ints, horizon: Ints) -> tuple[Ints, Ints]:
    index = AsOf.build(logs.requests.user, logs.requests.time)
    user, until = logs.events.user[root], logs.events.time[root]
    start, length = index.between(user, logs.events.time[event] - horizon, until)
    length = np.maximum(length, 0)
    owner, position = spans(start, length)
    lonely = length == 0
    last = index.at_or_before(user[lonely], until[lonely])
    return np.concatenate((event[owner], event[lonely])), np.concatenate((index.order[position], last))


_RULES: Mapping[str, Callable[[Logs, Ints, Ints, Ints], tuple[Ints, Ints]]] = {
    "request_id": _by_request_id,
    "last_request": _by_last_request,
    "last_shown": _by_last_shown,
    "any_request": _by_any_request,
}
