"""CA04 seen-item-policy-mismatch."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, decided_of, graver
from rankcast.rules.thresholds import FEW

_NONE = 0.001  # share below which the log shows hardly any


class SeenItemPolicyMismatch(Rule):
    """Offline lists keep what production would have hidden (posts applied to already), or hide what production shows again.

    Check: by graded kind of event, the share of shown items on which the user had such an event before, of the
    replayed baseline against the lists that were really shown (less than these only where `not_seen` hides that
    kind); and of a variant, where the log shows hardly any. Remedy: replay the same exclusion with `not_seen`.
    Source: practice.
    """

    code = "CA04"
    name = "seen-item-policy-mismatch"
    moment = "data"
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
# study.yaml
treatment: [scores, steps]
variants:
  two_tower:
    steps:             # `not_seen` is left out
      - match: {request.job_type: item.job_type}
      - match: {request.employment: item.employment}
      - available
      - where: NOT item.is_test
      - cap: {by: item.company_id, at_most: 2}
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        rows = {row.variant: row for row in found.results.shown if row.rows}
        log, base = rows.get(None), rows.get(plan.study.baseline)
        if log is None or base is None or not log.consumed or not len(found.logs.events.time):
            return self.cannot(
                "the log has no lists, or no events, to see what production shows again",
                "add `tables.impressions` and `tables.events`",
            )
        if min(log.requests, base.requests) < FEW:
            return self.cannot(
                f"{min(log.requests, base.requests):,} lists are too few to compare", "take a longer period"
            )
        gaps = []
        for kind, count in log.consumed.items():
            logged = count / log.rows
            for name in (plan.study.baseline, *decided_of(plan)):
                if name not in rows or (name != plan.study.baseline and logged >= _NONE):
                    continue
                replayed = rows[name].consumed[kind] / rows[name].rows
                if replayed >= logged or kind in _hidden(plan):
                    gaps.append((abs(replayed - logged), kind, name, replayed, logged))
        if not gaps:
            return self.passed("the replay shows no more of what users had acted on than production did", 0, base.rows)
        gap, kind, name, replayed, logged = max(gaps)
        told = (
            f"{replayed:.2%} of the items that {name} shows had `{kind}` by the same user before, {logged:.2%} of those "
            "really shown"
        )
        if gap <= self.limit(plan, "gap"):
            return self.passed(told, rows[name].consumed[kind], rows[name].rows)
        return self.fired(
            graver(gap, self.limit(plan, "gap"), rows[name].requests),
            told,
            f"replay the same exclusion: `not_seen: {{events: [{kind}]}}`"
            if replayed > logged
            else "production shows them again: loosen `not_seen`",
            count=rows[name].consumed[kind],
            of=rows[name].rows,
        )


def _hidden(plan: Plan) -> set[str]:
    """The kinds of events after which a step hides an item."""
    steps = [one.step for variant in plan.variants if variant.name == plan.study.baseline for one in variant.steps]
    return {kind for step in steps if step.kind == "not_seen" for kind in step.events or plan.service.labels.grades}
