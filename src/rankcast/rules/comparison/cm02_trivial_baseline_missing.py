"""CM02 trivial-baseline-missing."""

from __future__ import annotations

from rankcast.records import Finding
from rankcast.rules.evidence import Evidence
from rankcast.rules.rule import Rule, decided_of
from rankcast.rules.thresholds import LEAST


class TrivialBaselineMissing(Rule):
    """Without a floor every model looks good. Popularity, counted from before the request, beats many published models.

    Check: no variant is `popular` or `recent`; once there is a run: a variant that is better than the baseline and
    surely worse than popularity is an error, since the baseline is weaker than that. Remedy: add `popular: {builtin:
    popular, within: 28d}`. Source: Ferrari Dacrema, Cremonesi and Jannach, RecSys 2019; Ji and others, 2020.
    """

    code = "CM02"
    name = "trivial-baseline-missing"
    moment = "plan"
    severity = "error"
    at = ("study", "variants")
    good = """
# study.yaml
variants:
  popular: {builtin: popular, within: 28d}
"""
    bad = """
# study.yaml
variants:
  popular: null              # nobody knows what popularity alone would reach
"""

    def check(self, evidence: Evidence) -> Finding:
        plan, found = evidence.plan, evidence.found
        trivial = [one.name for one in plan.variants if one.spec.builtin in {"popular", "recent"}]
        if not trivial:
            return self.fired(
                "warning",
                "no variant is popularity or recency alone",
                "add `popular: {builtin: popular, within: 28d}`; it is compared, not decided",
            )
        if found is None:
            return self.passed(f"{', '.join(trivial)} says what little effort reaches")
        primary = plan.metrics[0].metric
        for name in decided_of(plan):
            for floor in trivial:
                ahead, against = found.again(name), found.again(name, against=floor)
                if ahead is None or against is None:
                    continue
                better = ahead.value > 0 if primary.higher_is_better else ahead.value < 0
                worse = against.value < 0 if primary.higher_is_better else against.value > 0
                if better and worse and against.sure:
                    return self.fired(
                        "error" if against.requests >= LEAST else "warning",
                        f"{name} is better than the baseline, but {floor} alone is better still: {-against.value:+.4g} in "
                        f"{primary}",
                        "look at the baseline: it is weaker than popularity",
                        at=("study", "variants", name),
                    )
        return self.passed(f"no variant wins that is worse than {', '.join(trivial)}")
