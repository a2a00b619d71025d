"""The oracle labels: which events count for which requests, until when they are known, and which are still to come."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from oracle_read import LONG_AGO, Row, World, duration, in_order, is_open


@dataclass(frozen=True)
class Grade:
    """What one kind of event is worth."""

    value: float
    within: timedelta
    after: str | None  # the kind of event through which it finds its requests


def grades(world: World) -> dict[str, Grade]:
    plan = world.service["labels"]
    rules: dict[str, Grade] = {}
    for kind, entry in plan["grades"].items():
        rule = entry if isinstance(entry, dict) else {"grade": entry}
        within = duration(rule.get("within", plan["horizon"]))
        rules[kind] = Grade(rule["grade"], within, rule.get("after"))
    return rules


def claimants(world: World, event: Row) -> list[Row]:
    """The requests that an event may count for by the attribution rule, its time window aside."""
    rule = world.service["labels"]["attribute"]
    if rule == "request_id":
        return [request for request in world.requests if request["request_id"] == event.get("request_id")]
    own = [request for request in world.requests if request["user_id"] == event["user_id"]]
    own = [request for request in own if request["timestamp"] <= event["timestamp"]]
    if rule == "any_request":
        return own
    if rule == "last_shown":
        own = [request for request in own if event["item_id"] in world.shown[request["request_id"]]]
    return sorted(own, key=lambda request: (request["timestamp"], request["request_id"]))[-1:]


def root(world: World, rules: dict[str, Grade], event: Row) -> Row | None:
    """The event whose requests it shares: itself, or what it came after."""
    rule = rules.get(event["event"])
    if rule is None or rule.after is None:
        return event
    before = [
        other
        for other in world.events
        if other["event"] == rule.after
        and (other["user_id"], other["item_id"]) == (event["user_id"], event["item_id"])
        and other["timestamp"] <= event["timestamp"]
    ]
    return root(world, rules, max(before, key=in_order)) if before else None


def points(world: World, rules: dict[str, Grade], event: Row) -> list[Row]:
    """The requests that an event points to, if need be through the event that it came after."""
    found = root(world, rules, event)
    return [] if found is None else claimants(world, found)


def too_early(world: World, rules: dict[str, Grade], event: Row) -> bool:
    """Is there a request, at any time, that the event could have pointed to?"""
    found, rule = root(world, rules, event), world.service["labels"]["attribute"]
    if found is None or rule == "request_id":
        return False
    own = [request for request in world.requests if request["user_id"] == found["user_id"]]
    if rule == "last_shown":
        own = [request for request in own if found["item_id"] in world.shown[request["request_id"]]]
    return bool(own)


@dataclass
class Claim:
    """A graded event and the requests that it points to."""

    event: Row
    rule: Grade
    requests: list[Row]

    def begun(self) -> list[Row]:
        return [request for request in self.requests if request["timestamp"] <= self.event["timestamp"]]

    def counted(self) -> list[Row]:
        """The requests that it counts for."""
        return [one for one in self.begun() if self.event["timestamp"] < one["timestamp"] + self.rule.within]


class Labels:
    """Who claims which event, and what follows for each request."""

    def __init__(self, world: World) -> None:
        self.world, self.rules = world, grades(world)
        graded = [event for event in world.events if event["event"] in self.rules]
        self.claims = [Claim(event, self.rules[event["event"]], points(world, self.rules, event)) for event in graded]
        self.counting: dict[Any, list[Claim]] = {request["request_id"]: [] for request in world.requests}
        for claim in self.claims:
            for request in claim.counted():
                self.counting[request["request_id"]].append(claim)

    def of(self, request: Any) -> dict[Any, float]:
        """The highest grade of every item."""
        best: dict[Any, float] = {}
        for claim in self.counting[request]:
            item = claim.event["item_id"]
            best[item] = max(claim.rule.value, best.get(item, -math.inf))
        return best

    def table(self) -> dict[Any, dict[Any, float]]:
        return {request: self.of(request) for request in self.counting}

    def first(self, request: Any) -> Any:
        """The first relevant item: of the earliest event, then by the higher grade, then the smaller item."""
        good = [claim for claim in self.counting[request] if claim.rule.value > 0]
        places = [(claim.event["timestamp"], -claim.rule.value, claim.event["item_id"]) for claim in good]
        return min(places)[2] if places else None

    def decides(self, claim: Claim, request: Row) -> bool:
        """Is this the event from which the request's label of that item is?"""
        rivals = [
            other for other in self.counting[request["request_id"]] if other.event["item_id"] == claim.event["item_id"]
        ]
        return min(rivals, key=lambda other: (-other.rule.value, in_order(other.event))) is claim


def window(world: World) -> timedelta:
    """How long after a request something may still count for it."""
    return max((rule.within for rule in grades(world).values()), default=timedelta(0))


# --- Until when events are known ---


def known_until(world: World, kind: str) -> datetime:
    tables = world.event_tables
    newest = max((event["timestamp"] for table in tables for event in table.rows), default=LONG_AGO)
    holding = [table for table in tables if table.kind == kind or any(event["event"] == kind for event in table.rows)]
    if not holding:
        declared = [table.complete_until for table in tables if table.complete_until is not None]
        return min(declared) if declared and len(declared) == len(tables) else newest
    return min(newest if table.complete_until is None else table.complete_until for table in holding)


def is_mature(world: World, request: Row, kind: str, rule: Grade) -> bool:
    return request["timestamp"] + rule.within <= known_until(world, kind)


def mature(world: World, requests: list[Row]) -> list[Row]:
    rules = grades(world)
    return [one for one in requests if all(is_mature(world, one, kind, rule) for kind, rule in rules.items())]


# --- What is still to come ---


def late(labels: Labels, replayed: list[Row]) -> list[Row]:
    """By kind of event: the requests that are too young for it, and how many of their events are missing."""
    world = labels.world
    rows: list[Row] = []
    for kind, rule in labels.rules.items():
        delays: dict[Any, list[timedelta]] = {}
        for request in replayed:
            counting = [claim for claim in labels.counting[request["request_id"]] if claim.event["event"] == kind]
            delays[request["request_id"]] = [claim.event["timestamp"] - request["timestamp"] for claim in counting]
        old = [request for request in replayed if is_mature(world, request, kind, rule)]
        young = [request for request in replayed if not is_mature(world, request, kind, rule)]
        known = [delay for request in old for delay in delays[request["request_id"]]]
        missing: float | None = None
        if old:
            missing = 0.0
            for request in young:
                age = max(known_until(world, kind) - request["timestamp"], timedelta(0))
                to_come = sum(delay >= age for delay in known)  # lambda times (1 - F), both over the same events
                missing += to_come / len(old)
        everything = sum(map(len, delays.values()))
        total = None if missing is None else missing + everything
        rows.append({
            "event": kind,
            "requests": len(young),
            "seen": sum(len(delays[request["request_id"]]) for request in young),
            "missing": missing,
            "share_missing": missing / total if missing is not None and total else None,
        })  # fmt: skip
    return rows


# --- The ledger: who fell out, and why ---

STEPS = ("period", "where", "mature", "labelled")


@dataclass
class Stages:
    """The requests that are left at the beginning and after each of the four steps."""

    requests: list[list[Row]]

    def ids(self, step: int) -> set[Any]:
        return {request["request_id"] for request in self.requests[step]}


def ledger_row(scope: str, step: str, before: int, after: int) -> Row:
    return {"scope": scope, "step": step, "in": before, "out": after, "lost": before - after, "reason": step}


def newcomers(flags: list[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None


def with_newcomers(row: Row, is_new: Callable[[Any], bool], before: list[Any], after: list[Any]) -> Row:
    """Shares of those lost and those kept who were new."""
    lost = [one for one in before if one not in after]
    shares = {
        "new_lost": newcomers([is_new(one) for one in lost]),
        "new_kept": newcomers([is_new(one) for one in after]),
    }
    return row | shares


def ledger(labels: Labels, stages: Stages) -> list[Row]:
    """All rows."""
    world = labels.world
    first_seen: dict[Any, datetime] = {}
    for event in world.events:
        first_seen[event["user_id"]] = min(event["timestamp"], first_seen.get(event["user_id"], event["timestamp"]))
    begun: dict[Any, datetime] = {}
    for request in world.requests:
        begun[request["user_id"]] = min(request["timestamp"], begun.get(request["user_id"], request["timestamp"]))

    def new_at(user: Any, time: datetime) -> bool:
        return user not in first_seen or first_seen[user] >= time

    rows: list[Row] = []
    for step, before, after in zip(STEPS, stages.requests, stages.requests[1:], strict=False):
        row = ledger_row("requests", step, len(before), len(after))
        rows.append(with_newcomers(row, lambda one: new_at(one["user_id"], one["timestamp"]), before, after))
    people = [list(dict.fromkeys(request["user_id"] for request in stage)) for stage in stages.requests]
    for step, before, after in zip(STEPS, people, people[1:], strict=False):
        row = ledger_row("users", step, len(before), len(after))
        rows.append(with_newcomers(row, lambda user: new_at(user, begun[user]), before, after))
    return rows + item_rows(labels, stages) + event_rows(labels, stages)


def item_rows(labels: Labels, stages: Stages) -> list[Row]:
    world = labels.world
    left = {event["item_id"] for event in world.events} | set(world.items) | set(world.intervals)
    known = {request["request_id"] for request in world.requests}
    left |= {item for request, shown in world.impressions.items() if request in known for item in shown}
    targets = stages.requests[-1]
    good = {item for request in targets for item, grade in labels.of(request["request_id"]).items() if grade > 0}
    tests: dict[str, Callable[[Any], bool]] = {}
    if "items" in world.service["tables"]:
        tests["known"] = lambda item: item in world.items
    if "availability" in world.service["tables"]:
        tests["open"] = lambda item: any(is_open(world, item, request["timestamp"]) for request in targets)
    tests["labelled"] = lambda item: item in good
    rows: list[Row] = []
    for step, test in tests.items():
        kept = {item for item in left if test(item)}
        rows.append(ledger_row("items", step, len(left), len(kept)))
        left = kept
    return rows


EVENT_STEPS = ("duplicate", "graded", "user", "attributed", "before", "horizon", *STEPS, "highest")


def fate(labels: Labels, stages: Stages, event: Row, claim: Claim | None) -> str | None:
    """The step at which an event is lost, if it is."""
    if claim is None:
        return "graded"
    if not claim.requests:
        if too_early(labels.world, labels.rules, event):
            return "before"
        asked = any(request["user_id"] == event["user_id"] for request in labels.world.requests)
        return "attributed" if asked else "user"
    left = claim.begun()
    if not left:
        return "before"
    left = claim.counted()
    if not left:
        return "horizon"
    for place, step in enumerate(STEPS, start=1):
        left = [request for request in left if request["request_id"] in stages.ids(place)]
        if not left:
            return step
    return None if any(labels.decides(claim, request) for request in left) else "highest"


def event_rows(labels: Labels, stages: Stages) -> list[Row]:
    world = labels.world
    claims = {id(claim.event): claim for claim in labels.claims}
    lost: dict[str | None, int] = defaultdict(int)
    raw = sum(len(table.rows) for table in world.event_tables)
    lost["duplicate"] = raw - len(world.events)
    for event in world.events:
        lost[fate(labels, stages, event, claims.get(id(event)))] += 1
    rows: list[Row] = []
    for step in EVENT_STEPS:
        rows.append(ledger_row("labels", step, raw, raw - lost[step]))
        raw -= lost[step]
    return rows
