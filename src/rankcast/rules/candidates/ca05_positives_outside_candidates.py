"""CA05 positives-outside-candidates."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import NOT_SCORED, Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, graver, judged_of


class PositivesOutsideCandidates(Rule):
    """What users liked is not among the candidates, so no order of them can find it. The ceiling is the same for every
    variant, and hidden where it is not told.

    Check: share of relevant items that are no candidates, a warning above the threshold. They count as misses. It is
    an error where items that production really showed are missing among the baseline's candidates, above the second
    threshold: then the candidates are not production's. Remedy: report recall of the retrieval stage; or labels of
    this surface alone. Source: Wu and Pang, RecSys in HR, 2024.
    """

    code = "CA05"
    name = "positives-outside-candidates"
    moment = "data"
    severity = "error"
    at = ("service", "production", "candidates")
    good = """
# service.yaml
labels: {attribute: request_id}      # what users did after this list
"""
    bad = """
# study.yaml
fidelity: {at_least: 0.5}
variants:
  production: {scores: {path: ../data/scores/production.parquet}}
# data: a fifth of the posts have a new id in the log, and their old one in all score files
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        rows = [row for row in found.results.variants if row.positives and row.variant in judged_of(plan)]
        if not rows:
            return self.cannot("no target has a relevant label", "the ledger says where they were lost")
        worst = max(rows, key=lambda row: row.positives_outside / row.positives)
        share = worst.positives_outside / worst.positives
        alike = len({row.positives_outside for row in rows}) == 1
        whose = "any variant" if alike else worst.variant
        told = f"{worst.positives_outside:,} of {worst.positives:,} relevant items ({share:.1%}) are no candidates of {whose}"
        if worst.positives_outside:
            told += f"; they count as misses, and no list can find more than {1 - share:.1%}"
        lost = _shown_outside(found)
        if share <= self.limit(plan, "warn"):
            return self.passed(told, worst.positives_outside, worst.positives)
        if lost > self.limit(plan, "error"):
            told += f"; {lost:.1%} of what production really showed is no candidate of {plan.study.baseline}"
        return self.fired(
            graver(lost, self.limit(plan, "error"), worst.requests),
            told,
            "look at what retrieval misses; if labels of other surfaces count, `attribute: request_id` keeps to this one",
            count=worst.positives_outside,
            of=worst.positives,
        )


def _shown_outside(found: Found) -> float:
    """Share of what was really shown that is no candidate of the baseline."""
    fidelity = found.results.fidelity
    log = next((row for row in found.results.shown if row.variant is None), None)
    if fidelity is None or log is None or not log.rows:
        return 0.0
    return fidelity.mismatches.get(NOT_SCORED, 0) / log.rows
