"""Fidelity over all shards: how far the replay can be believed, where it differs from the log, and what may be the cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rankcast.comparison.table import Part, ValuesTable, measurable
from rankcast.experiment.merge import by_request
from rankcast.experiment.shard import Outcome, Work
from rankcast.records import (
    AgainstLog,
    Fidelity,
    MismatchExample,
    PartFidelity,
    StepOverlap,
    Suspect,
)
from rankcast.replay.fidelity.mismatches import Mismatches
from rankcast.replay.fidelity.probes import CLOCKS
from rankcast.replay.reproduce import Trace
from rankcast.stats.clustered import clustered_mean
from rankcast.tables.logs import Bools, Floats, Ids

CLEARLY = 0.02  # a probe that brings so much more overlap is told
REGULARLY = 4.0  # or more than so many standard errors
BETTER_WITHOUT = 0.001  # a step whose removal brings so much is told
EXPLAINS = 0.1  # a wrong clock explains at least so much of what differs
MOST_SUSPECTS = 5


def hold_against_log(
    work: Work, done: Sequence[Outcome], parts: Sequence[Part], table: ValuesTable, confidence: float
) -> Fidelity | None:
    """Agreement of the baseline with the impressions, over requests that have one; None without any.

    `parts` are parts of the replayed requests in order of request_id.
    """
    traces = [outcome.replays[work.baseline].trace for outcome in done]
    measured = _measured(done, traces)
    if not measured.any():
        return None
    overlap, exact = _column(done, traces, "overlap"), _column(done, traces, "exact")
    rbo = _column(done, traces, "rbo")
    without = _means(done, traces, "without", measured)
    mean = float(overlap[measured].mean())
    found = _mismatches(traces)
    return Fidelity(
        variant=work.baseline,
        requests=int(measured.sum()),
        overlap=mean,
        exact=float(exact[measured].mean()),
        **{
            name: _mean(_column(done, traces, name)[measured])
            for name in ("rbo", "rbo_low", "rbo_high", "kendall_tau", "rank_mae")
        },
        without_step=without,
        by_step=tuple(
            StepOverlap(step=step, overlap=value) for step, value in _means(done, traces, "after", measured).items()
        ),
        by=tuple(
            PartFidelity(
                segment=part.segment,
                requests=int(mask.sum()),
                overlap=float(overlap[mask].mean()),
                exact=float(exact[mask].mean()),
                rbo=float(rbo[mask].mean()),
            )
            for part in parts
            if part.segment is not None and (mask := part.mask & measured).any()
        ),
        mismatches=dict(sorted(found.counts.items())),
        examples=_examples(found, work.logs.ids),
        suspects=_suspects(traces, without, mean, int(measured.sum())),
        replayed_against_logged=_against_log(work, done, table, confidence),
    )


def _measured(done: Sequence[Outcome], traces: Sequence[Trace | None]) -> Bools:
    parts = [
        np.zeros(len(outcome.requests), dtype=bool) if trace is None else trace.agreement.measured
        for outcome, trace in zip(done, traces, strict=True)
    ]
    return by_request(done, parts)


def _column(done: Sequence[Outcome], traces: Sequence[Trace | None], name: str) -> Floats:
    """A figure of every replayed request, in order of request_id; NaN where a shard measured nothing."""
    parts = [
        np.full(len(outcome.requests), np.nan) if trace is None else getattr(trace.agreement, name).astype(np.float64)
        for outcome, trace in zip(done, traces, strict=True)
    ]
    return by_request(done, parts)


def _means(done: Sequence[Outcome], traces: Sequence[Trace | None], name: str, measured: Bools) -> dict[str, float]:
    """The mean overlap of each entry of `after` or `without`; left out where it could not be found everywhere."""
    first: Mapping[str, Floats] = next(getattr(one.agreement, name) for one in traces if one is not None)
    means = {}
    for step in first:
        parts = [
            np.full(len(outcome.requests), np.nan) if trace is None else getattr(trace.agreement, name)[step]
            for outcome, trace in zip(done, traces, strict=True)
        ]
        values = by_request(done, parts)[measured]
        if not np.isnan(values).any():
            means[step] = float(values.mean())
    return means


def _mean(values: Floats) -> float | None:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None


def _mismatches(traces: Sequence[Trace | None]) -> Mismatches:
    whole = Mismatches({}, {})
    for trace in traces:
        if trace is not None:
            whole = whole.plus(trace.mismatches)
    return whole


def _examples(found: Mismatches, ids: Ids) -> tuple[MismatchExample, ...]:
    return tuple(
        MismatchExample(
            reason=reason,
            request_id=ids.requests[request],
            item_id=None if item < 0 else ids.items[item],
            rank=None if item < 0 else rank,
        )
        for reason in sorted(found.examples)
        for request, item, rank in found.examples[reason]
    )


def _suspects(
    traces: Sequence[Trace | None], without: Mapping[str, float], overlap: float, requests: int
) -> tuple[Suspect, ...]:
    """What production probably does otherwise, the likeliest first."""
    found = [
        Suspect(what=f"without the step `{step}`", overlap=value, before=overlap, requests=requests)
        for step, value in without.items()
        if value > overlap + BETTER_WITHOUT
    ]
    probed = [trace.probed for trace in traces if trace is not None and trace.probed is not None]
    if probed:
        order = np.argsort(np.concatenate([one.requests for one in probed]), kind="stable")
        before = np.concatenate([one.before for one in probed])[order]
        after = np.concatenate([one.after for one in probed])[order]
        closest: Suspect | None = None  # of all clocks, only the one that fits best
        for name, values in zip(probed[0].names, after.T, strict=True):
            known = ~np.isnan(values)
            if not known.any() or not _clearly((values - before)[known]):
                continue
            one = Suspect(
                what=f"with {name}",
                overlap=float(values[known].mean()),
                before=float(before[known].mean()),
                requests=int(known.sum()),
            )
            if not name.endswith(CLOCKS):
                found.append(one)
            elif one.overlap - one.before > EXPLAINS * (1 - one.before):
                closest = one if closest is None or one.overlap > closest.overlap else closest
        found += [closest] if closest else []
    return tuple(sorted(found, key=lambda one: (-(one.overlap - one.before), one.what))[:MOST_SUSPECTS])


def _clearly(gain: Floats) -> bool:
    """Whether a probe brings more overlap: much, or too regularly for chance."""
    mean = float(gain.mean())
    if mean > CLEARLY:
        return True
    error = float(gain.std(ddof=1)) / len(gain) ** 0.5 if len(gain) > 1 else np.inf
    return mean > BETTER_WITHOUT and mean > REGULARLY * error


def _against_log(work: Work, done: Sequence[Outcome], table: ValuesTable, confidence: float) -> tuple[AgainstLog, ...]:
    """Every metric that has a value per request: the replayed baseline against the lists that were shown."""
    if not all(outcome.logged for outcome in done):
        return ()
    order = np.argsort(np.concatenate([outcome.targets for outcome in done]), kind="stable")
    rows = []
    for metric in table.metrics:
        if metric.values is None:
            continue
        replayed = metric.values[work.baseline]
        logged = np.concatenate([outcome.logged[metric.name] for outcome in done])[order]
        kept = measurable(replayed, logged) & (table.weight > 0)
        weight, user = table.weight[kept], table.user[kept]
        ours, theirs = (clustered_mean(values[kept], weight, user) for values in (replayed, logged))
        difference = clustered_mean(replayed[kept] - logged[kept], weight, user)
        low, high = difference.interval(confidence)
        rows.append(
            AgainstLog(
                metric=metric.name,
                replayed=ours.value,
                logged=theirs.value,
                difference=difference.value,
                low=low,
                high=high,
                n_requests=difference.n,
                n_users=difference.clusters,
            )
        )
    return tuple(rows)
