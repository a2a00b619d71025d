"""CM01 production-baseline-missing."""

from __future__ import annotations

from rankcast.records import Finding
from rankcast.rules.evidence import Evidence
from rankcast.rules.rule import Rule
from rankcast.rules.thresholds import LEAST


class ProductionBaselineMissing(Rule):
    """A gain over something that users do not get says nothing about a launch.

    Check: the baseline is a builtin other than `logged` (popular, random, recent); once there is a run, whether
    fidelity says that the replayed baseline is production. Remedy: score files of production as it was. Source: the
    talk.
    """

    code = "CM01"
    name = "production-baseline-missing"
    moment = "plan"
    severity = "error"
    at = ("study", "baseline")
    good = """
# study.yaml
baseline: production
"""
    bad = """
# study.yaml
baseline: popular
treatment: [scores, candidates]
"""

    def check(self, evidence: Evidence) -> Finding:
        plan, found = evidence.plan, evidence.found
        base = next(one for one in plan.variants if one.name == plan.study.baseline)
        if base.builtin is not None and base.spec.builtin != "logged":
            small = found is not None and len(found.replayed) < LEAST
            return self.fired(
                "warning" if small else "error",
                f"the baseline {base.name} is a builtin: users do not get it",
                "take production's own scores as baseline, and keep this one as a reference",
            )
        if found is None:
            return self.cannot(
                f"whether {base.name} is what users get is not known before a run",
                "`rankcast run` holds it against the impressions",
            )
        fidelity = found.results.fidelity
        if fidelity is None or fidelity.overlap is None:
            return self.cannot(
                f"nothing proves that {base.name} is what users get", "add `tables.impressions`: what was really shown"
            )
        if fidelity.overlap < plan.study.fidelity.at_least:
            return self.cannot(
                f"{base.name} does not reproduce what was shown (overlap {fidelity.overlap:.3f})", "see rule RP02"
            )
        return self.passed(
            f"{base.name} is what users got as far as the study asks: overlap {fidelity.overlap:.3f}, bar "
            f"{plan.study.fidelity.at_least:g}",
            fidelity.requests,
            fidelity.requests,
        )
