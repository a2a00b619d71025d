"""What to test next: studies that wait, by what they would gain and what a test of them would teach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log1p

from rankcast.config.difference import proposed
from rankcast.errors import RunError
from rankcast.evaluate.grammar import parse
from rankcast.experiment.past import Record
from rankcast.history.forecasting import Candidate, Oracle, Worth
from rankcast.history.memory import Tried
from rankcast.history.offline import numbers_of
from rankcast.history.pairing import metrics_of
from rankcast.history.panel import Wanted, history_of
from rankcast.records.history import Forecast
from rankcast.runs.folder import Run
from rankcast.runs.store import Store
from rankcast.runs.summary import Summary


@dataclass(frozen=True)
class Waiting:
    """A variant that was evaluated and not tested online."""

    study: str
    run: str
    variant: str
    decision: str
    forecast: Forecast
    worth: Worth | None


def ranked(store: Store, record: Record, online: str | None, wanted: Wanted, smallest: float | None) -> list[Waiting]:
    """Every waiting variant: fit ones first, by expected gain; those of which nothing can be foretold last."""
    oracles: dict[tuple[str, str], Oracle] = {}
    found = []
    for short, run in waiting(store, record):
        plan = run.manifest["plan"]["study"]
        goal = online or (plan.get("online") or {}).get("metric") or next(iter(metrics_of(record.tests)[0]), "")
        metric = short.primary
        worse = record.worse | less_is_better(metric)
        if (metric, goal) not in oracles:
            one = Wanted((goal,), (metric,), worse, wanted.confidence, wanted.seed, wanted.bar)
            oracles[metric, goal] = Oracle(history_of(record.tests, one).links[0])
        oracle = oracles[metric, goal]
        for variant, decision in short.decision.items():
            change = numbers_of(run.results.comparisons, variant, plan["compare"]["confidence"]).get(metric)
            if change is None:
                continue
            candidate = Candidate(variant, change.negated() if metric in worse else change)
            found.append(
                Waiting(
                    short.study,
                    short.run,
                    variant,
                    decision,
                    oracle.forecast(candidate, smallest),
                    oracle.worth(candidate),
                )
            )
    return sorted(
        found, key=lambda one: (one.decision == "invalid", one.worth is None, -(one.worth.gain if one.worth else 0))
    )


def less_is_better(metric: str) -> frozenset[str]:
    """The metric, where less of it is better; metrics that are not ours are taken for better when higher."""
    try:
        return frozenset() if parse(metric, private=False).higher_is_better else frozenset({metric})
    except Exception:  # noqa: BLE001 - a name that somebody gave to a column
        return frozenset()


def newest(store: Store) -> list[Summary]:
    """The newest run of every study."""
    found = {short.study: short for short in sorted(store.find(), key=lambda one: one.started)}
    return list(found.values())


def waiting(store: Store, record: Record) -> Iterator[tuple[Summary, Run]]:
    """The newest run of every study that no past test names."""
    tested = {one.study for one in record.tests} | {one.run for one in record.tests}
    for short in newest(store):
        run = None if tested & {short.study, short.run} else store.get(short.study, short.run)
        if run is not None:
            yield short, run


def tried_offline(store: Store, record: Record) -> dict[str, tuple[float, ...]]:
    """By metric, the log-ratio of every variant of a study that no past test names, of its newest run."""
    found: dict[str, list[float]] = {}
    for short, _ in waiting(store, record):
        for one in short.changes:
            if one.variant in short.decision and one.relative is not None and one.relative > -1:
                found.setdefault(one.metric, []).append(log1p(one.relative))
    return {metric: tuple(values) for metric, values in found.items()}


def remembered(store: Store, record: Record) -> list[Tried]:
    """Studies that never went online: what they were, and what offline said."""
    found = []
    for short, run in waiting(store, record):
        try:
            plan = run.manifest["plan"]
        except RunError:
            continue
        change = proposed(plan)
        outcomes = [f"{name}: {decision} offline, not tested online" for name, decision in short.decision.items()]
        found.append(
            Tried(
                short.study,
                short.started[:10],
                tuple(plan["study"]["treatment"]),
                (*change.of("treatment"), *change.of("outside")),
                tuple(outcomes),
                None,
                plan["study"].get("why"),
                short.run,
            )
        )
    return found
