"""ST06 bootstrap-too-small."""

from __future__ import annotations

from rankcast.records import Finding
from rankcast.rules.evidence import Evidence
from rankcast.rules.rule import Rule


class BootstrapTooSmall(Rule):
    """The ends of an interval that is drawn a hundred times are a matter of luck.

    Check: `method: bootstrap` or `permutation` with fewer replications than the threshold. Remedy: 2,000. Source:
    Davison and Hinkley, 1997.
    """

    code = "ST06"
    name = "bootstrap-too-small"
    moment = "plan"
    severity = "warning"
    at = ("study", "compare", "replications")
    good = """
# study.yaml
compare: {method: bootstrap, replications: 2000}
"""
    bad = """
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
