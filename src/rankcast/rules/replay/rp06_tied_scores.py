"""RP06 tied-scores."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, decided_of, judged_of, primary_rows


class TiedScores(Rule):
    """The order of equal scores is luck, or the alphabet, which often is age or popularity. A model that rounds its scores
    wins or loses by it.

    Check: on a sample of targets, the primary metric with ties ordered at best and at worst: half of the spread
    exceeds half of the interval of the difference and the relative threshold. Effect: both values. Remedy: keep more
    digits, or production's own tie-break as a `rerank`. Source: McSherry and Najork, ECIR 2008; Corsi and Urbano,
    SIGIR 2024.
    """

    code = "RP06"
    name = "tied-scores"
    moment = "result"
    severity = "warning"
    at = ("study", "variants")
    good = """
# study.yaml
variants:
  two_tower: {scores: {path: ../data/scores/two_tower.parquet}}
# data: scores with three decimals
"""
    bad = """
# study.yaml
variants:
  two_tower: {scores: {path: ../data/scores/two_tower.parquet}}
# data: scores rounded to whole numbers
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        rows = [row for row in found.results.ties if row.variant in judged_of(plan)]
        known = [row for row in rows if row.best is not None and row.worst is not None and row.value is not None]
        if not known:
            return self.cannot(
                "there is no primary metric with a value per request on targets",
                "look at the ledger, or take a metric of requests as primary",
            )
        spread = {row.variant: ((row.best or 0) - (row.worst or 0)) / 2 for row in known}
        worst = max(known, key=lambda row: abs(spread[row.variant]))
        differences = primary_rows(plan, found, decided_of(plan))
        half = max(
            ((row.high - row.low) / 2 for row in differences if row.low is not None and row.high is not None),
            default=0.0,
        )
        told = (
            f"{worst.variant}: {worst.tied:,} of {worst.requests:,} targets have ties; ordered at best the metric is "
            f"{worst.best:.4f}, at worst {worst.worst:.4f}, as they are {worst.value:.4f}"
        )
        size = abs(spread[worst.variant])
        if size <= half or size <= self.limit(plan, "change") * abs(worst.value or 0.0):
            return self.passed(told, worst.tied, worst.requests)
        return self.fired(
            "warning",
            f"{told}: half of that spread is more than half of the difference's interval ({half:.4f})",
            "keep more digits of the scores, or production's own tie-break (`rerank`)",
            count=worst.tied,
            of=worst.requests,
            at=("study", "variants", worst.variant),
        )
