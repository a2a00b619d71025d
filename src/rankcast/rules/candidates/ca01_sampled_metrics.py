"""CA01 sampled-metrics."""

from __future__ import annotations

import numpy as np

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule
from rankcast.rules.thresholds import LEAST
from rankcast.tables.logs import Ints

_MANY = 20  # candidates below which nobody calls it a sample


class SampledMetrics(Rule):
    """Where relevant items are ranked among a handful of sampled ones, metrics are inconsistent with those of the full
    ranking: the order of models can turn round.

    Check: the median target has fewer candidates than half of the items that were open then, and the replayed
    baseline does not reproduce what was shown (fidelity below its bar, or not measured). It is an error where the
    candidates bear the marks of a sample: twenty or more, the same number, or one more or less, for nearly all
    targets, and every relevant item among them. Remedy: all items that could have been shown, or production's own
    candidates. Source: Krichene and Rendle, KDD 2020; Cañamares and Castells, SIGIR 2020.
    """

    code = "CA01"
    name = "sampled-metrics"
    moment = "data"
    severity = "error"
    at = ("service", "production", "candidates")
    good = """
# service.yaml
production: {candidates: scored}
# data: the score files hold production's own candidates
"""
    bad = """
# study.yaml
metrics: {also: [ndcg@10]}
# service.yaml
tables: {impressions: null}        # nothing says what production showed
# data: the score files hold each relevant item and sampled others, fifty for each request
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        logs = found.logs
        base = next((row for row in found.results.variants if row.variant == plan.study.baseline), None)
        if base is None or not base.requests or not base.candidates:
            return self.cannot("the baseline has no candidates", "add scores of the baseline")
        sizes = found.candidates[np.isin(found.replayed, found.targets) & (found.candidates > 0)]
        if not len(sizes):
            return self.cannot("no target has candidates", "add scores of the baseline for the requests that count")
        each, fidelity = float(np.median(sizes)), found.results.fidelity
        if fidelity is not None and fidelity.overlap is not None and fidelity.overlap >= plan.study.fidelity.at_least:
            told = f"about {each:,.0f} candidates a request, which reproduce what was shown (overlap {fidelity.overlap:.3f})"
            return self.passed(told, base.candidates, base.requests)
        if not len(logs.items.known) or not (logs.items.known.any() or len(logs.intervals.item)):
            return self.cannot(
                "nobody can tell how many items there were", "add `tables.items`, and `tables.availability`"
            )
        there = _open(found)
        told = f"about {each:,.0f} candidates a request, of {there:,.0f} items that could have been shown"
        if each >= self.limit(plan, "share") * there:
            return self.passed(told, base.candidates, base.requests)
        sampled = each >= _MANY and _even(sizes) and base.positives >= LEAST and not base.positives_outside
        if sampled:
            told += "; every relevant item is among them, and each target has as many"
        return self.fired(
            "error" if sampled else "warning",
            f"{told}, and {_unproven(found)}",
            "rank all items that could have been shown, or production's own candidates; impressions prove that they are",
            count=round(each),
            of=round(there),
        )


def _unproven(found: Found) -> str:
    fidelity = found.results.fidelity
    if fidelity is None or fidelity.overlap is None:
        return "no list that was shown says that production chose them"
    return f"the replay does not reproduce what was shown (overlap {fidelity.overlap:.3f})"


def _open(found: Found) -> float:
    """How many items were open at the median replayed request; without availability, all that are known."""
    logs = found.logs
    if not len(logs.intervals.item):
        return float(logs.items.known.sum())
    times = logs.requests.time[found.replayed]
    opened = np.searchsorted(np.sort(logs.intervals.open), times, side="right")
    closed = np.searchsorted(np.sort(logs.intervals.close), times, side="right")
    return float(np.median(opened - closed))


def _even(sizes: Ints) -> bool:
    """Whether nearly all have the same number of candidates, or one more or less."""
    return bool((np.abs(sizes - np.median(sizes)) <= 1).mean() >= 0.9)
