"""LB02 position-bias-unadjusted."""

from __future__ import annotations

import numpy as np

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule
from rankcast.rules.thresholds import LEAST


class PositionBiasUnadjusted(Rule):
    """Clicks tell where an item stood as much as how good it is. Whoever shows an item where production had it wins.

    Check: most labels are clicks, clicks per impression at rank 1 are more than the threshold times those at the last
    rank that is shown often, and no metric discounts by how far users look, nor does the log hold propensities.
    Remedy: `discount=examined`; labels that cost more than a glance; a slice of lists in random order. Source:
    Craswell and others, 2008; Joachims, Swaminathan and Schnabel, WSDM 2017.
    """

    code = "LB02"
    name = "position-bias-unadjusted"
    moment = "data"
    severity = "warning"
    at = ("study", "metrics")
    good = """
# study.yaml
metrics: {primary: dcg@10, also: [ndcg@10, "dcg(discount=examined)@10"]}
"""
    bad = """
# study.yaml
metrics: {primary: dcg@10, also: [ndcg@10]}
# service.yaml
labels: {grades: {click: 1, bookmark: null, apply: null}}
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        declared = plan.service.behaviour
        if declared is not None and declared.ranks == "unknown":
            return self.cannot(
                "the position of what was shown is unknown: `behaviour.ranks` says so",
                "log the rank of each item on the screen",
            )
        looked = found.results.behaviour
        ranks = [one for one in looked.ranks if one.shown >= LEAST] if looked is not None else []
        if looked is None or len(ranks) < 2:
            return self.cannot(
                "the positions of what was shown, or clicks on it, are not known",
                "add `tables.impressions` with its `rank`, and click events",
            )
        if not any(one.clicks for one in ranks) or not len(found.positives.grade):
            return self.cannot("no target has a relevant label", "the ledger says where they were lost")
        clicks = [
            plan.service.labels.grades[kind].grade for kind in looked.clicks if kind in plan.service.labels.grades
        ]
        by_clicks = float(np.isin(found.positives.grade, clicks).mean()) if clicks else 0.0
        first, last = ranks[0].clicks / ranks[0].shown, ranks[-1].clicks / ranks[-1].shown
        told = (
            f"{by_clicks:.0%} of the relevant items have the grade of {', '.join(looked.clicks)}; clicks per impression are "
            f"{first:.4f} at rank 1 and {last:.4f} at rank {ranks[-1].rank}"
        )
        examined = [str(one.metric) for one in plan.metrics if "examination" in one.metric.needs()]
        if examined or by_clicks <= 0.5 or first <= self.limit(plan, "ratio") * last:
            return self.passed(told + (f"; {examined[0]} allows for it" if examined else ""))
        return self.fired(
            "warning",
            told,
            "let a metric discount by how far users look (`dcg(discount=examined)@10`), or grade what takes more than a look",
            at=("study", "metrics", "primary"),
        )
