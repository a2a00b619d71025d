"""ST06 bootstrap-too-small."""

from __future__ import annotations

from typing import ClassVar

from rankcast.records import Finding
from rankcast.rules.evidence import Evidence
from rankcast.rules.rule import Moment, Rule, Severity


class BootstrapTooSmall(Rule):
    """The ends of an interval that is drawn a hundred times are a matter of luck.

    Check: `method: bootstrap` or `permutation` with fewer replications than the threshold. Remedy: 2,000. Source:
    Davison and Hinkley, 1997.
    """

    code: ClassVar[str] = "ST06"
    name: ClassVar[str] = "bootstrap-too-small"
    moment: ClassVar[Moment] = "plan"
    severity: ClassVar[Severity] = "warning"
    at: ClassVar[tuple[str, ...]] = ("study", "compare", "replications")
    good: ClassVar[str] = """
# study.yaml
compare: {method: bootstrap, replications: 2000}
"""
    bad: ClassVar[str] = """
# study.yaml
compare: {method: bootstrap, replications: 200}
"""

    def check(self, evidence: Evidence) -> Finding:
        compare = evidence.plan.study.compare
        if compare.method not in {"bootstrap", "permutation"}:
            return self.passed(f"`method: {compare.method}` draws nothing")
        told = f"{compare.replications:,} replications"
        if compare.replications < self.limit(evidence.plan, "least"):
            return self.fired("warning", told, "say `compare: {replications: 2000}`", count=compare.replications)
        return self.passed(told, compare.replications)
