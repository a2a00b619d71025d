"""The oracle cuts: the parts of the targets that a study looks at, and how much each request weighs."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from oracle_read import Row, World, view

OTHERS = {"user": "user_id", "request": "request_id"}  # averages that do not name their column


# --- Weights ---


def averages(world: World) -> list[str]:
    """The ways of averaging; the first one decides."""
    entry = world.service["targets"].get("average", "request")
    return entry if isinstance(entry, list) else [entry]


def weights(world: World, requests: list[Row], average: str) -> dict[Any, float]:
    """Each request's own weight; by a group, as a share of what its group has among these requests."""
    custom = world.service["targets"].get("weight")
    own = {one["request_id"]: 1.0 if custom is None else float(view(world, one)[custom]) for one in requests}
    if average == "request":
        return own
    column = OTHERS.get(average, average.removeprefix("request."))
    groups: dict[Any, list[Any]] = defaultdict(list)
    for request in requests:
        groups[request[column]].append(request["request_id"])
    made: dict[Any, float] = {}
    for members in groups.values():
        total = math.fsum(own[one] for one in members)
        made |= {one: own[one] / total if total else 0.0 for one in members}
    return made


# --- Segments ---


def bounds(text: Any) -> tuple[float, float]:
    """The least and the greatest number of `3`, `1-9` or `10-`."""
    if not isinstance(text, str):
        return float(text), float(text)
    low, dash, high = text.partition("-")
    return float(low), float(high) if high else math.inf if dash else float(low)


def title(entry: Any) -> str:
    if isinstance(entry, list):
        return ", ".join(title(one) for one in entry)
    return next(iter(entry)) if isinstance(entry, dict) else str(entry)


def of_items(entry: Any) -> bool:
    """Does it look at the first relevant item, which only targets have?"""
    return any(one.startswith("item.") for one in title(entry).split(", "))


def earlier_events(world: World, request: Row) -> int:
    own = [event for event in world.events if event["user_id"] == request["user_id"]]
    return sum(event["timestamp"] < request["timestamp"] for event in own)


def bare(world: World, request: Row, column: str, first: Any) -> Any:
    """The value of a column; `first` is the request's first relevant item."""
    if column == "day":
        return request["timestamp"].astimezone(world.zone).date().isoformat()
    if column == "user.history":
        return earlier_events(world, request)
    if column.startswith("item."):
        return world.items.get(first, {}).get(column.removeprefix("item."))
    return view(world, request)[column]


def in_words(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def value(world: World, request: Row, entry: Any, first: Any) -> Any:
    """In which segment a request is."""
    if isinstance(entry, list):
        return ", ".join(in_words(value(world, request, one, first)) for one in entry)
    if not isinstance(entry, dict):
        return bare(world, request, entry, first)
    ((column, bins),) = entry.items()
    number = bare(world, request, column, first)
    for label, text in bins.items():
        low, high = bounds(text)
        if number is not None and low <= number <= high:
            return label
    return None


def place(world: World, request: Row, entry: Any, first: Any) -> tuple[Any, ...]:
    """Where its segment stands among the others: as written for bins, else sorted, null last."""
    if isinstance(entry, list):
        return tuple(place(world, request, one, first) for one in entry)
    own = value(world, request, entry, first)
    if own is not None and isinstance(entry, dict):
        own = list(next(iter(entry.values()))).index(own)
    return (own is None, 0 if own is None else own)


def cut(world: World, requests: list[Row], first: dict[Any, Any]) -> list[tuple[Row | None, list[Row]]]:
    """All requests, then each value that occurs of each segment column, in order, with its requests."""
    parts: list[tuple[Row | None, list[Row]]] = [(None, requests)]
    for entry in world.study.get("segments", []):
        groups: dict[Any, tuple[tuple[Any, ...], Any, list[Row]]] = {}
        for request in requests:
            item = first.get(request["request_id"])
            at, own = place(world, request, entry, item), value(world, request, entry, item)
            groups.setdefault(at, (at, own, []))[2].append(request)
        for _, own, group in sorted(groups.values(), key=lambda one: one[0]):
            parts.append(({"column": title(entry), "value": own}, group))
    return parts
