"""CM06 models-barely-disagree."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, decided_of


class ModelsBarelyDisagree(Rule):
    """Two models that show the same lists to nearly everybody cannot differ by much, and an online test of all users is too
    weak to see it.

    Check: share of lists in which a variant differs from the baseline, below the threshold. Remedy: test online only
    those who would see another list, and say how many they are. Source: Bernardi, Mavridis and Estevez, KDD 2019
    (segment saturation).
    """

    code = "CM06"
    name = "models-barely-disagree"
    moment = "result"
    severity = "warning"
    at = ("study", "variants")
    good = """
# study.yaml
variants:
  two_tower: {scores: {path: ../data/scores/two_tower.parquet}}
"""
    bad = """
# study.yaml
variants:
  two_tower: {scores: {path: ../data/scores/production.parquet}}       # the old file again
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        replayed = len(found.replayed)
        rows = [row for row in found.results.shown if row.variant in decided_of(plan)]
        if not rows or not replayed:
            return self.cannot(
                "there is no variant besides the baseline and references", "add the variant that the study is about"
            )
        least = max(rows, key=lambda row: row.same_as_baseline)
        other = replayed - least.same_as_baseline
        told = f"{least.variant} differs from the baseline in {other:,} of {replayed:,} lists ({other / replayed:.1%})"
        if other >= self.limit(plan, "least") * replayed:
            return self.passed(told, other, replayed)
        return self.fired(
            "warning",
            told,
            "judge, and test online, those requests alone; say how many they are",
            count=other,
            of=replayed,
            at=("study", "variants", least.variant or ""),
        )
