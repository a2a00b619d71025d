"""CM03 baseline-untuned."""

from __future__ import annotations

from rankcast.records import Finding
from rankcast.rules.evidence import Evidence
from rankcast.rules.rule import Rule, decided_of


class BaselineUntuned(Rule):
    """Where only the new model was tuned, the gain is the tuning's.

    Check: a variant's `training.trials` over the baseline's exceeds the threshold, or the two were tuned on other
    data. Remedy: the same number of trials on the same data. Source: Ferrari Dacrema, Cremonesi and Jannach, 2019;
    Rendle, Zhang and Koren, 2019; Shehzad and Jannach, 2023.
    """

    code = "CM03"
    name = "baseline-untuned"
    moment = "plan"
    severity = "warning"
    at = ("study", "variants")
    good = """
# study.yaml
variants:
  production: {training: {trials: 40}}
  two_tower: {training: {trials: 40}}
"""
    bad = """
# study.yaml
variants:
  production: {training: {trials: 1}}
  two_tower: {training: {trials: 200}}
"""

    def check(self, evidence: Evidence) -> Finding:
        plan = evidence.plan
        trained = {one.name: one.spec.training for one in plan.variants}
        base = trained[plan.study.baseline]
        mine = {name: trained[name] for name in decided_of(plan)}
        told = {name: one.trials for name, one in mine.items() if one is not None and one.trials is not None}
        if base is None or base.trials is None or len(told) < len(mine) or not mine:
            silent = [name for name in (plan.study.baseline, *mine) if getattr(trained[name], "trials", None) is None]
            return self.cannot(
                f"nobody says how much {', '.join(silent) or 'any variant'} was tuned",
                "say in each variant how many settings were tried: `training: {trials: 40}`",
            )
        name = max(told, key=lambda one: told[one])
        shown = f"{name} was tuned with {told[name]:,} trials, {plan.study.baseline} with {base.trials:,}"
        if told[name] > self.limit(plan, "ratio") * max(base.trials, 1):
            return self.fired("warning", shown, "tune both alike", at=("study", "variants", name, "training"))
        elsewhere = [
            other
            for other, one in mine.items()
            if one is not None
            and one.tuned_on is not None
            and base.tuned_on is not None
            and one.tuned_on != base.tuned_on
        ]
        if elsewhere:
            return self.fired(
                "warning",
                f"{', '.join(elsewhere)} was tuned on other data than {plan.study.baseline}",
                "tune both on the same data",
                at=("study", "variants", elsewhere[0], "training"),
            )
        return self.passed(shown)
