"""The oracle compares lists: the replayed baseline against what was really shown, and what each variant lacks."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations, pairwise
from typing import Any

from oracle_compare import Pair, Terms, average, compared
from oracle_measure import PER_VARIANT, Facts, measure, parse
from oracle_read import Row, World, is_open, once
from oracle_replay import Trace, batches, pins, ranked, trace
from oracle_segments import title, value

P = 0.9


# --- Two lists, each without repeated items ---


def overlap(one: list[Any], other: list[Any]) -> float:
    longer = max(len(one), len(other))
    return len(set(one) & set(other)) / longer if longer else 1.0


def shared(one: list[Any], other: list[Any]) -> list[int]:
    """X_0, X_1, ... X_l: how many items the first d of each have in common; the shorter list just ends."""
    return [len(set(one[:depth]) & set(other[:depth])) for depth in range(max(len(one), len(other)) + 1)]


def rbo(one: list[Any], other: list[Any], p: float = P) -> float:
    """Rank-biased overlap, extrapolated (Webber, Moffat and Zobel 2010, equation 32)."""
    s, l = sorted((len(one), len(other)))  # noqa: E741
    if not s:
        return 0.0
    x = shared(one, other)
    seen = math.fsum(x[d] / d * p**d for d in range(1, l + 1))
    unseen = math.fsum(x[s] * (d - s) / (s * d) * p**d for d in range(s + 1, l + 1))
    return (1 - p) / p * (seen + unseen) + ((x[l] - x[s]) / l + x[s] / s) * p**l


def rbo_low(one: list[Any], other: list[Any], p: float = P) -> float:
    """What it would be if the lists went on without any further item in common."""
    x = shared(one, other)
    l = len(x) - 1  # noqa: E741
    return (1 - p) / p * (math.fsum((x[d] - x[l]) * p**d / d for d in range(1, l + 1)) - x[l] * math.log(1 - p))


def rbo_high(one: list[Any], other: list[Any], p: float = P) -> float:
    """What it would be if they went on with as many items in common as can be."""
    s, l = sorted((len(one), len(other)))  # noqa: E741
    x = shared(one, other)
    total = 0.0
    for d in range(1, 2000):  # 0.9 ** 2000 is nothing
        most = x[d] + max(0, d - s) if d <= l else min(d, x[l] + 2 * d - s - l)
        total += most / d * p**d
    return (1 - p) / p * total


def kendall_tau(one: list[Any], other: list[Any]) -> float | None:
    pairs = list(combinations([item for item in one if item in other], 2))
    if not pairs:
        return None
    concordant = sum(other.index(first) < other.index(second) for first, second in pairs)
    return (concordant - (len(pairs) - concordant)) / len(pairs)


def rank_mae(one: list[Any], other: list[Any]) -> float | None:
    apart = [abs(one.index(item) - other.index(item)) for item in one if item in other]
    return sum(apart) / len(apart) if apart else None


def mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


# --- The baseline against what was shown ---


def logged(world: World, request: Row) -> list[Any]:
    """What the client received by the log: the first `served` places, each item once."""
    return once(world.impressions[request["request_id"]][: world.served[world.study["baseline"]]])


def items(slate: list[tuple[Any, float | None]], served: int) -> list[Any]:
    return once([item for item, _ in slate[:served]])


def why_shown(world: World, request: Row, made: Trace, item: Any) -> str:
    """Why the replay does not have an item that was shown: the first reason that applies."""
    baseline = world.study["baseline"]
    known = [[one for one, _ in stage] for stage in made.lists]
    if baseline in world.scores:
        scores, found = world.scores[baseline], batches(world, baseline, request)
        if request[scores.key] in scores.rows and not found:
            return "shown_no_batch"
        if item not in known[0] and any(row["item_id"] == item for batch in found[1:] for row in batch):
            return "shown_in_older_batch"
    if item not in known[0]:
        return "shown_not_scored"
    if item in known[-1]:
        return "below_cut"
    last = max(place for place, stage in enumerate(known) if item in stage)
    return f"removed_by:{world.steps[baseline][last].name}"


def why_not_shown(world: World, request: Row, place: int, item: Any, shown: list[Any]) -> str:
    """Why the log does not have an item that the replay puts at a place (from 0)."""
    steps = world.steps[world.study["baseline"]]
    if any(step.key == "pin" and item in pins(step.rule, request).values() for step in steps):
        return "not_shown:pinned"
    if "availability" in world.service["tables"] and not is_open(world, item, request["timestamp"]):
        return "not_shown:unavailable"
    return "not_shown:beyond_log" if place >= len(shown) else "not_shown:other"


def mismatches(world: World, traces: dict[Any, Trace], measured: list[Row]) -> dict[str, int]:
    reasons: Counter[str] = Counter()
    for request in measured:
        made = traces[request["request_id"]]
        replayed, shown = once(made.slate), logged(world, request)
        rows = world.impressions[request["request_id"]][: world.served[world.study["baseline"]]]
        reasons["shown_twice"] += len(rows) - len(shown)
        reasons.update(why_shown(world, request, made, item) for item in shown if item not in replayed)
        for place, item in enumerate(replayed):
            if item not in shown:
                reasons[why_not_shown(world, request, place, item, shown)] += 1
    return {reason: count for reason, count in reasons.items() if count}


def by_step(world: World, traces: dict[Any, Trace], measured: list[Row]) -> list[Row]:
    """How near the list is to what was shown before any step, and after each."""
    baseline = world.study["baseline"]
    rows: list[Row] = []
    for place, name in enumerate(["candidates", *(step.name for step in world.steps[baseline])]):
        lists = [(request, traces[request["request_id"]].lists[place]) for request in measured]
        near = [overlap(items(slate, world.served[baseline]), logged(world, request)) for request, slate in lists]
        rows.append({"step": name, "overlap": mean([*near])})
    return rows


def without_step(world: World, measured: list[Row]) -> dict[str, float | None]:
    """How near it is when one step is left out and the others run as before."""
    baseline = world.study["baseline"]
    steps, served = world.steps[baseline], world.served[baseline]
    without: dict[str, float | None] = {}
    for place, step in enumerate(steps):
        others = steps[:place] + steps[place + 1 :]
        near = []
        for request in measured:
            made = trace(world, others, request, ranked(world, baseline, request), served)
            near.append(overlap(once(made.slate), logged(world, request)))
        without[step.name] = mean([*near])
    return without


def by_segment(world: World, slates: dict[Any, list[Any]], measured: list[Row], first: dict[Any, Any]) -> list[Row]:
    """The main figures for each value of the study's segments, and for each local day."""
    groups: dict[tuple[str, Any], list[Row]] = {}
    entries = [entry for entry in world.study.get("segments", []) if entry != "day"]
    for entry in [*entries, "day"]:
        for request in measured:
            own = value(world, request, entry, first.get(request["request_id"]))
            groups.setdefault((title(entry), own), []).append(request)
    rows = []
    for (column, own), requests in groups.items():
        pairs = [(slates[request["request_id"]], logged(world, request)) for request in requests]
        rows.append({
            "segment": {"column": column, "value": own},
            "requests": len(requests),
            "overlap": mean([overlap(*pair) for pair in pairs]),
            "exact": mean([float(one == other) for one, other in pairs]),
            "rbo": mean([rbo(*pair) for pair in pairs]),
        })  # fmt: skip
    return rows


def replayed_against_logged(
    world: World, metrics: list[str], targets: list[Row], facts: Facts, terms: Terms
) -> list[Row]:
    """The A/A check: each metric of the replayed lists against the same metric of the logged ones."""
    slates = facts.slates[world.study["baseline"]]
    rows: list[Row] = []
    for metric in map(parse, metrics):
        pairs: list[Pair] = []
        for request in targets:
            one = request["request_id"]
            if metric.name in PER_VARIANT or not world.impressions[one]:
                continue
            replayed = measure(metric, slates[one], facts.known[one])
            shown = measure(metric, logged(world, request), facts.known[one])
            if replayed is not None and shown is not None and facts.weights[one]:
                pairs.append(Pair(facts.weights[one], replayed, shown, request["user_id"], (request["user_id"],)))
        row = compared(pairs, Terms(terms.confidence))
        ours = average([pair.weight for pair in pairs], [pair.ours for pair in pairs])
        means = {"replayed": ours, "logged": row["reference"]}
        kept = ("difference", "low", "high", "n_requests", "n_users")
        if metric.name not in PER_VARIANT:
            rows.append({"metric": str(metric)} | means | {key: row[key] for key in kept})
    return rows


def fidelity(
    world: World,
    traces: dict[Any, Trace],
    replayed: list[Row],
    metrics: list[str],
    targets: list[Row],
    facts: Facts,
    terms: Terms,
) -> Row | None:
    """How closely the replayed lists of the baseline match those that were shown; nothing where none was."""
    measured = [request for request in replayed if world.impressions[request["request_id"]]]
    if not measured:
        return None
    slates = {one: once(made.slate) for one, made in traces.items()}
    pairs = [(slates[request["request_id"]], logged(world, request)) for request in measured]
    return {
        "variant": world.study["baseline"],
        "requests": len(measured),
        "overlap": mean([overlap(*pair) for pair in pairs]),
        "exact": mean([float(one == other) for one, other in pairs]),
        "rbo": mean([rbo(*pair) for pair in pairs]),
        "rbo_low": mean([rbo_low(*pair) for pair in pairs]),
        "rbo_high": mean([rbo_high(*pair) for pair in pairs]),
        "kendall_tau": mean([kendall_tau(*pair) for pair in pairs]),
        "rank_mae": mean([rank_mae(*pair) for pair in pairs]),
        "without_step": without_step(world, measured),
        "by_step": by_step(world, traces, measured),
        "mismatches": mismatches(world, traces, measured),
        "by": by_segment(world, slates, measured, facts.first),
        "replayed_against_logged": replayed_against_logged(world, metrics, targets, facts, terms),
    }


# --- What a variant lacks ---


def lacks(
    world: World,
    name: str,
    replays: dict[str, dict[Any, Trace]],
    replayed: list[Row],
    targets: list[Row],
    labels: dict[Any, dict[Any, float]],
) -> Row:
    """Labelled items out of a variant's reach, and lists that are shorter than they should be."""
    row: Row = {"variant": name, "positives": 0, "positives_outside": 0, "short": 0, "cut_short": 0}
    for request in targets:
        reach = [item for item, _ in replays[name][request["request_id"]].lists[0]]
        good = [item for item, grade in labels[request["request_id"]].items() if grade > 0]
        row["positives"] += len(good)
        row["positives_outside"] += sum(item not in reach for item in good)
    for request in replayed:
        one = request["request_id"]
        made = replays[name][one]
        if len(made.slate) >= world.served[name]:
            continue
        row["short"] += 1
        stages = [{item for item, _ in stage} for stage in made.lists]
        removed = any(before - after for before, after in pairwise(stages))
        known = max(len(replays[world.study["baseline"]][one].slate), len(logged(world, request)))
        row["cut_short"] += removed and known > len(made.slate)
    return row
