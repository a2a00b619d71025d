"""RP03 truncate-before-filter."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, decided_of
from rankcast.rules.thresholds import LEAST


class TruncateBeforeFilter(Rule):
    """A list that was cut to the top N before production's filters comes out short, although more candidates were known: the
    variant is judged on lists that nobody would have been shown.

    Check: share of requests whose list a step left shorter than `served`, although the baseline's list or the logged
    one is longer. An error for a decided variant whose lists are cut short more often than the baseline's. Remedy:
    score more candidates than are served; filter first, cut last. Source: practice.
    """

    code = "RP03"
    name = "truncate-before-filter"
    moment = "result"
    severity = "error"
    at = ("study", "variants")
    good = """
# study.yaml
variants:
  two_tower: {scores: {path: ../data/scores/two_tower.parquet}}
# data: as many candidates as production scores
"""
    bad = """
# study.yaml
treatment: [scores, candidates]
variants:
  two_tower: {scores: {path: ../data/scores/two_tower.parquet}}
# data: two_tower wrote its best ten only, before the filters
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        rows = [row for row in found.results.variants if row.requests]
        if not rows:
            return self.cannot("nothing was replayed", "look at the ledger: no request is left")
        limit = self.limit(plan, "warn")
        cut = [row for row in rows if row.cut_short > limit * row.requests]
        if not cut:
            return self.passed(
                f"at most {limit:.0%} of any variant's lists are cut short",
                max(row.cut_short for row in rows),
                rows[0].requests,
            )
        worst = max(cut, key=lambda row: row.cut_short / row.requests)
        told = ", ".join(f"{row.variant}: {row.cut_short:,} of {row.requests:,} lists" for row in cut)
        base = next((row.cut_short for row in rows if row.variant == plan.study.baseline), 0)
        own = [row for row in cut if row.variant in decided_of(plan) and row.cut_short - base > limit * row.requests]
        remedy = "score more candidates than are served; filter first, cut last"
        if not own:
            remedy = "the baseline's lists are as short: look at its steps and clocks, see RP01 and RP02"
        return self.fired(
            "error" if own and worst.requests >= LEAST else "warning",
            f"shorter than the baseline's or the logged list after steps took items away: {told}",
            remedy,
            count=worst.cut_short,
            of=worst.requests,
            at=("study", "variants", worst.variant),
        )
