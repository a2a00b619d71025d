"""CA02 candidate-sets-differ."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, decided_of, graver


class CandidateSetsDiffer(Rule):
    """A ranker that chooses among other items than the baseline is compared for its pool, not for its order.

    Check: mean Jaccard overlap of a variant's candidates with the baseline's, below 1; an error below the threshold.
    Where `treatment` names candidates, differing is what is tested, and CA05 looks at what they miss. Remedy: score
    the same candidates, or declare the change. Source: Goda, a talk on Wantedly's offline evaluation, 2023.
    """

    code = "CA02"
    name = "candidate-sets-differ"
    moment = "data"
    severity = "error"
    at = ("study", "variants")
    good = """
# study.yaml
treatment: [scores]
variants:
  two_tower: {scores: {path: ../data/scores/two_tower.parquet}}
# data: both models scored the same candidates
"""
    bad = """
# study.yaml
treatment: [scores]
variants:
  two_tower: {scores: {path: ../data/scores/two_tower.parquet}}
# data: two_tower has scores of twenty posts more for every user, which production does not fetch
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        if "candidates" in plan.study.treatment:
            return self.passed("declared: candidates are what the study changes; rule CA05 says what they miss")
        rows = [
            row
            for row in found.results.variants
            if row.variant in decided_of(plan) and row.requests and row.candidate_overlap is not None
        ]
        if not rows:
            return self.cannot("no variant besides the baseline has candidates", "add scores of another variant")
        worst = min(rows, key=lambda row: row.candidate_overlap or 0.0)
        overlap = worst.candidate_overlap or 0.0
        told = (
            f"{worst.variant} and the baseline have {overlap:.1%} of their candidates in common (mean Jaccard overlap)"
        )
        if overlap >= 1 - 1e-9:
            return self.passed("all variants have the same candidates", 0, worst.requests)
        return self.fired(
            graver(1 - overlap, 1 - self.limit(plan, "error"), worst.requests),
            told,
            "score the same candidates with every model, or say `treatment: [scores, candidates]`",
            at=("study", "variants", worst.variant),
        )
