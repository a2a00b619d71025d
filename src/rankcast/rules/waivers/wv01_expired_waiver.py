"""WV01 expired-waiver."""

from __future__ import annotations

from collections.abc import Sequence

from rankcast.records import Finding
from rankcast.rules.catalogue import OfWaivers, holds
from rankcast.rules.evidence import Evidence


class ExpiredWaiver(OfWaivers):
    """A rule was switched off for a while, and nobody came back to switch it on.

    Check: `allow` names a rule with an end that has passed; the rule counts again. Remedy: mend what it found, or
    give a new reason and end. Source: practice of code review.
    """

    code = "WV01"
    name = "expired-waiver"
    moment = "plan"
    severity = "warning"
    at = ("study", "allow")
    good = """
# study.yaml
allow: {}
"""
    bad = """
# study.yaml
allow:
  DT05: {reason: "the log begins on a Wednesday", until: 2023-12-31}
"""

    def of_waivers(self, evidence: Evidence, findings: Sequence[Finding]) -> Finding:
        del findings
        allow = evidence.plan.study.allow
        over = [code for code in allow if not holds(evidence.plan, code, evidence.day)]
        if over:
            told = ", ".join(f"{code} (until {allow[code].until})" for code in over)
            return self.fired(
                "warning",
                f"over: {told}",
                "mend what the rule found, or give a new reason and end",
                count=len(over),
                of=len(allow),
                at=("study", "allow", over[0]),
            )
        return self.passed(
            f"{len(allow)} rules are waived, none past its end" if allow else "no rule is waived", 0, len(allow)
        )
