"""WV02 unused-waiver."""

from __future__ import annotations

from collections.abc import Sequence

from rankcast.records import Finding
from rankcast.rules.catalogue import OfWaivers, holds
from rankcast.rules.evidence import Evidence


class UnusedWaiver(OfWaivers):
    """A waiver for a rule that does not fire hides the day on which it begins to.

    Check: `allow` names a rule that did not fire. Remedy: take it out. Source: practice of code review.
    """

    code = "WV02"
    name = "unused-waiver"
    moment = "result"
    severity = "warning"
    at = ("study", "allow")
    good = """
# study.yaml
allow: {}
"""
    bad = """
# study.yaml
allow:
  DT05: {reason: "the log begins on a Wednesday", until: 2099-12-31}      # but the period is two weeks
"""

    def of_waivers(self, evidence: Evidence, findings: Sequence[Finding]) -> Finding:
        allow, fired = evidence.plan.study.allow, {one.rule for one in findings if one.status == "fired"}
        unused = [code for code in allow if code not in fired and holds(evidence.plan, code, evidence.day)]
        if unused:
            return self.fired(
                "warning",
                f"did not fire: {', '.join(unused)}",
                "take it out of `allow`",
                count=len(unused),
                of=len(allow),
                at=("study", "allow", unused[0]),
            )
        return self.passed(
            f"every one of {len(allow)} waivers is used" if allow else "no rule is waived", 0, len(allow)
        )
