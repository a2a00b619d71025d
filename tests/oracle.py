"""The executable reading of the design: every rule as a slow, obvious loop.

Nothing here is shared with the package, so that a mistake must be made twice to go unseen. `evaluate(study)` reads the
two YAML files and the tables, and returns what `result.json` has to say about them.

`oracle_read` reads, `oracle_replay` makes lists (with `oracle_foreign` for the functions of `foreign`), `oracle_fidelity`
holds them against what was shown, `oracle_labels` says which events count and who falls out, `oracle_measure` has the
metrics, `oracle_segments` the parts and weights, `oracle_compare` the statistics, `oracle_judgement` the doubts.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

from oracle_compare import Pair, Terms, adjust, compared, decide, estimated, share, verdict
from oracle_fidelity import fidelity, lacks
from oracle_judgement import OF_LABELS, by_average, influence, judgements, reversals, standardised
from oracle_labels import Labels, Stages, late, ledger, mature
from oracle_measure import PER_VARIANT, Facts, Known, Metric, history, impressed, measure, measure_all, parse
from oracle_read import WHERE, Row, World, instant, open_world, view
from oracle_replay import replay
from oracle_segments import averages, bare, cut, weights


def select(world: World, labels: Labels) -> Stages:
    """The requests that are left after each of the four steps."""
    start, end = (instant(world.study["period"][key], world.zone) for key in ("from", "to"))
    inside = [request for request in world.requests if start <= request["timestamp"] < end]
    where = world.service["targets"].get("where")
    replayed = [request for request in inside if where is None or WHERE[where](view(world, request)) is True]
    old = replayed if world.service["labels"].get("late") == "report" else mature(world, replayed)
    labelled = old
    if world.service["targets"]["without_labels"] == "exclude":
        labelled = [request for request in old if labels.first(request["request_id"]) is not None]
    return Stages([world.requests, inside, replayed, old, labelled])


def clusters(world: World, request: Row, first: Any) -> tuple[Hashable, ...]:
    """What keeps requests together; one without a value keeps to itself."""
    ways: list[Hashable] = []
    for column in world.study.get("compare", {}).get("cluster", ["user"]):
        own = request["user_id"] if column == "user" else bare(world, request, column, first)
        ways.append(("alone", request["request_id"]) if own is None else own)
    return tuple(ways)


def roles(world: World) -> tuple[dict[str, list[str]], dict[str, float]]:
    """Canonical metrics by role, and the margins of guardrails."""
    plan = world.study["metrics"]
    names = {
        "primary": [str(parse(plan["primary"]))],
        "guardrails": [],
        "also": [str(parse(text)) for text in plan.get("also", [])],
    }
    margins: dict[str, float] = {}
    for entry in plan.get("guardrails", []):
        text, rule = next(iter(entry.items())) if isinstance(entry, dict) else (entry, {})
        names["guardrails"].append(str(parse(text)))
        if "at_most_worse" in rule:
            margins[names["guardrails"][-1]] = share(rule["at_most_worse"])
    return names, margins


def terms(world: World) -> Terms:
    plan = world.study.get("compare", {})
    return Terms(
        confidence=plan.get("confidence", 0.95),
        smallest=None if plan.get("smallest_effect") is None else share(plan["smallest_effect"]),
        method=plan.get("method", "clustered"),
        least_users=plan.get("least_users", 30),
        margins=roles(world)[1],
    )


def decided_variants(world: World) -> list[str]:
    """Those that are no reference."""
    plan = world.study
    return [name for name, entry in plan["variants"].items() if "builtin" not in entry and name != plan["baseline"]]


def judge(
    world: World, metric: Metric, base: Row, requests: list[Row], facts: Facts, how: Terms
) -> tuple[list[Row], list[Row]]:
    """One metric on some targets: a row per variant, and a row per variant held against the baseline."""
    baseline = world.study["baseline"]
    rows: list[Row] = []
    versus: list[Row] = []
    if metric.name in PER_VARIANT:
        counts = {"n_requests": len(requests), "n_users": len({request["user_id"] for request in requests})}
        measured_all = {name: measure_all(metric, world, slates, requests) for name, slates in facts.slates.items()}
        theirs = measured_all[baseline]
        for name, ours in measured_all.items():
            rows.append({"variant": name} | base | {"value": ours, "low": None, "high": None} | counts)
            row = compared([], how) | {"wins": None, "ties": None, "losses": None} | counts
            if ours is not None and theirs is not None:
                row |= {"difference": ours - theirs, "relative": (ours - theirs) / theirs if theirs else None}
            versus.append({"variant": name, "baseline": baseline} | base | row)
    else:
        measured: dict[str, list[float | None]] = {}
        for name, slates in facts.slates.items():
            ids = [request["request_id"] for request in requests]
            measured[name] = [measure(metric, slates[one], facts.known[one]) for one in ids]
        for name, values in measured.items():
            own: list[Pair] = []
            paired: list[Pair] = []
            for request, ours, theirs in zip(requests, values, measured[baseline], strict=True):
                one = request["request_id"]
                if not facts.weights[one]:
                    continue  # what weighs nothing takes no part
                rest = (request["user_id"], facts.clusters[one])
                if ours is not None:
                    own.append(Pair(facts.weights[one], ours, ours, *rest))
                if ours is not None and theirs is not None:
                    paired.append(Pair(facts.weights[one], ours, theirs, *rest))
            sides = [pair.weight for pair in own], [pair.ours for pair in own], [pair.clusters for pair in own]
            made = estimated(*sides, how)
            counts = {"n_requests": len(own), "n_users": len({pair.user for pair in own})}
            rows.append({"variant": name} | base | {"value": made.mean} | made.interval(how) | counts)
            guarded = str(metric) if name in decided_variants(world) and base["segment"] is None else None
            versus.append({"variant": name, "baseline": baseline} | base | compared(paired, how, guarded))
    return rows, [row for row in versus if row["variant"] != baseline]


def evaluate(study: Path) -> Row:
    """Everything that `result.json` must say about a study."""
    world = open_world(study)
    plan, baseline, how = world.study, world.study["baseline"], terms(world)
    labels = Labels(world)
    table = labels.table()
    stages = select(world, labels)
    replayed, chosen = stages.requests[2], stages.requests[-1]
    replays = {name: replay(world, name, replayed) for name in plan["variants"]}
    past, zero = history(world), world.service["targets"]["without_labels"] == "zero"
    known = {
        request["request_id"]: Known(table[request["request_id"]], impressed(world, request), past, world.items, zero)
        for request in chosen
    }
    first = {request["request_id"]: labels.first(request["request_id"]) for request in world.requests}
    traces = {name: made for name, (made, _) in replays.items()}
    facts = Facts(
        slates={name: {one: trace.slate for one, trace in made.items()} for name, made in traces.items()},
        known=known,
        weights=weights(world, chosen, averages(world)[0]),
        first=first,
        clusters={one["request_id"]: clusters(world, one, first[one["request_id"]]) for one in chosen},
    )

    metrics, _ = roles(world)
    every = [text for texts in metrics.values() for text in texts]
    faith = fidelity(world, traces[baseline], replayed, every, chosen, facts, how)
    values: list[Row] = []
    comparisons: list[Row] = []
    for part, requests in cut(world, chosen, first):
        for text in every:
            rows, versus = judge(world, parse(text), {"metric": text, "segment": part}, requests, facts, how)
            values += rows
            comparisons += versus

    decided = decided_variants(world)
    adjust(comparisons, decided, metrics, how)
    for row in comparisons:
        row["verdict"] = verdict(row, how)
    doubted = doubts(world, facts, metrics, decided, chosen, replayed, how)
    doubted["reversals"] = reversals(
        comparisons, doubted, metrics["primary"][0], plan.get("compare", {}).get("least_users", 30)
    )
    faithful = faith is None or faith["overlap"] >= plan.get("fidelity", {}).get("at_least", 0.9)
    return {
        "decision": {name: decide(comparisons, name, metrics, faithful) for name in decided},
        "targets": ledger(labels, stages),
        "late": late(labels, replayed),
        "steps": [row for _, rows in replays.values() for row in rows],
        "variants": [lacks(world, name, traces, replayed, chosen, table) for name in plan["variants"]],
        "fidelity": faith,
        "metrics": values,
        "comparisons": [{key: value for key, value in row.items() if key != "reference"} for row in comparisons],
    } | doubted


def doubts(
    world: World,
    facts: Facts,
    metrics: dict[str, list[str]],
    decided: list[str],
    chosen: list[Row],
    replayed: list[Row],
    how: Terms,
) -> Row:
    """What else could have come out."""
    baseline = world.study["baseline"]
    others = [name for name in world.study["variants"] if name != baseline]
    per_request = [text for texts in metrics.values() for text in texts if parse(text).name not in PER_VARIANT]
    weighty = [text for text in metrics["primary"] + metrics["guardrails"] if parse(text).name in OF_LABELS]
    primary = [text for text in metrics["primary"] if text in per_request]
    shown = any(world.impressions.values())
    made: Row = {"averages": [], "judgements": [], "standardised": [], "influence": []}
    for name in others:
        for text in per_request:
            made["averages"] += by_average(world, facts, text, name, chosen, how)
        for text in weighty if shown else []:
            made["judgements"].append(judgements(world, facts, text, name, chosen, how))
    for name in decided:
        for text in primary if chosen else []:
            made["standardised"] += standardised(world, facts, text, name, chosen, replayed, how)
            made["influence"] += influence(facts, text, name, baseline, chosen)
    return made
