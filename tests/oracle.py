"""The executable reading of the design: every rule as a slow, obvious loop.

Nothing here is shared with the package, so that a mistake must be made twice to go unseen. `evaluate(study)` reads the
two YAML files and the tables, and returns what `result.json` has to say about them.
"""

from __future__ import annotations

import glob
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations, product
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from ruamel.yaml import YAML
from scipy.stats import norm
from scipy.stats import t as student

Row = dict[str, Any]
Slate = list[tuple[Any, float | None]]  # (item, score), best first

IDS = {"request_id", "user_id", "item_id"}
TIMES = {"timestamp", "open_at", "close_at", "computed_at"}
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
ALIASES = {"nDCG": "ndcg", "P": "precision", "mrr": "rr", "map": "ap", "hit_rate": "hit"}
DEFAULTS = {"rbp": {"p": "0.8"}}  # that are printed
LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
TIE = 1e-12
NO_VARIANCE = 1e-24
SEGMENT_USERS = 30
PER_VARIANT = {"coverage", "gini", "entropy", "exposure_gini", "exposure_share", "personalization"}
LOWER_IS_BETTER = {"empty", "unjudged", "popularity"}  # of those that have a value per request


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
    shown: dict[Any, list[Any]]  # request -> items by rank
    events: list[Row]
    scores: dict[str, list[Row]]  # by variant; builtin variants have none
    listed: dict[Any, list[Any]]  # request -> items of a `candidates: {path: ...}` file


def open_world(path: Path) -> World:
    study = load(path)
    home = (path.parent / study["service"]).resolve()
    service = load(home)
    zone = ZoneInfo(service.get("timezone", "UTC"))
    tables = defaultdict(list, {name: read(home.parent, source, zone) for name, source in service["tables"].items()})
    intervals = defaultdict(list)
    for row in tables["availability"]:
        intervals[row["item_id"]].append((row["open_at"], row["close_at"]))
    shown: dict[Any, list[Any]] = defaultdict(list)
    for row in sorted(tables["impressions"], key=lambda row: (row["rank"], row["item_id"])):
        if row["item_id"] not in shown[row["request_id"]]:
            shown[row["request_id"]].append(row["item_id"])
    same = ("user_id", "item_id", "timestamp", "event", "request_id")
    events = {tuple(row.get(key) for key in same): row for row in tables["events"]}
    candidates = service["production"].get("candidates", "scored")
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
        shown=shown,
        events=list(events.values()),
        scores={name: read(path.parent, v["scores"], zone) for name, v in study["variants"].items() if "scores" in v},
        listed=listed,
    )


# --- Reproduce ---


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


def scored_rows(world: World, variant: str, request: Row) -> list[Row]:
    """The score rows that were there at the request's time: those of its newest batch."""
    rows = []
    for row in world.scores[variant]:
        key = "request_id" if "request_id" in row else "user_id"
        if row[key] == request[key] and row.get("computed_at", request["timestamp"]) <= request["timestamp"]:
            rows.append(row)
    newest = max((row["computed_at"] for row in rows if "computed_at" in row), default=None)
    return [row for row in rows if row.get("computed_at") == newest]


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
    graded = [event for event in world.events if event["event"] in world.service["labels"]["grades"]]
    return sum(event["item_id"] == item and since <= event["timestamp"] < day for event in graded)


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

    if variant["builtin"] == "logged":  # it knows only what was shown, whatever the candidates of others
        return [(item, None) for item in world.shown[request["request_id"]]]
    pool = sorted(set(candidates(world, request)))
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


def apply(world: World, step: Any, request: Row, slate: Slate) -> Slate:
    key, rule = split(step)
    kept: Slate = []
    taken: dict[Any, int] = defaultdict(int)
    for item, score in slate:
        columns = view(world, request, item, score)
        if key == "match":
            keep: bool | None = matches(columns, rule)
        elif key == "available":
            keep = is_open(world, item, request["timestamp"])
        elif key == "not_seen":
            keep = not seen(world, request, item, rule)
        elif key == "where":
            keep = WHERE[rule](columns)
        else:
            group = columns[rule["by"]]
            taken[group] += 1
            keep = group is None or taken[group] <= rule["at_most"]
        if keep is True:
            kept.append((item, score))
    return kept


def split(step: Any) -> tuple[str, Any]:
    """The key of a step and what stands under it."""
    return (step, None) if isinstance(step, str) else next(pair for pair in step.items() if pair[0] != "name")


def step_names(steps: list[Any]) -> list[str]:
    names: list[str] = []
    keys = [split(step)[0] for step in steps]
    for place, step in enumerate(steps):
        count = keys[: place + 1].count(keys[place])
        plain = keys[place] if count == 1 else f"{keys[place]}-{count}"
        names.append(plain if isinstance(step, str) else step.get("name", plain))
    return names


def replay(world: World, name: str, requests: list[Row]) -> tuple[dict[Any, list[Any]], list[Row]]:
    """The variant's slates, and what every step took away."""
    variant, production = world.study["variants"][name], world.service["production"]
    steps = variant.get("steps", production.get("steps", []))
    served = variant.get("served", production["served"])
    counts = {"in": 0, "removed": 0, "requests": 0, "emptied": 0}
    rows: list[Row] = [{"variant": name, "step": step} | counts for step in [*step_names(steps), "served"]]
    for row, step in zip(rows, steps, strict=False):
        if split(step)[0] == "available":
            row["unknown"] = 0
    slates: dict[Any, list[Any]] = {}
    for request in requests:
        slate = ranked(world, name, request)
        for step, row in zip([*steps, None], rows, strict=True):
            kept = slate[:served] if step is None else apply(world, step, request, slate)
            row["in"] += len(slate)
            row["removed"] += len(slate) - len(kept)
            row["requests"] += len(kept) < len(slate)
            row["emptied"] += len(slate) > 0 and not kept
            if "unknown" in row:
                row["unknown"] += sum(item not in world.intervals for item, _ in slate)
            slate = kept
        slates[request["request_id"]] = [item for item, _ in slate]
    return slates, rows


def fidelity(world: World, slates: dict[Any, list[Any]], requests: list[Row]) -> Row | None:
    name = world.study["baseline"]
    served = world.study["variants"][name].get("served", world.service["production"]["served"])
    overlaps, exacts = [], []
    for request in requests:
        shown = world.shown[request["request_id"]][:served]
        slate = slates[request["request_id"]]
        if shown:
            overlaps.append(len(set(slate) & set(shown)) / max(len(slate), len(shown)))
            exacts.append(slate == shown)
    if not overlaps:
        return None
    count = len(overlaps)
    return {"variant": name, "requests": count, "overlap": math.fsum(overlaps) / count, "exact": sum(exacts) / count}


# --- Evaluate ---


def claimants(world: World, event: Row) -> list[Row]:
    """The requests that an event may count for, its time window aside."""
    rule = world.service["labels"]["attribute"]
    if rule == "request_id":
        return [request for request in world.requests if request["request_id"] == event.get("request_id")]
    own = [request for request in world.requests if request["user_id"] == event["user_id"]]
    if rule == "any_request":
        return own
    own = [request for request in own if request["timestamp"] <= event["timestamp"]]
    if rule == "last_shown":
        own = [request for request in own if event["item_id"] in world.shown[request["request_id"]]]
    return sorted(own, key=lambda request: (request["timestamp"], request["request_id"]))[-1:]


def label(world: World) -> dict[Any, dict[Any, float]]:
    """The highest grade per request and item."""
    horizon = duration(world.service["labels"]["horizon"])
    grades = world.service["labels"]["grades"]
    labels: dict[Any, dict[Any, float]] = {request["request_id"]: {} for request in world.requests}
    for event in world.events:
        if event["event"] not in grades:
            continue
        for request in claimants(world, event):
            if request["timestamp"] <= event["timestamp"] < request["timestamp"] + horizon:
                mine = labels[request["request_id"]]
                mine[event["item_id"]] = max(grades[event["event"]], mine.get(event["item_id"], -math.inf))
    return labels


def ledger_row(step: str, before: list[Row], after: list[Row]) -> Row:
    lost = len(before) - len(after)
    return {"scope": "requests", "step": step, "in": len(before), "out": len(after), "lost": lost, "reason": step}


def targets(world: World, labels: dict[Any, dict[Any, float]]) -> tuple[list[Row], list[Row], list[Row]]:
    """Replayed requests, target requests, and the ledger between them."""
    start, end = (instant(world.study["period"][key], world.zone) for key in ("from", "to"))
    inside = [request for request in world.requests if start <= request["timestamp"] < end]
    where = world.service["targets"].get("where")
    replayed = [request for request in inside if where is None or WHERE[where](view(world, request)) is True]
    until = max((event["timestamp"] for event in world.events), default=LONG_AGO)
    declared = world.service["tables"].get("events", {}).get("complete_until")
    until = instant(declared, world.zone) if declared else until
    horizon = duration(world.service["labels"]["horizon"])
    mature = [request for request in replayed if request["timestamp"] + horizon <= until]
    labelled = mature
    if world.service["targets"]["without_labels"] == "exclude":
        labelled = [request for request in mature if max(labels[request["request_id"]].values(), default=0) > 0]
    stages = [world.requests, inside, replayed, mature, labelled]
    names = ["period", "where", "mature", "labelled"]
    return replayed, labelled, [ledger_row(name, stages[i], stages[i + 1]) for i, name in enumerate(names)]


def weights(world: World, requests: list[Row]) -> dict[Any, float]:
    """One over the number of target requests that share the averaging unit; one each when averaging by request."""
    average = world.service["targets"].get("average", "request")
    column = {"user": "user_id", "request": "request_id"}.get(average, average.removeprefix("request."))
    units = [request[column] for request in requests]
    return {request["request_id"]: 1 / units.count(request[column]) for request in requests}


@dataclass(frozen=True)
class Metric:
    name: str
    settings: dict[str, str]
    k: int | None

    def __str__(self) -> str:
        inner = ", ".join(f"{parameter}={setting}" for parameter, setting in self.settings.items())
        return self.name + (f"({inner})" if inner else "") + (f"@{self.k}" if self.k else "")


def parse(text: str) -> Metric:
    found = re.fullmatch(r"(\w+)(?:\((.+)\))?(?:@(\d+))?", text)
    assert found, text
    name, inner, k = found.groups()
    settings = DEFAULTS.get(name, {}) | dict(re.findall(r'(\w+)=("[^"]*"|[^,]+)', inner or ""))
    return Metric(ALIASES.get(name, name), settings, int(k) if k else None)


@dataclass
class History:
    """What users did before the period."""

    events: dict[Any, int]  # by item
    users: dict[Any, set[Any]]  # by item


def history(world: World) -> History:
    start = instant(world.study["period"]["from"], world.zone)
    past = History(defaultdict(int), defaultdict(set))
    for event in world.events:
        if event["event"] in world.service["labels"]["grades"] and event["timestamp"] < start:
            past.events[event["item_id"]] += 1
            past.users[event["item_id"]].add(event["user_id"])
    return past


def impressed(world: World, request: Row) -> set[Any]:
    """The items that the user was shown, by any request, before the label window of this one ended."""
    end = request["timestamp"] + duration(world.service["labels"]["horizon"])
    own = [other for other in world.requests if other["user_id"] == request["user_id"] and other["timestamp"] < end]
    return {item for other in own for item in world.shown[other["request_id"]]}


@dataclass
class Known:
    """What is known about a request when its slate is measured."""

    grades: dict[Any, float]
    shown: set[Any]  # to its user, before the label window ended
    past: History
    items: dict[Any, Row]
    zero: bool  # a request without relevant items is worth 0, not nothing


def measure(metric: Metric, slate: list[Any], known: Known) -> float | None:
    """One metric of one slate."""
    top = slate[: metric.k]
    if metric.name in OF_LISTS:
        return OF_LISTS[metric.name](metric, top, known)
    grades = known.grades
    if not any(grade > 0 for grade in grades.values()):
        return 0.0  # only reached when such requests are targets, hence when they count as zero
    if metric.name in ("dcg", "ndcg"):
        ideal = discounted(metric, sorted(grades.values(), reverse=True)[: metric.k])
        return discounted(metric, [grades.get(item, 0) for item in top]) / (ideal if metric.name == "ndcg" else 1)
    if metric.name == "err":
        return reciprocal(float(metric.settings.get("max_grade", 4)), [grades.get(item, 0) for item in top])

    level = metric.settings.get("level")
    relevant = {item for item, grade in grades.items() if (grade > 0 if level is None else grade >= float(level))}
    hits = [position for position, item in enumerate(top, start=1) if item in relevant]
    if metric.name == "precision":
        return len(hits) / (metric.k or len(slate) or 1)
    if metric.name == "hit":
        return float(bool(hits))
    if metric.name == "rr":
        return 1 / hits[0] if hits else 0.0
    if metric.name == "rbp":
        p = float(metric.settings["p"])
        return (1 - p) * math.fsum(p ** (position - 1) for position in hits)
    if metric.name == "serendipity":
        events = known.past.events
        popular = sorted(events, key=lambda item: (-events[item], item))[: metric.k or len(slate)]
        return sum(item in relevant and item not in popular for item in top) / (metric.k or len(slate) or 1)
    if not relevant:
        return 0.0 if known.zero else None

    most = min(len(relevant), metric.k) if metric.settings.get("norm") == "cut" and metric.k else len(relevant)
    if metric.name == "recall":
        return len(hits) / most
    if metric.name == "ap":
        return math.fsum(count / position for count, position in enumerate(hits, start=1)) / most
    if metric.name == "f1":
        precision, recall = len(hits) / (metric.k or len(slate) or 1), len(hits) / len(relevant)
        return 2 * precision * recall / (precision + recall) if hits else 0.0
    if metric.name == "r_precision":
        return sum(position <= len(relevant) for position in hits) / len(relevant)
    if metric.name == "bpref":
        return preferred(top, relevant, (known.shown | grades.keys()) - relevant)
    assert metric.name == "auc", metric
    return in_order(top, relevant)


def discounted(metric: Metric, order: list[float]) -> float:
    gains: dict[str, Callable[[float], float]] = {
        "linear": lambda grade: grade,
        "exp": lambda grade: 2**grade - 1,
        "binary": lambda grade: float(grade > 0),
    }
    discounts: dict[str, Callable[[int], float]] = {
        "log2": lambda rank: math.log2(rank + 1),
        "log2_from_2": lambda rank: max(1.0, math.log2(rank)),
        "reciprocal": float,
        "none": lambda _: 1.0,
    }
    gain = gains[metric.settings.get("gain", "linear")]
    discount = discounts[metric.settings.get("discount", "log2")]
    return math.fsum(gain(grade) / discount(rank) for rank, grade in enumerate(order, start=1))


def reciprocal(most: float, order: list[float]) -> float:
    """The expected reciprocal rank at which a reader stops, satisfied."""
    total, reads_on = 0.0, 1.0
    for rank, grade in enumerate(order, start=1):
        satisfied = (2**grade - 1) / 2**most
        total += reads_on * satisfied / rank
        reads_on *= 1 - satisfied
    return total


def preferred(top: list[Any], relevant: set[Any], refused: set[Any]) -> float:
    """bpref: how few of the items that are judged and not relevant stand above the relevant ones."""
    total, least = 0.0, min(len(refused), len(relevant))
    for position, item in enumerate(top):
        if item in relevant:
            above = sum(other in refused for other in top[:position])
            total += 1 - (min(above, len(relevant)) / least if above else 0)
    return total / len(relevant)


def in_order(top: list[Any], relevant: set[Any]) -> float:
    """auc: the share of pairs that stand as they should."""
    others = [item for item in top if item not in relevant]
    if not others:
        return len(relevant & set(top)) / len(relevant)
    pairs = list(product(relevant, others))
    return sum(one in top and top.index(one) < top.index(other) for one, other in pairs) / len(pairs)


def judged(metric: Metric, top: list[Any], known: Known) -> float | None:
    wanted = metric.name == "judged"
    size = (metric.k or len(top)) if metric.settings.get("norm") == "cut" else len(top)
    return sum((item in known.shown) == wanted for item in top) / size if size else None


def novelty(_: Metric, top: list[Any], known: Known) -> float | None:
    everyone = set().union(*known.past.users.values())
    if not everyone:
        return None
    users = [len(known.past.users.get(item, ())) for item in top]
    return math.fsum(math.log2(len(everyone) / max(count, 1)) for count in users) / (len(top) or 1)


def popularity(_: Metric, top: list[Any], known: Known) -> float | None:
    if not known.past.events:
        return None
    return sum(known.past.events.get(item, 0) for item in top) / (len(top) or 1)


def diversity(metric: Metric, top: list[Any], known: Known) -> float:
    column = metric.settings["by"].removeprefix("item.")
    values = [known.items.get(item, {}).get(column) for item in top]
    pairs = list(combinations(values, 2))
    return sum(one != other for one, other in pairs) / len(pairs) if pairs else 0.0


# What looks at the list only, whatever the labels.
OF_LISTS: dict[str, Callable[[Metric, list[Any], Known], float | None]] = {
    "list_length": lambda _, top, __: float(len(top)),
    "empty": lambda _, top, __: float(not top),
    "judged": judged,
    "unjudged": judged,
    "novelty": novelty,
    "popularity": popularity,
    "diversity": diversity,
}


def catalogue(world: World, requests: list[Row]) -> set[Any]:
    """The items that could have been shown to some of these requests."""
    if "availability" not in world.service["tables"]:
        return set(world.items)
    times = [request["timestamp"] for request in requests]
    return {item for item in world.intervals if any(is_open(world, item, time) for time in times)}


def gini(counts: list[int]) -> float | None:
    """Half the mean difference between two of the counts, over their mean."""
    total = sum(counts)
    apart = sum(abs(one - other) for one, other in product(counts, counts))
    return apart / (2 * len(counts) * total) if total else None


def personalization(lists: list[tuple[Any, set[Any]]]) -> float | None:
    """From (user, what stands in a list)."""
    alike = [
        len(one & other) / math.sqrt(len(one) * len(other))
        for (user, one), (someone, other) in combinations(lists, 2)
        if user != someone and one and other
    ]
    return 1 - math.fsum(alike) / len(alike) if alike else None


def measure_all(metric: Metric, world: World, slates: dict[Any, list[Any]], requests: list[Row]) -> float | None:
    """One metric of all slates of a variant."""
    tops = [(request["user_id"], slates[request["request_id"]][: metric.k]) for request in requests]
    places = [item for _, top in tops for item in top]
    if metric.name == "personalization":
        return personalization([(user, set(top)) for user, top in tops])
    if metric.name == "entropy":
        shares = [count / len(places) for count in Counter(places).values()]
        return math.fsum(-share * math.log2(share) for share in shares) if shares else None
    if metric.name == "exposure_share":
        where = WHERE[metric.settings["where"].strip('"')]
        columns = [{f"item.{name}": value for name, value in world.items.get(item, {}).items()} for item in places]
        return sum(where(defaultdict(lambda: None, row)) is True for row in columns) / len(places) if places else None

    pool = catalogue(world, requests)
    if metric.name == "coverage":
        return len(pool.intersection(places)) / len(pool) if pool and requests else None
    if metric.name == "gini":
        return gini([places.count(item) for item in pool])
    assert metric.name == "exposure_gini", metric
    column = metric.settings["by"].removeprefix("item.")
    groups = {item: row[column] for item, row in world.items.items()}
    taken = [groups.get(item) for item in places]
    return gini([taken.count(group) for group in {groups.get(item) for item in pool} - {None}])


@dataclass
class Facts:
    """What every metric is computed from."""

    slates: dict[str, dict[Any, list[Any]]]  # by variant and request
    known: dict[Any, Known]  # by target request
    weights: dict[Any, float]  # by target request


# --- Compare ---


def estimate(rows: list[tuple[float, float, Any]]) -> tuple[float | None, float | None, int]:
    """Weighted mean, its standard error clustered by user, and the number of users, from (weight, value, user)."""
    users = {user for _, _, user in rows}
    if not rows:
        return None, None, 0
    total = math.fsum(weight for weight, _, _ in rows)
    mean = math.fsum(weight * value for weight, value, _ in rows) / total
    if len(users) < 2:
        return mean, None, len(users)
    squares = [math.fsum(w * (value - mean) for w, value, user in rows if user == one) ** 2 for one in users]
    variance = len(users) / (len(users) - 1) * math.fsum(squares) / total**2
    return mean, 0.0 if variance <= NO_VARIANCE else math.sqrt(variance), len(users)


def interval(mean: float | None, error: float | None, users: int, confidence: float) -> Row:
    if mean is None or error is None:
        return {"low": None, "high": None}
    reach = float(student.ppf((1 + confidence) / 2, users - 1)) * error
    return {"low": mean - reach, "high": mean + reach}


def holm(values: list[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    adjusted, running = [0.0] * len(values), 0.0
    for place, index in enumerate(order):
        running = max(running, min(1.0, (len(values) - place) * values[index]))
        adjusted[index] = running
    return adjusted


def benjamini_hochberg(values: list[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__, reverse=True)
    adjusted, running = [0.0] * len(values), 1.0
    for place, index in enumerate(order):
        running = min(running, len(values) / (len(values) - place) * values[index])
        adjusted[index] = running
    return adjusted


def compared(pairs: list[tuple[float, float, float, Any]], confidence: float) -> Row:
    """A comparison from (weight, variant's value, baseline's value, user), without what depends on the others."""
    mean, error, users = estimate([(weight, ours - theirs, user) for weight, ours, theirs, user in pairs])
    reference, _, _ = estimate([(weight, theirs, user) for weight, _, theirs, user in pairs])
    differences = [ours - theirs for _, ours, theirs, _ in pairs]
    p: float | None = None
    if mean is not None and error is not None:
        if error > 0:
            p = 2 * float(student.sf(abs(mean) / error, users - 1))
        elif abs(mean) <= TIE:
            p = 1.0
    z = float(norm.ppf((1 + confidence) / 2) + norm.ppf(0.8))
    return {
        "reference": reference,
        "difference": mean,
        "relative": mean / reference if mean is not None and reference else None,
        **interval(mean, error, users, confidence),
        "p": p,
        "p_adjusted": None,
        "minimum_detectable": None if error is None else z * error,
        "wins": sum(d > TIE for d in differences),
        "ties": sum(abs(d) <= TIE for d in differences),
        "losses": sum(d < -TIE for d in differences),
        "n_requests": len(pairs),
        "n_users": users,
        "verdict": None,
    }


def verdict(row: Row, compare: Row) -> str | None:
    alpha, smallest = 1 - compare.get("confidence", 0.95), compare.get("smallest_effect")
    name = parse(row["metric"]).name
    if name in PER_VARIANT or (row["segment"] is not None and row["n_users"] < SEGMENT_USERS):
        return None
    if row["p_adjusted"] is not None and row["p_adjusted"] < alpha:
        return "better" if (row["difference"] < 0) == (name in LOWER_IS_BETTER) else "worse"
    if smallest is not None and row["reference"] and row["low"] is not None:
        text = str(smallest)
        bound = float(text.rstrip("% ")) / (100 if "%" in text else 1)
        if -bound <= row["low"] / row["reference"] and row["high"] / row["reference"] <= bound:
            return "equivalent"
    return "undecided"


def adjust(rows: list[Row], decided: list[str], metrics: Row) -> None:
    """Fill in `p_adjusted`, family by family; rows without p belong to none."""
    families: dict[str, list[Row]] = {"primary": [], "guardrails": [], "exploration": []}
    for row in rows:
        if row["p"] is None or (row["segment"] is not None and row["n_users"] < SEGMENT_USERS):
            continue
        main = row["segment"] is None and row["variant"] in decided
        role = next(role for role in ("primary", "guardrails", "also") if row["metric"] in metrics[role])
        families[role if main and role != "also" else "exploration"].append(row)
    for name, family in families.items():
        correct = holm if name == "primary" else benjamini_hochberg
        for row, value in zip(family, correct([row["p"] for row in family]), strict=True):
            row["p_adjusted"] = value


def decide(rows: list[Row], variant: str, metrics: Row, faithful: bool) -> str:
    if not faithful:
        return "invalid"
    main = {row["metric"]: row["verdict"] for row in rows if row["variant"] == variant and row["segment"] is None}
    primary = main[metrics["primary"][0]]
    if primary in ("worse", "equivalent") or any(main[name] == "worse" for name in metrics["guardrails"]):
        return "no-go"
    return "go" if primary == "better" else "undecided"


def segments(world: World, requests: list[Row]) -> list[tuple[Row | None, list[Row]]]:
    """All targets, then each value (null too) of each segment column with its targets."""
    parts: list[tuple[Row | None, list[Row]]] = [(None, requests)]
    for column in world.study.get("segments", []):
        groups: dict[Any, list[Row]] = {}
        for request in requests:
            groups.setdefault(view(world, request)[column], []).append(request)
        parts += [({"column": column, "value": value}, group) for value, group in groups.items()]
    return parts


def judge(world: World, metric: Metric, base: Row, requests: list[Row], facts: Facts) -> tuple[list[Row], list[Row]]:
    """One metric on some targets: a row per variant, and a row per variant held against the baseline."""
    baseline, confidence = world.study["baseline"], world.study.get("compare", {}).get("confidence", 0.95)
    rows: list[Row] = []
    versus: list[Row] = []
    if metric.name in PER_VARIANT:
        counts = {"n_requests": len(requests), "n_users": len({request["user_id"] for request in requests})}
        measured_all = {name: measure_all(metric, world, slates, requests) for name, slates in facts.slates.items()}
        theirs = measured_all[baseline]
        for name, ours in measured_all.items():
            rows.append({"variant": name} | base | {"value": ours, "low": None, "high": None} | counts)
            row = compared([], confidence) | {"wins": None, "ties": None, "losses": None} | counts
            if ours is not None and theirs is not None:
                row |= {"difference": ours - theirs, "relative": (ours - theirs) / theirs if theirs else None}
            versus.append({"variant": name, "baseline": baseline} | base | row)
    else:
        measured: dict[str, list[float | None]] = {}
        for name, slates in facts.slates.items():
            ids = [request["request_id"] for request in requests]
            measured[name] = [measure(metric, slates[one], facts.known[one]) for one in ids]
        for name, values in measured.items():
            own: list[tuple[float, float, Any]] = []
            paired: list[tuple[float, float, float, Any]] = []
            for request, ours, theirs in zip(requests, values, measured[baseline], strict=True):
                weight, user = facts.weights[request["request_id"]], request["user_id"]
                if ours is not None:
                    own.append((weight, ours, user))
                if ours is not None and theirs is not None:
                    paired.append((weight, ours, theirs, user))
            mean, error, users = estimate(own)
            counts = {"n_requests": len(own), "n_users": users}
            rows.append({"variant": name} | base | {"value": mean} | interval(mean, error, users, confidence) | counts)
            versus.append({"variant": name, "baseline": baseline} | base | compared(paired, confidence))
    return rows, [row for row in versus if row["variant"] != baseline]


def evaluate(study: Path) -> Row:
    """Everything that `result.json` must say about a study."""
    world = open_world(study)
    plan, baseline = world.study, world.study["baseline"]
    labels = label(world)
    replayed, chosen, ledger = targets(world, labels)
    replays = {name: replay(world, name, replayed) for name in plan["variants"]}
    past, zero = history(world), world.service["targets"]["without_labels"] == "zero"
    known = {
        request["request_id"]: Known(labels[request["request_id"]], impressed(world, request), past, world.items, zero)
        for request in chosen
    }
    facts = Facts({name: slates for name, (slates, _) in replays.items()}, known, weights(world, chosen))
    faith = fidelity(world, facts.slates[baseline], replayed)

    metrics = {role: plan["metrics"].get(role, []) for role in ("guardrails", "also")}
    metrics = {"primary": [plan["metrics"]["primary"]]} | metrics
    metrics = {role: [str(parse(text)) for text in texts] for role, texts in metrics.items()}
    values: list[Row] = []
    comparisons: list[Row] = []
    for part, requests in segments(world, chosen):
        for text in (text for texts in metrics.values() for text in texts):
            rows, versus = judge(world, parse(text), {"metric": text, "segment": part}, requests, facts)
            values += rows
            comparisons += versus

    decided = [name for name, variant in plan["variants"].items() if "builtin" not in variant and name != baseline]
    adjust(comparisons, decided, metrics)
    for row in comparisons:
        row["verdict"] = verdict(row, plan.get("compare", {}))
    faithful = faith is None or faith["overlap"] >= plan.get("fidelity", {}).get("at_least", 0.9)
    return {
        "decision": {name: decide(comparisons, name, metrics, faithful) for name in decided},
        "targets": ledger,
        "steps": [row for _, rows in replays.values() for row in rows],
        "fidelity": faith,
        "metrics": values,
        "comparisons": [{key: value for key, value in row.items() if key != "reference"} for row in comparisons],
    }
