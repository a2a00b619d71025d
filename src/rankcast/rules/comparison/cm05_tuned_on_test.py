"""CM05 tuned-on-test."""

from __future__ import annotations

from rankcast.records import Finding
from rankcast.rules.evidence import Evidence
from rankcast.rules.rule import Rule, decided_of


class TunedOnTest(Rule):
    """Parameters, features or the moment to stop were chosen by the same days that now judge: what fits their noise wins.

    Check: `training.tuned_on` overlaps the period (an error), or begins after it (a warning: it is the future).
    Remedy: tune on days strictly before the period. Source: Sun and others, 2020; Hidasi and Czapp, RecSys 2023.
    """

    code = "CM05"
    name = "tuned-on-test"
    moment = "plan"
    severity = "error"
    at = ("study", "variants")
    good = """
# study.yaml
variants:
  two_tower: {training: {tuned_on: {from: 2023-09-01, to: 2023-09-15}}}
"""
    bad = """
# study.yaml
variants:
  two_tower: {training: {tuned_on: {from: 2023-10-02, to: 2023-10-09}}}
"""

    def check(self, evidence: Evidence) -> Finding:
        plan = evidence.plan
        start, end = plan.instant(plan.study.period.from_), plan.instant(plan.study.period.to)
        tuned = {
            one.name: one.spec.training.tuned_on
            for one in plan.variants
            if one.decided and one.spec.training is not None and one.spec.training.tuned_on is not None
        }
        inside = [
            name for name, days in tuned.items() if plan.instant(days.from_) < end and plan.instant(days.to) > start
        ]
        after = [name for name, days in tuned.items() if plan.instant(days.from_) >= end]
        if inside or after:
            name = (inside or after)[0]
            told = ", ".join(f"{one} ({tuned[one].from_} to {tuned[one].to})" for one in inside or after)
            return self.fired(
                "error" if inside else "warning",
                f"tuned on the days that judge: {told}" if inside else f"tuned on days after the period: {told}",
                "tune on days strictly before the period",
                count=len(inside or after),
                of=len(tuned),
                at=("study", "variants", name, "training", "tuned_on"),
            )
        silent = [name for name in decided_of(plan) if name not in tuned]
        if silent or not tuned:
            return self.cannot(
                f"nobody says on which days {', '.join(silent) or 'any variant'} was tuned",
                "say it: `training: {tuned_on: {from: 2023-09-01, to: 2023-09-15}}`",
            )
        return self.passed("every model was tuned on days before the period", 0, len(tuned))
