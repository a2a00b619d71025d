"""The oracle doubts: what a difference becomes under other averages, labels, requests and users."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from oracle_compare import TIE, Estimate, Pair, Terms, average, compared, grouped, scores
from oracle_labels import grades
from oracle_measure import Facts, Known, Metric, measure, parse
from oracle_read import Row, World
from oracle_segments import averages, of_items, title, value, weights

Slates = dict[Any, list[Any]]
BOUNDED = {"dcg", "precision", "hit", "rr", "rbp", "err"}  # not divided by anything that comes from the labels
OF_LABELS = BOUNDED | {"ndcg", "recall", "f1", "ap", "serendipity", "r_precision", "bpref", "auc"}


def pairs(metric: Metric, facts: Facts, requests: list[Row], ours: Slates, theirs: Slates) -> list[Pair]:
    """The requests in which both lists can be measured."""
    rows: list[Pair] = []
    for request in requests:
        one = request["request_id"]
        mine, other = (measure(metric, slates[one], facts.known[one]) for slates in (ours, theirs))
        if mine is not None and other is not None and facts.weights[one]:
            rows.append(Pair(facts.weights[one], mine, other, request["user_id"], facts.clusters[one]))
    return rows


# --- Other averages ---


def effective(amounts: list[float]) -> float | None:
    squares = math.fsum(amount**2 for amount in amounts)
    return math.fsum(amounts) ** 2 / squares if squares else None


def by_average(world: World, facts: Facts, metric: str, variant: str, requests: list[Row], terms: Terms) -> list[Row]:
    rows: list[Row] = []
    slates, baseline = facts.slates, world.study["baseline"]
    for way in averages(world):
        under = Facts(slates, facts.known, weights(world, requests, way), facts.first, facts.clusters)
        sample = pairs(parse(metric), under, requests, slates[variant], slates[baseline])
        row = compared(sample, terms)
        weighed = [pair.weight for pair in sample]
        decisive = rows[0]["difference"] if rows else row["difference"]
        rows.append({
            "variant": variant,
            "metric": metric,
            "average": way,
            "decides": not rows,
            "value": average(weighed, [pair.ours for pair in sample]),
            "baseline_value": row["reference"],
            **{key: row[key] for key in ("difference", "relative", "low", "high", "p")},
            "effective_requests": effective(weighed),
            "effective_users": effective(list(grouped([pair.user for pair in sample], weighed).values())),
            "changes_sign": opposite(row["difference"], decisive),
        })  # fmt: skip
    return rows


# --- Other labels ---


def is_unjudged(item: Any, known: Known) -> bool:
    return item not in known.shown and item not in known.grades


def unjudged(metric: Metric, slate: list[Any], known: Known) -> float | None:
    top = slate[: metric.k]
    return sum(is_unjudged(item, known) for item in top) / len(top) if top else None


def relabelled(known: Known, slate: list[Any], grade: float) -> Known:
    """As if every unjudged item of a list had this grade."""
    grades = known.grades | {item: grade for item in slate if grade and is_unjudged(item, known)}
    return Known(grades, known.shown, known.past, known.items, known.zero)


def bound(metric: Metric, facts: Facts, requests: list[Row], ours: Slates, theirs: Slates, most: float) -> float | None:
    """The difference if our unjudged items were the best there are, and theirs nothing."""
    if metric.name not in BOUNDED:
        return None
    weighed: list[float] = []
    differences: list[float] = []
    for request in requests:
        one = request["request_id"]
        known = facts.known[one]
        mine = measure(metric, ours[one], relabelled(known, ours[one], most))
        other = measure(metric, theirs[one], known)
        if mine is not None and other is not None:
            weighed.append(facts.weights[one])
            differences.append(mine - other)
    return average(weighed, differences) if weighed else None


def judgements(world: World, facts: Facts, metric: str, variant: str, requests: list[Row], terms: Terms) -> Row:
    """What the items that nobody could judge may have done to a difference."""
    kind, ours, theirs = parse(metric), facts.slates[variant], facts.slates[world.study["baseline"]]

    def mean_share(slates: Slates) -> float | None:
        ids = [request["request_id"] for request in requests]
        known = [(facts.weights[one], unjudged(kind, slates[one], facts.known[one])) for one in ids]
        rows = [(w, amount) for w, amount in known if amount is not None]
        return average([w for w, _ in rows], [amount for _, amount in rows]) if rows else None

    def condensed(slates: Slates) -> Slates:
        return {one: [item for item in slates[one] if not is_unjudged(item, facts.known[one])] for one in facts.known}

    row = compared(pairs(kind, facts, requests, condensed(ours), condensed(theirs)), terms)
    values = [rule.value for rule in grades(world).values()]
    best = worst = None
    if min(values) >= 0:  # else what nobody judged may be worse than nothing
        best = bound(kind, facts, requests, ours, theirs, max(values))
        worst = bound(kind, facts, requests, theirs, ours, max(values))
    return {
        "variant": variant,
        "metric": metric,
        "unjudged": mean_share(ours),
        "unjudged_baseline": mean_share(theirs),
        **{key: row[key] for key in ("difference", "low", "high")},
        "best": best,
        "worst": None if worst is None else -worst,
    }


# --- Other requests ---


def standardised(
    world: World, facts: Facts, metric: str, variant: str, requests: list[Row], replayed: list[Row], terms: Terms
) -> list[Row]:
    """The difference as if targets were spread over the segments as replayed requests are."""
    rows: list[Row] = []
    weighed = weights(world, replayed, averages(world)[0])
    for entry in world.study.get("segments", []):
        if of_items(entry):
            continue
        parts: dict[Any, list[Row]] = {}
        for request in requests:
            parts.setdefault(value(world, request, entry, None), []).append(request)
        everyone = grouped(
            [value(world, request, entry, None) for request in replayed],
            [weighed[request["request_id"]] for request in replayed],
        )
        ours, theirs = facts.slates[variant], facts.slates[world.study["baseline"]]
        samples = {part: pairs(parse(metric), facts, own, ours, theirs) for part, own in parts.items()}
        many = len({pair.user for sample in samples.values() for pair in sample})
        target = {part: math.fsum(pair.weight for pair in sample) for part, sample in samples.items()}
        samples = {part: sample for part, sample in samples.items() if math.fsum(pair.weight for pair in sample)}
        total = compared([pair for sample in samples.values() for pair in sample], terms)["difference"]
        made = spread(samples, everyone, many)
        rows.append({
            "variant": variant,
            "metric": metric,
            "column": title(entry),
            "difference": total,
            "standardised": made.mean,
            **made.interval(terms),
            "psi": psi(target, everyone),
            "reversal": opposite(total, made.mean),
        })  # fmt: skip
    return rows


def spread(samples: dict[Any, list[Pair]], everyone: dict[Any, float], many: int) -> Estimate:
    """The mean of the segments' differences by the share of each, with what every user contributes to its error."""
    whole = math.fsum(everyone.get(part, 0.0) for part in samples)
    if not whole:
        return Estimate()
    mean, users, parts = 0.0, [], []
    for part, sample in samples.items():
        portion = everyone.get(part, 0.0) / whole
        weighed, differences = [pair.weight for pair in sample], [pair.difference for pair in sample]
        mean += portion * (average(weighed, differences) or 0.0)
        users += [pair.user for pair in sample]
        parts += [portion * one / math.fsum(weighed) for one in scores(weighed, differences)]
    if many < 2:
        return Estimate(mean)
    variance = many / (many - 1) * math.fsum(amount**2 for amount in grouped(users, parts).values())
    return Estimate(mean, math.sqrt(variance), many - 1)


def psi(targets: dict[Any, float], replayed: dict[Any, float]) -> float | None:
    """How far the targets are from the replayed requests (population stability index)."""
    amounts = [(targets.get(part, 0.0), replayed.get(part, 0.0)) for part in {**targets, **replayed}]
    p, q = (math.fsum(side) for side in zip(*amounts, strict=True)) if amounts else (0.0, 0.0)
    if not p or not q or any(not one or not other for one, other in amounts):
        return None
    return math.fsum((one / p - other / q) * math.log((one / p) / (other / q)) for one, other in amounts)


def opposite(one: float | None, other: float | None) -> bool:
    """Do both have a sign, and not the same?"""
    return one is not None and other is not None and min(abs(one), abs(other)) > TIE and (one > 0) != (other > 0)


def reversals(rows: list[Row], doubts: Row, primary: str, least_users: int) -> list[tuple[str, str]]:
    """(variant, what says the opposite of its total), of the primary metric, where there are users enough for a verdict."""
    rows = [row for row in rows if row["metric"] == primary]
    total = {row["variant"]: row["difference"] for row in rows if row["segment"] is None}
    found: list[tuple[str, str]] = []
    for row in rows:
        if row["segment"] is None or row["low"] is None or row["n_users"] < least_users:
            continue
        beyond = row["low"] if row["low"] > 0 else row["high"] if row["high"] < 0 else None  # the end nearer to 0
        if opposite(beyond, total[row["variant"]]):
            found.append((row["variant"], row["segment"]["column"]))
    found += [(row["variant"], row["column"]) for row in doubts["standardised"] if row["reversal"]]
    averaged = [row for row in doubts["averages"] if row["metric"] == primary and row["changes_sign"]]
    return found + [(row["variant"], row["average"]) for row in averaged]


# --- Without one of them ---


def influence(facts: Facts, metric: str, variant: str, baseline: str, requests: list[Row]) -> list[Row]:
    """Every user and every request that adds to the difference; `moves` says how far it goes without them."""
    rows: list[Row] = []
    units: dict[str, Callable[[Row], Any]] = {
        "user": lambda one: one["user_id"],
        "request": lambda one: one["request_id"],
    }
    for unit, key in units.items():
        known: list[tuple[Any, float, float]] = []
        for request in requests:
            sample = pairs(parse(metric), facts, [request], facts.slates[variant], facts.slates[baseline])
            known += [(key(request), pair.weight, pair.difference) for pair in sample]
        whole = average([w for _, w, _ in known], [d for _, _, d in known]) if known else None
        for one in dict.fromkeys(who for who, _, _ in known):
            others = [(w, d) for who, w, d in known if who != one]
            without = average([w for w, _ in others], [d for _, d in others]) if others else None
            added = math.fsum(w * d for who, w, d in known if who == one)
            moves = math.inf if without is None or whole is None else abs(whole - without)
            if abs(added) <= TIE or moves <= TIE:
                continue
            rows.append({
                "variant": variant,
                "metric": metric,
                "unit": unit,
                "id": one,
                "requests": sum(who == one for who, _, _ in known),
                "contribution": added / math.fsum(w for _, w, _ in known),
                "difference_without": without,
                "moves": moves,
            })  # fmt: skip
    return rows
