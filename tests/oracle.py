"""The executable reading of the design: every rule as a slow, obvious loop.

Nothing here is shared with the package, so that a mistake must be made twice to go unseen. `evaluate(study)` reads the
two YAML files and the tables, and returns what `result.json` has to say about them.

`oracle_read` reads, `oracle_replay` makes lists (with `oracle_foreign` for the functions of `foreign`), `oracle_fidelity`
holds them against what was shown, `oracle_measure` has the metrics, `oracle_compare` the statistics.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from oracle_compare import adjust, compared, decide, estimate, interval, verdict
from oracle_fidelity import fidelity, lacks
from oracle_measure import PER_VARIANT, Facts, Known, Metric, history, impressed, measure, measure_all, parse
from oracle_read import LONG_AGO, WHERE, Row, World, duration, instant, open_world, view
from oracle_replay import replay


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
    traces = {name: made for name, (made, _) in replays.items()}
    slates = {name: {one: trace.slate for one, trace in made.items()} for name, made in traces.items()}
    facts = Facts(slates, known, weights(world, chosen))

    metrics = {role: plan["metrics"].get(role, []) for role in ("guardrails", "also")}
    metrics = {"primary": [plan["metrics"]["primary"]]} | metrics
    metrics = {role: [str(parse(text)) for text in texts] for role, texts in metrics.items()}
    every = [text for texts in metrics.values() for text in texts]
    faith = fidelity(world, traces[baseline], replayed, every, chosen, facts)
    values: list[Row] = []
    comparisons: list[Row] = []
    for part, requests in segments(world, chosen):
        for text in every:
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
        "variants": [lacks(world, name, traces, replayed, chosen, labels) for name in plan["variants"]],
        "fidelity": faith,
        "metrics": values,
        "comparisons": [{key: value for key, value in row.items() if key != "reference"} for row in comparisons],
    }
