"""TG02 eligible-units-dropped."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, graver, judged_of


class EligibleUnitsDropped(Rule):
    """Users who could be judged disappear midway: they are cold, a batch came late, an API did not answer. Production shows
    them something; a variant that shows them nothing is judged on a request that no user would have seen.

    Check: share of replayed requests for which a variant has no candidate of its own (before its first batch, or none
    at all). They count as empty lists, never skipped. Remedy: fall back to what production shows them. Source: the
    talk; Cañamares, Castells and Moffat, 2020.
    """

    code = "TG02"
    name = "eligible-units-dropped"
    moment = "data"
    severity = "error"
    at = ("study", "variants")
    good = """
# study.yaml
variants:
  two_tower: {scores: {path: ../data/scores/two_tower.parquet}}
# data: the file has scores of every user with a request
"""
    bad = """
# study.yaml
variants:
  two_tower: {scores: {path: ../data/scores/two_tower.parquet}}
# data: one user in fifteen has no row
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        rows = [row for row in found.results.variants if row.requests and row.variant in judged_of(plan)]
        if not rows:
            return self.cannot("nothing was replayed", "look at the ledger: no request is left")
        worst = max(rows, key=lambda row: row.without_scores / row.requests)
        share = worst.without_scores / worst.requests
        told = f"{worst.variant} has no candidate for {worst.without_scores:,} of {worst.requests:,} requests ({share:.1%})"
        if worst.before_any_batch:
            told += f", {worst.before_any_batch:,} of them before its first batch"
        if share <= self.limit(plan, "warn"):
            return self.passed(told, worst.without_scores, worst.requests)
        return self.fired(
            graver(share, self.limit(plan, "error"), worst.requests),
            told,
            "fall back to what production shows such users, or score them",
            count=worst.without_scores,
            of=worst.requests,
            at=("study", "variants", worst.variant),
        )
