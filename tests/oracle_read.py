"""The oracle reads: the two YAML files and the tables, as plain rows."""

from __future__ import annotations

import glob
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from ruamel.yaml import YAML

Row = dict[str, Any]

IDS = {"request_id", "user_id", "item_id"}
TIMES = {"timestamp", "open_at", "close_at", "computed_at"}
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


# --- SQL conditions: true, false or unknown (None); only true keeps a row ---


def negation(value: bool | None) -> bool | None:
    return None if value is None else not value


def both(*values: bool | None) -> bool | None:
    return False if False in values else None if None in values else True


def either(*values: bool | None) -> bool | None:
    return True if True in values else None if None in values else False


def known(test: Callable[..., bool], *operands: Any) -> bool | None:
    return None if None in operands else test(*operands)


WHERE: dict[str, Callable[[Row], bool | None]] = {
    "NOT item.is_test": lambda x: negation(x["item.is_test"]),
    "item.is_test": lambda x: x["item.is_test"],
    "item.wage >= 10": lambda x: known(lambda wage: wage >= 10, x["item.wage"]),
    "item.wage >= 10 OR item.company IS NULL": lambda x: either(
        known(lambda wage: wage >= 10, x["item.wage"]), x["item.company"] is None
    ),
    "NOT (item.wage < 12 AND item.is_test)": lambda x: negation(
        both(known(lambda wage: wage < 12, x["item.wage"]), x["item.is_test"])
    ),
    "item.city = request.city": lambda x: known(lambda a, b: a == b, x["item.city"], x["request.city"]),
    "score > 0.25": lambda x: known(lambda score: score > 0.25, x["score"]),
    "user.tenure = 'new'": lambda x: known(lambda tenure: tenure == "new", x["user.tenure"]),
    "request.surface = 'home' AND NOT request.is_bot": lambda x: both(
        known(lambda surface: surface == "home", x["request.surface"]), negation(x["request.is_bot"])
    ),
    "request.surface IN ('home', 'search')": lambda x: known(lambda s: s in ("home", "search"), x["request.surface"]),
    "request.is_bot IS NOT TRUE": lambda x: x["request.is_bot"] is not True,
}


# --- SQL numbers: the new score of a `rerank` ---


def coalesce(value: float | None, default: float) -> float:
    return default if value is None else value


RERANK: dict[str, Callable[[Row], float | None]] = {
    "score": lambda x: x["score"],
    "-score": lambda x: -x["score"],
    "score + coalesce(item.wage, 0.0) / 4": lambda x: x["score"] + coalesce(x["item.wage"], 0) / 4,
    "coalesce(score, 0.5) * 2": lambda x: coalesce(x["score"], 0.5) * 2,
    "coalesce(score, 0.0) - CASE WHEN item.is_test THEN 0.25 ELSE 0.0 END": lambda x: (
        coalesce(x["score"], 0.0) - (0.25 if x["item.is_test"] is True else 0.0)
    ),
    "coalesce(item.wage, 9.5)": lambda x: coalesce(x["item.wage"], 9.5),
    "CASE WHEN item.is_test THEN 0 ELSE 1 END": lambda x: 0 if x["item.is_test"] is True else 1,
    "CASE WHEN item.city = request.city THEN 2.0 ELSE 1.0 END": lambda x: (
        2.0 if x["item.city"] is not None and x["item.city"] == x["request.city"] else 1.0
    ),
    "CASE WHEN user.tenure = 'new' THEN coalesce(item.wage, 0.0) ELSE -coalesce(item.wage, 0.0) END": lambda x: (
        coalesce(x["item.wage"], 0.0) * (1 if x["user.tenure"] == "new" else -1)
    ),
    "CASE WHEN request.keyword = 'k' THEN 1.0 ELSE 0.0 END": lambda x: float(x["request.keyword"] == "k"),
}


# --- Reading ---


def load(path: Path) -> Row:
    content: Row = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return content


def duration(text: str) -> timedelta:
    return timedelta(**{UNITS[text[-1]]: int(text[:-1])})


def instant(value: Any, zone: ZoneInfo) -> datetime:
    """A point in time in UTC; what bears no zone is local, and a skipped or repeated local time is Python's fold=0."""
    time = datetime.fromisoformat(str(value))
    return (time if time.tzinfo else time.replace(tzinfo=zone, fold=0)).astimezone(UTC)


def typed(name: str, texts: list[str | None]) -> list[Any]:
    """Csv is text: ids stay so unless all are canonical integers, times are parsed later, the rest is guessed."""
    guesses: list[tuple[str, Callable[[str], Any]]] = [(r"0|-?[1-9]\d*", int)]
    if name not in IDS:
        guesses += [(r"-?\d+(\.\d+)?(e[-+]?\d+)?", float), ("true|false", "true".__eq__)]
    for pattern, convert in guesses:
        if all(text is None or re.fullmatch(pattern, text) for text in texts):
            return [None if text is None else convert(text) for text in texts]
    return list(texts)


def read(folder: Path, source: Row, zone: ZoneInfo) -> list[Row]:
    """All files of a table as rows under our own column names, with every time as an instant."""
    rows: list[Row] = []
    csv = False
    for file in sorted(glob.glob(str(folder / source["path"]))):
        csv = file.endswith(".csv")
        rows += (pl.read_csv(file, infer_schema=False) if csv else pl.read_parquet(file)).to_dicts()
    ours = {theirs: own for own, theirs in source.get("columns", {}).items()}
    rows = [{ours.get(name, name): value for name, value in row.items()} for row in rows]
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows]
        values = typed(name, values) if csv else values
        if name in TIMES:
            values = [None if value is None else instant(value, zone) for value in values]
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    return rows


# --- Events: one table or several ---


@dataclass
class EventTable:
    """One table of events as its service declares it."""

    rows: list[Row]  # with `event`, also where the table has it for all of them
    distinct: list[str] | None  # columns in which two rows are the same
    complete_until: datetime | None
    kind: str | None = None  # of all its rows, even where it has none


def event_tables(folder: Path, source: Any, zone: ZoneInfo) -> list[EventTable]:
    """The tables of `tables.events`: none, one, or a list of them."""
    tables: list[EventTable] = []
    for entry in [] if source is None else source if isinstance(source, list) else [source]:
        rows = read(folder, entry, zone)
        if "event" in entry:
            rows = [row | {"event": entry["event"]} for row in rows]
        until = entry.get("complete_until")
        known = None if until is None else instant(until, zone)
        tables.append(EventTable(rows, entry.get("distinct"), known, entry.get("event")))
    return tables


def in_order(event: Row) -> tuple[Any, ...]:
    """The order of events: time first, an unknown request last."""
    bears = event.get("request_id")
    return (event["timestamp"], event["user_id"], event["item_id"], event["event"], bears is None, bears or 0)


def earliest(rows: list[Row], columns: list[str]) -> list[Row]:
    """Of rows that are the same in these columns the first only."""
    kept: dict[Any, Row] = {}
    for row in sorted(rows, key=in_order):
        kept.setdefault(tuple(row.get(column) for column in columns), row)
    return list(kept.values())


def without_repeats(tables: list[EventTable]) -> list[Row]:
    """What is the same by its own table counts once, and so does what is the same in everything we know."""
    rows: list[Row] = []
    for table in tables:
        if not table.distinct:
            rows += table.rows
            continue
        columns = ["event", *table.distinct]
        known = [row for row in table.rows if all(row.get(column) is not None for column in columns)]
        rows += earliest(known, columns) + [row for row in table.rows if row not in known]  # unknown is never the same
    return earliest(rows, ["user_id", "item_id", "timestamp", "event", "request_id"])


# --- The world ---


def liked(world: World, event: Row) -> bool:
    """Is it of a graded kind that does not tell dislike?"""
    grade = world.service["labels"]["grades"].get(event["event"])
    return grade is not None and (grade["grade"] if isinstance(grade, dict) else grade) >= 0


@dataclass
class Step:
    name: str
    key: str
    rule: Any  # what stands under the key; the rows of the table of a `pin`


@dataclass
class Scores:
    key: str  # request_id or user_id
    rows: dict[Any, list[Row]]  # by owner, all batches


@dataclass
class World:
    """A study with its service and its tables, keyed for looking up."""

    study: Row
    service: Row
    zone: ZoneInfo
    candidates: str | Row
    requests: list[Row]
    items: dict[Any, Row]
    users: dict[Any, Row]
    intervals: dict[Any, list[tuple[datetime, datetime | None]]]
    impressions: dict[Any, list[Any]]  # request -> items by rank, as often as they were shown
    shown: dict[Any, list[Any]]  # the same, each item once
    event_tables: list[EventTable]  # as they are on disk
    events: list[Row]  # without repeats, in order
    scores: dict[str, Scores]  # by variant; builtin and python variants have none
    steps: dict[str, list[Step]]  # by variant
    served: dict[str, int]  # by variant
    listed: dict[Any, list[Any]]  # request -> items of a `candidates: {path: ...}` file


def once(items: list[Any]) -> list[Any]:
    """Each item at its best place only."""
    return list(dict.fromkeys(items))


def split(step: Any) -> tuple[str, Any]:
    """The key of a step and what stands under it."""
    return (step, None) if isinstance(step, str) else next(pair for pair in step.items() if pair[0] != "name")


def plan(folder: Path, steps: list[Any], zone: ZoneInfo) -> list[Step]:
    """Steps with their names, and with the tables that they need."""
    planned: list[Step] = []
    keys = [split(step)[0] for step in steps]
    for place, step in enumerate(steps):
        key, rule = split(step)
        count = keys[: place + 1].count(key)
        plain = key if count == 1 else f"{key}-{count}"
        name = plain if isinstance(step, str) else step.get("name", plain)
        planned.append(Step(name, key, read(folder, rule, zone) if key == "pin" else rule))
    return planned


def scores(folder: Path, source: Row, zone: ZoneInfo) -> Scores:
    rows = read(folder, source, zone)
    key = "request_id" if rows and "request_id" in rows[0] else "user_id"
    owned: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        owned[row[key]].append(row)
    return Scores(key, owned)


def open_world(path: Path) -> World:
    study = load(path)
    home = (path.parent / study["service"]).resolve()
    service = load(home)
    zone = ZoneInfo(service.get("timezone", "UTC"))
    sources = {name: source for name, source in service["tables"].items() if name != "events"}
    tables = defaultdict(list, {name: read(home.parent, source, zone) for name, source in sources.items()})
    logged = event_tables(home.parent, service["tables"].get("events"), zone)
    intervals = defaultdict(list)
    for row in tables["availability"]:
        intervals[row["item_id"]].append((row["open_at"], row["close_at"]))
    impressions = defaultdict(list)
    for row in sorted(tables["impressions"], key=lambda row: (row["rank"], row["item_id"])):
        impressions[row["request_id"]].append(row["item_id"])
    production, variants = service["production"], study["variants"]
    candidates = production.get("candidates", "scored")
    steps = {name: plan(home.parent, production.get("steps", []), zone) for name in variants}
    steps |= {name: plan(path.parent, one["steps"], zone) for name, one in variants.items() if "steps" in one}
    listed = defaultdict(list)
    for row in read(home.parent, candidates, zone) if isinstance(candidates, dict) else []:
        listed[row["request_id"]].append(row["item_id"])
    return World(
        study=study,
        service=service,
        zone=zone,
        candidates=candidates,
        requests=tables["requests"],
        items={row["item_id"]: row for row in tables["items"]},
        users={row["user_id"]: row for row in tables["users"]},
        intervals=dict(intervals),
        impressions=impressions,
        shown=defaultdict(list, {request: once(items) for request, items in impressions.items()}),
        event_tables=logged,
        events=without_repeats(logged),
        scores={name: scores(path.parent, one["scores"], zone) for name, one in variants.items() if "scores" in one},
        steps=steps,
        served={name: one.get("served", production["served"]) for name, one in variants.items()},
        listed=listed,
    )


def view(world: World, request: Row, item: Any = None, score: float | None = None) -> Row:
    """The columns that a condition may name; an attribute that nobody has is null."""
    columns: Row = defaultdict(lambda: None, {f"request.{name}": value for name, value in request.items()})
    columns |= {f"user.{name}": value for name, value in world.users.get(request["user_id"], {}).items()}
    columns |= {f"item.{name}": value for name, value in world.items.get(item, {}).items()}
    columns["score"] = score
    return columns


def is_open(world: World, item: Any, time: datetime) -> bool:
    spans = world.intervals.get(item, [])
    return any(opens <= time and (closes is None or time < closes) for opens, closes in spans)
