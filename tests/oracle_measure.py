"""The oracle measures: every metric as its definition says."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

from oracle_labels import window
from oracle_read import WHERE, Row, World, instant, is_open, liked, once

ALIASES = {"nDCG": "ndcg", "P": "precision", "mrr": "rr", "map": "ap", "hit_rate": "hit"}
DEFAULTS = {"rbp": {"p": "0.8"}}  # that are printed
PER_VARIANT = {"coverage", "gini", "entropy", "exposure_gini", "exposure_share", "personalization"}


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
        if liked(world, event) and event["timestamp"] < start:
            past.events[event["item_id"]] += 1
            past.users[event["item_id"]].add(event["user_id"])
    return past


def impressed(world: World, request: Row) -> set[Any]:
    """The items that the user was shown, by any request, before the label window of this one ended."""
    end = request["timestamp"] + window(world)
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
    """One metric of one slate. An item that stands there again is worth nothing, but takes a place."""
    top = [None if item in slate[:place] else item for place, item in enumerate(slate)][: metric.k]
    if metric.name in OF_LISTS:
        return OF_LISTS[metric.name](metric, top, known)
    grades = known.grades
    if not any(grade > 0 for grade in grades.values()) and metric.name != "dcg":
        return 0.0  # only reached when such requests are targets, hence when they count as zero
    if metric.name in ("dcg", "ndcg"):
        ideal = discounted(metric, sorted((grade for grade in grades.values() if grade > 0), reverse=True)[: metric.k])
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
        satisfied = (2 ** max(grade, 0) - 1) / 2**most
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
    others = [place for place, item in enumerate(top) if item not in relevant]
    if not others:
        return len(relevant & set(top)) / len(relevant)
    pairs = list(product(relevant, others))
    return sum(one in top and top.index(one) < other for one, other in pairs) / len(pairs)


def judged(metric: Metric, top: list[Any], known: Known) -> float | None:
    wanted = metric.name == "judged"
    size = (metric.k or len(top)) if metric.settings.get("norm") == "cut" else len(top)
    return sum((item in known.shown) == wanted for item in top) / size if size else None


def novelty(_: Metric, top: list[Any], known: Known) -> float | None:
    everyone = set().union(*known.past.users.values())
    if not everyone:
        return None
    users = [len(known.past.users.get(item, ())) for item in top if item is not None]
    return math.fsum(math.log2(len(everyone) / max(count, 1)) for count in users) / (len(top) or 1)


def popularity(_: Metric, top: list[Any], known: Known) -> float | None:
    if not known.past.events:
        return None
    return sum(known.past.events.get(item, 0) for item in top) / (len(top) or 1)


def diversity(metric: Metric, top: list[Any], known: Known) -> float:
    column = metric.settings["by"].removeprefix("item.")
    values = [known.items.get(item, {}).get(column) for item in top if item is not None]
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
    tops = [(request["user_id"], once(slates[request["request_id"]][: metric.k])) for request in requests]
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
    weights: dict[Any, float]  # by target request, under the average that decides
    first: dict[Any, Any]  # by request: its first relevant item
    clusters: dict[Any, tuple[Hashable, ...]]  # by target request: what it is one of a kind with
