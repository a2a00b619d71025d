"""DT01 temporal-leakage."""

from __future__ import annotations

from rankcast.records import Finding
from rankcast.rules.evidence import Evidence
from rankcast.rules.rule import Rule


class TemporalLeakage(Rule):
    """A model that was trained on what happened after a request knows the answer. Its offline gain vanishes online, and the
    order of models becomes a matter of luck.

    Check: a variant's `trained_until` lies after the start of the period (after the first replayed request, once
    there is one). Remedy: train on data from before the period, or move the period. Source: Ji, Sun, Zhang and Li,
    TOIS 2023.
    """

    code = "DT01"
    name = "temporal-leakage"
    moment = "plan"
    severity = "error"
    at = ("study", "variants")
    good = """
# study.yaml
variants:
  two_tower: {trained_until: 2023-09-29}
"""
    bad = """
# study.yaml
variants:
  two_tower: {trained_until: 2023-10-09}     # a week of the answers
"""

    def check(self, evidence: Evidence) -> Finding:
        plan, found = evidence.plan, evidence.found
        start = plan.instant(plan.study.period.from_)
        if found is not None:
            start = int(found.logs.requests.time[found.replayed].min())
        models = [variant for variant in plan.variants if variant.decided]
        leaking = [
            variant
            for variant in models
            if variant.spec.trained_until is not None and plan.instant(variant.spec.trained_until) > start
        ]
        if leaking:
            told = ", ".join(f"{variant.name} (until {variant.spec.trained_until})" for variant in leaking)
            return self.fired(
                "error",
                f"trained on data from inside the period: {told}",
                "train on data from before the period, or move the period",
                count=len(leaking),
                of=len(models),
                at=("study", "variants", leaking[0].name, "trained_until"),
            )
        silent = [variant.name for variant in models if variant.spec.trained_until is None]
        if silent or not models:
            return self.cannot(
                f"no `trained_until` for {', '.join(silent) or 'any model'}",
                "say in each variant until when its training data reach: `trained_until: 2023-10-01`",
            )
        return self.passed("every model was trained on data from before the first request", 0, len(models))
