"""MT02 single-metric."""

from __future__ import annotations

from rankcast.records import Finding
from rankcast.rules.evidence import Evidence
from rankcast.rules.rule import Rule


class SingleMetric(Rule):
    """One number can be won at the cost of everything that it does not measure: the long tail, small companies, lists of one
    kind.

    Check: the metrics of the study come from fewer families than the threshold (accuracy; beyond accuracy, such as
    diversity; exposure, such as coverage; honesty, such as empty lists). Remedy: add a guardrail of another family.
    Source: Jannach and Bauer, 2020; Chia and others, RecList, 2022.
    """

    code = "MT02"
    name = "single-metric"
    moment = "plan"
    severity = "warning"
    at = ("study", "metrics")
    good = """
# study.yaml
metrics: {primary: dcg@10, guardrails: [coverage@10]}
"""
    bad = """
# study.yaml
metrics: {primary: dcg@10, guardrails: []}
"""

    def check(self, evidence: Evidence) -> Finding:
        families: dict[str, list[str]] = {}
        for one in evidence.plan.metrics:
            families.setdefault(type(one.metric).__module__.rpartition(".")[0].rpartition(".")[2], []).append(
                str(one.metric)
            )
        told = "; ".join(f"{family}: {', '.join(names)}" for family, names in families.items())
        if len(families) < self.limit(evidence.plan, "families"):
            return self.fired(
                "warning",
                f"all metrics are of one kind: {told}",
                "add a guardrail of another, such as coverage@10, exposure_gini(by=item.company_id)@10 or list_length",
                count=len(families),
            )
        return self.passed(told, len(families))
