"""RP01 postprocess-not-replayed."""

from __future__ import annotations

from rankcast.records import Finding
from rankcast.rules.evidence import Evidence
from rankcast.rules.rule import WITH_STEP, Rule, gain_over_all
from rankcast.rules.thresholds import FEW, LEAST


class PostprocessNotReplayed(Rule):
    """Users never see the raw ranking. Where production's filters are not replayed, the lists that are judged are lists that
    nobody saw, and a model that ranks closed or filtered posts well wins.

    Check: the baseline has other steps than `production.steps`, or in another order; once there is a run: a step that
    the tables suggest and the service file does not have brings the replayed baseline closer to what was shown, over
    all requests by more than the thresholds. Effect: the overlap with and without it. Remedy: write production's
    steps, in production's order. Source: Goda, a talk on Wantedly's offline evaluation, 2023.
    """

    code = "RP01"
    name = "postprocess-not-replayed"
    moment = "plan"
    severity = "error"
    at = ("service", "production", "steps")
    good = """
# service.yaml
production:
  steps:
    - match: {request.job_type: item.job_type}
    - match: {request.employment: item.employment}
    - available
    - not_seen: {events: [apply], within: 365d}
    - where: NOT item.is_test
    - cap: {by: item.company_id, at_most: 2}
"""
    bad = """
# service.yaml
production:
  steps:                 # the filter of employment is forgotten
    - match: {request.job_type: item.job_type}
    - available
    - not_seen: {events: [apply], within: 365d}
    - where: NOT item.is_test
    - cap: {by: item.company_id, at_most: 2}
# study.yaml
fidelity: {at_least: 0.8}    # low enough to hide it
"""

    def check(self, evidence: Evidence) -> Finding:
        plan, found = evidence.plan, evidence.found
        base = next(one for one in plan.variants if one.name == plan.study.baseline)
        if base.spec.steps is not None:
            theirs = [(one.kind, one.argument) for one in plan.service.production.steps]
            if [(one.kind, one.argument) for one in base.steps] != theirs:
                return self.fired(
                    "error",
                    f"the baseline {base.name} has other steps than production: it is not what users get",
                    "leave `steps` out of the baseline; a variant may have its own",
                    at=("study", "variants", base.name, "steps"),
                )
        names = [one.name for one in base.steps]
        if found is None:
            if not names:
                return self.cannot(
                    "production has no steps: nothing says what stands between a score and the user's eye",
                    "write them in `production.steps`; a run holds them against what was shown",
                )
            return self.passed(f"the baseline runs production's steps: {', '.join(names)}", len(names), len(names))
        fidelity = found.results.fidelity
        if fidelity is None or fidelity.overlap is None:
            return self.cannot(
                "no list that was really shown says which steps production has",
                "add `tables.impressions`: request_id, item_id, rank",
            )
        suspects = [one for one in fidelity.suspects if one.what.startswith(WITH_STEP)]
        best = max(suspects, key=lambda one: gain_over_all(one, fidelity), default=None)
        gain = 0.0 if best is None else gain_over_all(best, fidelity)
        if best is not None and gain > self.limit(plan, "warn") and fidelity.requests >= FEW:
            return self.fired(
                "error" if gain > self.limit(plan, "error") and fidelity.requests >= LEAST else "warning",
                f"the replay comes closer {best.what}: overlap {best.before:.3f} to {best.overlap:.3f} over {best.requests:,} "
                f"requests that differ, about {gain:.3f} over all",
                "add that step where production has it",
                count=len(suspects),
                of=len(fidelity.suspects),
            )
        told = (
            f"steps {', '.join(names) or 'none'}; no step that the tables suggest brings the replay closer to the log"
        )
        return self.passed(told, 0, fidelity.requests)
