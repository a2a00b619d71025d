"""LB06 label-kpi-mismatch."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import DEEPER, Found
from rankcast.rules.goal import kpi_kinds
from rankcast.rules.rule import Rule, decided_of, effect_of, strongest


class LabelKpiMismatch(Rule):
    """The label is a click, the goal is an application. A model that earns clicks may cost applications.

    Check: `online.events` (or else the graded kinds that `online.metric` names) are not graded, or not the best
    grade; and the primary difference on labels of these kinds alone has the other sign: an error. Effect: that
    difference. Remedy: grade the events that the online metric counts highest; an easier label only beside them.
    Source: Goda, a talk on Wantedly's offline evaluation, 2023; Hayashi, Goda and Saito, RecSys 2025, on labels in
    between.
    """

    code = "LB06"
    name = "label-kpi-mismatch"
    moment = "result"
    severity = "error"
    at = ("study", "online")
    good = """
# study.yaml
online: {metric: applications_per_user, events: [apply]}
# service.yaml
labels: {grades: {click: 1, bookmark: 2, apply: 4}}
"""
    bad = """
# study.yaml
online: {metric: applications_per_user, events: [apply]}
# service.yaml
labels: {grades: {click: 1, bookmark: 1, apply: 1}}
# data: two_tower earns clicks and loses applications
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        online, grades = plan.study.online, plan.service.labels.grades
        if online is None:
            return self.cannot(
                "the study names no online metric",
                "say `online: {metric: ..., events: [...]}`: which events the goal counts",
            )
        kinds = kpi_kinds(plan, found.logs.events.kinds)
        if not kinds:
            return self.cannot(
                f"nothing says which events `{online.metric}` counts",
                f"say `online: {{metric: {online.metric}, events: [...]}}`",
            )
        unknown = [kind for kind in kinds if kind not in found.logs.events.kinds]
        if len(unknown) == len(kinds):
            return self.cannot(
                f"the log has no event of the kind {', '.join(unknown)}",
                "name the kinds as the log does: `online: {events: [...]}`",
            )
        missing = [kind for kind in kinds if kind not in grades or grades[kind].grade <= 0]
        graded = ", ".join(f"{kind} {one.grade:g}" for kind, one in grades.items())
        effects = [
            one
            for name in decided_of(plan)
            for one in [effect_of(found, name, found.again(name, metric=DEEPER) if DEEPER in found.shadows else None)]
            if one is not None
        ]
        shown = "".join(f"; on it alone the difference of {one.variant} is {one.without:+.4g}" for one in effects)
        if missing:
            return self.fired(
                "warning",
                f"{online.metric} counts {', '.join(missing)}, which has no grade (graded: {graded}){shown}",
                f"grade it: `labels: {{grades: {{{missing[0]}: ...}}}}`, above the easier ones",
                count=len(missing),
                of=len(kinds),
                effect=strongest(effects),
                without="on it alone",
                at=("service", "labels", "grades"),
            )
        against = strongest([one for one in effects if one.overturns])
        best = max(one.grade for one in grades.values())
        if against is not None or max(grades[kind].grade for kind in kinds) < best:
            return self.fired(
                "warning",
                f"{online.metric} counts {', '.join(kinds)}; graded are {graded}",
                "grade what the goal counts highest, and decide by it",
                effect=against,
                without="on it alone",
                at=("service", "labels", "grades"),
            )
        return self.passed(f"{online.metric} counts {', '.join(kinds)}, which has the best grade{shown}")
