"""ST03 multiple-comparisons."""

from __future__ import annotations

from rankcast.records import Finding
from rankcast.rules.evidence import Evidence
from rankcast.rules.rule import Rule, decided_of


class MultipleComparisons(Rule):
    """Of twenty tests without an effect one "wins" on average. Whoever looks at many variants and believes the best one
    believes chance.

    Check: more than one variant is decided and `compare.correction` is `none`. Guardrails and everything else are
    always adjusted. Remedy: `correction: holm`. Source: Fuhr, SIGIR Forum, 2017.
    """

    code = "ST03"
    name = "multiple-comparisons"
    moment = "plan"
    severity = "warning"
    at = ("study", "compare", "correction")
    good = """
# study.yaml
compare: {correction: holm}
"""
    bad = """
# study.yaml
compare: {correction: none}
variants:
  filter_net: {scores: {path: ../data/scores/filter_net.parquet}}
"""

    def check(self, evidence: Evidence) -> Finding:
        plan = evidence.plan
        tests, correction = len(decided_of(plan)), plan.study.compare.correction
        if tests > 1 and correction == "none":
            return self.fired(
                "warning",
                f"{tests} variants are decided, and p-values are not adjusted",
                "say `compare: {correction: holm}`",
                count=tests,
            )
        if not tests:
            return self.cannot(
                "nothing is decided: all variants are references", "add the variant that the study is about"
            )
        return self.passed(f"{tests} variant{'s are' if tests > 1 else ' is'} decided; correction {correction}", tests)
