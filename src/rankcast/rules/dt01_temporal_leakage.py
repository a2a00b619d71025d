"""DT01 temporal-leakage."""

from __future__ import annotations

from typing import ClassVar, Literal

from rankcast.records import Finding
from rankcast.rules.rule import Evidence, finding


class TemporalLeakage:
    """A model that was trained on what happened after a request knows the answer; its offline gain vanishes online.

    Check: a variant's `trained_until` lies after the start of the period (after the first replayed request, once there is
    one). Remedy: train on data from before the period. Source: Ji, Sun, Zhang and Li, TOIS 2023.
    """

    code: ClassVar[str] = "DT01"
    name: ClassVar[str] = "temporal-leakage"
    moment: ClassVar[Literal["plan", "result"]] = "plan"

    def check(self, evidence: Evidence) -> Finding:
        plan = evidence.plan
        start = plan.instant(plan.study.period.from_) if evidence.first_request is None else evidence.first_request
        models = [variant for variant in plan.variants if variant.decided]
        leaking = [
            f"{variant.name} (until {variant.spec.trained_until})"
            for variant in models
            if variant.spec.trained_until is not None and plan.instant(variant.spec.trained_until) > start
        ]
        if leaking:
            return finding(
                self,
                "fired",
                "error",
                f"trained on data from inside the period: {', '.join(leaking)}",
                "train on data from before the period, or move the period",
            )
        silent = [variant.name for variant in models if variant.spec.trained_until is None]
        if silent or not models:
            return finding(
                self,
                "cannot check",
                "error",
                f"no `trained_until` for {', '.join(silent) or 'any model'}",
                "say in each variant until when its training data reach: `trained_until: 2023-10-01`",
            )
        return finding(self, "passed", "error", "every model was trained on data from before the first request", "")
