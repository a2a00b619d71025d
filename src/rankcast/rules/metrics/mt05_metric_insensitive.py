"""MT05 metric-insensitive."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, decided_of, primary_rows


class MetricInsensitive(Rule):
    """A metric that is the same for nearly every request sees little of what changes, and a few requests carry the verdict.

    Check: share of targets whose primary difference is zero, above the threshold. Remedy: a finer metric (dcg instead
    of hit), a deeper cut-off, or the requests that changed alone. Source: practice.
    """

    code = "MT05"
    name = "metric-insensitive"
    moment = "result"
    severity = "warning"
    at = ("study", "metrics", "primary")
    good = """
# study.yaml
metrics: {primary: dcg@10}
"""
    bad = """
# study.yaml
metrics: {primary: "hit(level=4)@1"}
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        rows = primary_rows(plan, found, decided_of(plan))
        known = [row for row in rows if row.ties is not None and row.n_requests]
        if not known:
            return self.cannot(
                "there is no primary metric with a value per request, or no target", "look at the ledger"
            )
        worst = max(known, key=lambda row: (row.ties or 0) / row.n_requests)
        same = worst.ties or 0
        told = (
            f"{worst.variant}: {worst.metric} is the same for {same:,} of {worst.n_requests:,} targets "
            f"({same / worst.n_requests:.1%})"
        )
        if same <= self.limit(plan, "most") * worst.n_requests:
            return self.passed(told, same, worst.n_requests)
        return self.fired(
            "warning",
            told,
            "take a finer metric, or look at the requests that changed alone",
            count=same,
            of=worst.n_requests,
        )
