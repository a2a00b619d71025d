"""LB07 attribution-mismatch."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule


class AttributionMismatch(Rule):
    """Offline, an application after a search counts for the home page; online it does not, or the other way round. Then both
    measure something else.

    Check: share of positives that their list did not show, under `labels.attribute` and under `online.attribute`,
    further apart than the threshold. Remedy: one rule of attribution for both. Source: practice.
    """

    code = "LB07"
    name = "attribution-mismatch"
    moment = "data"
    severity = "warning"
    at = ("study", "online")
    good = """
# study.yaml
online: {metric: applications_per_user, attribute: last_request}
"""
    bad = """
# study.yaml
online: {metric: applications_per_user, attribute: last_shown}     # service.yaml: labels.attribute is last_request
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        online = plan.study.online
        if online is None or online.attribute is None:
            return self.cannot(
                "nothing says for which request the online metric counts an event",
                "say `online: {attribute: ...}`, as `labels.attribute`",
            )
        if online.attribute == plan.service.labels.attribute:
            return self.passed(f"offline and online count an event by the same rule, `{online.attribute}`")
        if not len(found.logs.impressions.item):
            return self.cannot("nobody can tell what was shown", "add `tables.impressions`")
        ours, theirs = found.positives, found.attributed(online.attribute)
        if not len(ours.item) or not len(theirs.item):
            return self.cannot("under one of the two rules nothing is relevant", "look at the ledger")
        here, there = float((~ours.shown).mean()), float((~theirs.shown).mean())
        told = (
            f"{here:.1%} of the relevant items were not in their list under `{plan.service.labels.attribute}`, {there:.1%} under "
            f"`{online.attribute}`, as it is online"
        )
        if abs(here - there) <= self.limit(plan, "gap"):
            return self.passed(told, len(ours.item), len(theirs.item))
        return self.fired(
            "warning", told, "use one rule of attribution offline and online", count=len(ours.item), of=len(theirs.item)
        )
