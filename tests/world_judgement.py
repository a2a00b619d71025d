"""What a random world may add for the judgement of lists: tables of events, grades, averages, segments, comparisons."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import polars as pl

Row = dict[str, Any]
Keep = Callable[[str, list[Row], Row], Row]

# The first choice of every knob leaves a world as it is without.
JUDGEMENT: dict[str, list[Any]] = {
    "event_tables": ["one", "listed", "halves", "by_kind", "constant"],
    "distinct": ["none", "first", "all"],  # which of the tables have it
    "untils": ["same", "some", "all"],  # which of the tables say until when they are complete
    "within": [False, True],  # kinds of events with a horizon of their own
    "after": ["none", "click", "view", "chain"],
    "negative": [False, True],
    "late": ["exclude", "report"],
    "averages": [1, 2, 3],
    "weight": [False, True],
    "cuts": [0, 1, 2, 4],  # segments of the newer kinds; `segments` has the plain ones
    "least_users": [None, 2, 4],
    "method": [None, "clustered", "robust", "bootstrap", "permutation"],
    "cluster": [None, "item.company", "item.city", "request.keyword", "user.tenure"],
    "at_most_worse": [None, "1%", "20%", 0.6],
}
SPANS = {"6h": 1, "12h": 2, "24h": 4, "2d": 8}  # in steps of six hours
BINS: list[Row] = [
    {"user.history": {"none": 0, "few": "1-2", "many": "3-"}},
    {"user.history": {"many": "4-", "some": "1-3"}},
    {"request.price": {"low": "0-99.5", "high": "100-"}},
    {"request.price": {"high": "100-1000", "middle": "50-99", "none": 0}},
]
BINS_ON_ITEMS: list[Row] = [{"item.wage": {"low": "0-10", "high": "12-"}}]
PLAIN = ["request.keyword", "request.surface", "request.is_bot"]
ON_ITEMS = ["item.city", "item.company", "item.is_test", "item.wage", "user.tenure"]


# --- Events ---


def grades(rng: Random, world: SimpleNamespace) -> Row:
    """What kinds of events are worth, with a horizon of their own or after another kind."""
    plain: Row = {"click": 1, "save": 2, "apply": 4}
    if world.negative:
        plain |= {"hide": rng.choice([-2, -1.5]), "view": rng.choice([0, -1, 0.5])}
    made: Row = {kind: {"grade": grade} for kind, grade in plain.items()}
    for kind in rng.sample(list(made), 2) if world.within else []:
        made[kind]["within"] = rng.choice(list(SPANS))
    if world.after in ("click", "chain"):
        made["apply"]["after"] = "click"
    if world.after == "chain":
        made["hired"] = {"grade": 3, "after": "apply"}
    if world.after == "view":
        made["apply"]["after"] = "view"
    return {kind: rule if len(rule) > 1 else rule["grade"] for kind, rule in made.items()}


def kinds(world: SimpleNamespace) -> list[str]:
    return ["hide", "hide", "view"] * world.negative + ["hired"] * (world.after == "chain")


def widest(labels: Row) -> list[timedelta]:
    """Offsets from a request at the borders of every kind's horizon."""
    spans = [rule["within"] for rule in labels.values() if isinstance(rule, dict) and "within" in rule]
    ends = [timedelta(hours=6 * SPANS[span]) for span in spans]
    return [end + tick for end in ends for tick in (timedelta(0), -timedelta(microseconds=1))]


def followers(rng: Random, labels: Row, rows: list[Row]) -> list[Row]:
    """Events of the kinds that come after others, for some of those, at once or within days."""
    made: list[Row] = []
    for kind in ("apply", "hired"):
        rule = labels.get(kind)
        if not isinstance(rule, dict) or "after" not in rule:
            continue
        for row in rows + made:
            if row["event"] == rule["after"] and rng.random() < 0.5:
                later = rng.choice([0, 0, 1, 2, 4, 7]) * timedelta(hours=6)
                bears = rng.choice([None, row["request_id"]])
                made.append(row | {"event": kind, "timestamp": row["timestamp"] + later, "request_id": bears})
    return made


def split(rng: Random, world: SimpleNamespace, rows: list[Row]) -> dict[str, list[Row]]:
    """The rows of every table of events, by name. `apply` and `save` may have their own."""
    if world.event_tables == "halves":
        parts: dict[str, list[Row]] = {"events": [], "more": []}
        for row in rows:
            parts[rng.choice(["events", "events", "more"])].append(row)
            if rng.random() < 0.1:  # the same in both
                parts[rng.choice(["events", "more"])].append(row)
        return parts
    own = {"by_kind": ["apply", "save"], "constant": ["apply", "hide"]}.get(world.event_tables, [])
    parts = {"events": [row for row in rows if row["event"] not in own]}
    return parts | {kind: [row for row in rows if row["event"] == kind] for kind in own}


def event_tables(
    rng: Random, world: SimpleNamespace, rows: list[Row], keep: Keep, first: date, bearing: bool, labels: Row
) -> Any:
    """Write them, and return what stands under `tables.events`."""
    entries: list[Row] = []
    for number, (name, own) in enumerate(split(rng, world, rows).items()):
        schema: Row = {"user_id": None, "item_id": None, "timestamp": pl.Datetime}
        entry: Row = {}
        if world.event_tables == "constant" and number > 0:
            entry["event"] = name
        else:
            schema["event"] = pl.String
        needless = isinstance(labels.get(name), dict) and "after" in labels[name] and rng.random() < 0.5
        schema |= {"request_id": None} if bearing and not needless else {}
        if world.distinct == "all" or (world.distinct == "first" and number == 0):
            columns = [["user_id", "item_id", "visited"], ["visited", "user_id"], ["user_id", "item_id"]]
            entry["distinct"] = rng.choice(columns)
            schema["visited"] = pl.Int64
        if world.untils == "all" or (world.untils == "some" and rng.random() < 0.5):
            noon = datetime(first.year, first.month, first.day, 12)
            until = rng.choice([first + timedelta(days=12), noon + timedelta(days=3), noon + timedelta(days=4)])
            entry["complete_until"] = until.isoformat()
        visits = [row | {"visited": rng.choice([1, 1, 2, None])} for row in own]
        again = [row | {"timestamp": row["timestamp"] + timedelta(hours=1)} for row in visits[::4]]
        entries.append(keep(name, visits + again if "distinct" in entry else visits, schema) | entry)
    return entries if world.event_tables != "one" else entries[0]


# --- Requests ---


def context(rng: Random, world: SimpleNamespace) -> Row:
    """Further columns of a request."""
    columns: Row = {}
    if world.cuts:
        columns["price"] = rng.choice([0.0, 50.0, 99.5, 99.75, 100.0, 250.0, None])
    if world.weight:
        columns["worth"] = rng.choice([0.0, 0.5, 1.0, 1.0, 2.5])
    return columns


def context_schema(world: SimpleNamespace) -> Row:
    return ({"price": pl.Float64} if world.cuts else {}) | ({"worth": pl.Float64} if world.weight else {})


def averaging(rng: Random, world: SimpleNamespace) -> Row:
    """`targets.average` and `targets.weight`."""
    ways = [world.average]
    others = [way for way in ("request", "user", "request.keyword", "request.surface") if way != world.average]
    ways += rng.sample(others, world.averages - 1)
    return {"average": ways if len(ways) > 1 else ways[0]} | ({"weight": "request.worth"} if world.weight else {})


# --- Studies ---


def segments(rng: Random, world: SimpleNamespace, bare: bool, known: list[Any]) -> list[Any]:
    """Days, bins, attributes of the first relevant item, and pairs of all of these; none that is there already."""
    plain = [*PLAIN, *([] if bare else [*ON_ITEMS, *BINS_ON_ITEMS])]
    singles: list[Any] = ["day", *rng.sample(BINS, 1), *rng.sample(BINS, 1), *plain[3:]]
    pairs = [[one, other] for one in [*plain, "day", *BINS] for other in [*plain, "day", *BINS] if _differ(one, other)]
    chosen: list[Any] = []
    for entry in [*rng.sample(singles, len(singles)), *rng.sample(pairs, 4)]:
        if _name(entry) not in [_name(one) for one in known + chosen]:
            chosen.append(entry)
    rng.shuffle(chosen)
    return chosen[: world.cuts]


def _name(entry: Any) -> str:
    if isinstance(entry, list):
        return ", ".join(map(_name, entry))
    return next(iter(entry)) if isinstance(entry, dict) else str(entry)


def _differ(one: Any, other: Any) -> bool:
    return _name(one) != _name(other)


def compare(rng: Random, world: SimpleNamespace, bare: bool) -> Row:
    """Further keys of `compare`."""
    made: Row = {}
    if world.least_users is not None:
        made["least_users"] = world.least_users
    if world.method is not None:
        made |= {"method": world.method} | (
            {"replications": 100} if world.method in ("bootstrap", "permutation") else {}
        )
    elif world.cluster is not None and not (bare and not world.cluster.startswith("request.")):
        made["cluster"] = ["user", world.cluster]
    return made


def guardrails(rng: Random, world: SimpleNamespace, metrics: list[str]) -> list[Any]:
    if world.at_most_worse is None:
        return [*metrics]
    return [{text: {"at_most_worse": world.at_most_worse}} if rng.random() < 0.7 else text for text in metrics]
