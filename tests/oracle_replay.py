"""The oracle replays: candidates, scores and steps, one request at a time."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import oracle_foreign
from oracle_read import LONG_AGO, RERANK, WHERE, Row, Step, World, duration, is_open, liked, view

Slate = list[tuple[Any, float | None]]  # (item, score), best first


@dataclass
class Trace:
    """How the list of one request came about."""

    lists: list[Slate]  # the candidates, best first, then the list after every step
    slate: list[Any]  # the last of them, cut to `served`


def batches(world: World, variant: str, request: Row) -> list[list[Row]]:
    """The score rows that were there at the request's time, by batch, the newest one first."""
    scores = world.scores[variant]
    by_time: dict[datetime, list[Row]] = {}
    for row in scores.rows.get(request[scores.key], []):
        computed = row.get("computed_at", LONG_AGO)
        if computed <= request["timestamp"]:
            by_time.setdefault(computed, []).append(row)
    return [by_time[time] for time in sorted(by_time, reverse=True)]


def scored_rows(world: World, variant: str, request: Row) -> list[Row]:
    return next(iter(batches(world, variant, request)), [])


def candidates(world: World, request: Row) -> list[Any]:
    """What a variant without scores of its own orders."""
    kind = world.candidates
    shown = world.shown[request["request_id"]]
    if isinstance(kind, dict):
        return world.listed[request["request_id"]]
    if kind == "impressions":
        return shown
    if kind == "available":
        return [item for item in world.intervals if is_open(world, item, request["timestamp"])]
    if world.study["baseline"] in world.scores:
        return [row["item_id"] for row in scored_rows(world, world.study["baseline"], request)]
    return shown


def times_graded(world: World, item: Any, request: Row, within: str | None) -> int:
    local = request["timestamp"].astimezone(world.zone)
    day = datetime(local.year, local.month, local.day, tzinfo=world.zone).astimezone(UTC)
    since = day - duration(within) if within else LONG_AGO
    graded = [event for event in world.events if liked(world, event)]
    return sum(event["item_id"] == item and since <= event["timestamp"] < day for event in graded)


def by_score(scores: dict[Any, float]) -> Slate:
    """Best first; ties, among them -0.0 and 0.0, by item."""
    ordered = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
    return [*ordered]


def ranked(world: World, name: str, request: Row) -> Slate:
    """The variant's own list, before any step."""
    variant = world.study["variants"][name]
    if "scores" in variant:
        rows = scored_rows(world, name, request)
        kind = world.candidates
        if kind == "impressions" or isinstance(kind, dict):
            rows = [row for row in rows if row["item_id"] in candidates(world, request)]
        rows.sort(key=lambda row: (-row["score"] if "score" in row else row["rank"], row["item_id"]))
        return [(row["item_id"], row.get("score")) for row in rows]

    if variant.get("builtin") == "logged":  # it knows only what was shown, whatever the candidates of others
        return [(item, None) for item in world.impressions[request["request_id"]]]
    pool = sorted(set(candidates(world, request)))
    if "python" in variant:
        spec = variant["python"]
        function = oracle_foreign.SCORES[spec if isinstance(spec, str) else spec["function"]]
        return by_score(function([view(world, request, item) | {"item_id": item} for item in pool]))
    if variant["builtin"] == "popular":
        counts = {item: times_graded(world, item, request, variant.get("within")) for item in pool}
        pool.sort(key=lambda item: -counts[item])
    else:  # recent
        first = {item: min(opens for opens, _ in spans) for item, spans in world.intervals.items()}
        pool.sort(key=lambda item: -first[item].timestamp() if item in first else math.inf)
    return [(item, None) for item in pool]


def matches(columns: Row, pairs: dict[str, str]) -> bool:
    """A filter that is not set keeps everything; one that is set must share a value with the item."""
    for wanted, offered in pairs.items():
        wish, offer = (
            [] if value in (None, "") else value if isinstance(value, list) else [value]
            for value in (columns[wanted], columns[offered])
        )
        if wish and not any(value in offer for value in wish):
            return False
    return True


def seen(world: World, request: Row, item: Any, rule: Row) -> bool:
    since = request["timestamp"] - duration(rule["within"]) if rule.get("within") else LONG_AGO
    return any(
        since <= event["timestamp"] < request["timestamp"]
        for event in world.events
        if event["user_id"] == request["user_id"] and event["item_id"] == item and event["event"] in rule["events"]
    )


def keeps(world: World, step: Step, request: Row, item: Any, score: float | None) -> bool:
    """Does a filter that looks at one item at a time keep it?"""
    columns = view(world, request, item, score)
    if step.key == "match":
        return matches(columns, step.rule)
    if step.key == "available":
        return is_open(world, item, request["timestamp"])
    if step.key == "not_seen":
        return not seen(world, request, item, step.rule)
    assert step.key == "where", step
    return WHERE[step.rule](columns) is True


def cap(world: World, rule: Row, request: Row, slate: Slate) -> Slate:
    kept: Slate = []
    taken: dict[Any, int] = defaultdict(int)
    for item, score in slate:
        group = view(world, request, item)[rule["by"]]
        taken[group] += 1
        if group is None or taken[group] <= rule["at_most"]:
            kept.append((item, score))
    return kept


def page(rule: Row, request: Row, slate: Slate) -> Slate:
    number = request[rule["number"].removeprefix("request.")]
    start = ((1 if number is None else number) - 1) * rule["size"]
    return slate[start : start + rule["size"]]


def rerank(world: World, rule: Row, request: Row, slate: Slate) -> Slate:
    """The whole list by a new score, ties by item."""
    scored = [(item, RERANK[rule["sql"]](view(world, request, item, score))) for item, score in slate]
    return sorted(scored, key=lambda pair: (-pair[1], pair[0]))  # type: ignore[operator]


def pins(table: list[Row], request: Row) -> dict[int, Any]:
    """The items that a table pins for a request, by rank."""
    own = [row for row in table if row.get("request_id", request["request_id"]) == request["request_id"]]
    return {row["rank"]: row["item_id"] for row in own}


def pin(table: list[Row], request: Row, slate: Slate) -> Slate:
    """Pinned items leave the list, which closes up; then each is put at its rank, the lowest rank first."""
    pinned = pins(table, request)
    scores = dict(slate)
    placed = [(item, score) for item, score in slate if item not in pinned.values()]
    for rank in sorted(pinned):
        placed.insert(rank - 1, (pinned[rank], scores.get(pinned[rank])))
    return placed


def python(world: World, function: str, request: Row, slate: Slate) -> Slate:
    rows: list[Row] = []
    for rank, (item, score) in enumerate(slate, start=1):
        rows.append(view(world, request, item, score) | {"item_id": item, "rank": rank})
    return [(row["item_id"], row["score"]) for row in oracle_foreign.STEPS[function](rows)]


def apply(world: World, step: Step, request: Row, slate: Slate) -> Slate:
    if step.key == "cap":
        return cap(world, step.rule, request, slate)
    if step.key == "page":
        return page(step.rule, request, slate)
    if step.key == "rerank":
        return rerank(world, step.rule, request, slate)
    if step.key == "pin":
        return pin(step.rule, request, slate)
    if step.key == "python":
        return python(world, step.rule, request, slate)
    return [(item, score) for item, score in slate if keeps(world, step, request, item, score)]


def trace(world: World, steps: list[Step], request: Row, candidates: Slate, served: int) -> Trace:
    lists = [candidates]
    for step in steps:
        lists.append(apply(world, step, request, lists[-1]))
    return Trace(lists, [item for item, _ in lists[-1][:served]])


def is_reordered(before: list[Any], after: list[Any]) -> bool:
    """Do the items that remain stand in another order, or did any come?"""
    return [item for item in before if item in after] != after


def count(row: Row, key: str, world: World, before: Slate, after: Slate) -> None:
    """What a step did to one list, on top of what it did to others."""
    old, new = [item for item, _ in before], [item for item, _ in after]
    added = sum(item not in old for item in new)
    row["in"] += len(old)
    row["removed"] += len(old) + added - len(new)
    row["added"] += added
    row["requests"] += len(old) + added > len(new)
    row["emptied"] += len(old) > 0 and not new
    row["reordered"] += key in ("rerank", "pin", "python") and is_reordered(old, new)
    if key == "available":
        row["unknown"] += sum(item not in world.intervals for item in old)


def replay(world: World, name: str, requests: list[Row]) -> tuple[dict[Any, Trace], list[Row]]:
    """How the variant's slates came about, and what every step did."""
    steps, served = world.steps[name], world.served[name]
    counts = dict.fromkeys(("in", "removed", "requests", "emptied", "added", "reordered"), 0)
    rows: list[Row] = [{"variant": name, "step": step} | counts for step in [*(one.name for one in steps), "served"]]
    for row, step in zip(rows, steps, strict=False):
        if step.key == "available":
            row["unknown"] = 0
    traces: dict[Any, Trace] = {}
    for request in requests:
        made = trace(world, steps, request, ranked(world, name, request), served)
        stages = [*made.lists, made.lists[-1][:served]]
        for at, (row, key) in enumerate(zip(rows, [*(step.key for step in steps), "served"], strict=True)):
            count(row, key, world, stages[at], stages[at + 1])
        traces[request["request_id"]] = made
    return traces, rows
