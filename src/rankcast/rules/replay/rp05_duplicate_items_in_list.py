"""RP05 duplicate-items-in-list."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, decided_of, judged_of


class DuplicateItemsInList(Rule):
    """A list that shows an item twice can be worth more than a perfect one, and takes the place of another item.

    Check: a list with an item twice, among the slates and among those that were really shown. Scores, steps and
    models that repeat an item are refused, so only a log can; Rankcast counts the item once, at its best rank.
    Remedy: drop repeats as production does. Source: practice.
    """

    code = "RP05"
    name = "duplicate-items-in-list"
    moment = "data"
    severity = "warning"
    at = ("service", "production", "steps")
    good = """
# service.yaml
tables: {impressions: {path: data/impressions.parquet}}
# data: a list shows a post once
"""
    bad = """
# service.yaml
tables: {impressions: {path: data/impressions.parquet}}
# data: one list in twenty shows its first post at rank 10 again
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        rows = [row for row in found.results.shown if row.rows]
        wanted = judged_of(plan)
        mine = [row for row in rows if row.variant in wanted]
        if not mine:
            return self.cannot("no variant shows anything", "look at the steps: every list is empty")
        odd = [row for row in rows if row.repeated and row.variant in {*wanted, None}]
        if not odd:
            return self.passed("no list shows an item twice", 0, sum(row.requests for row in mine))
        decided = [row for row in odd if row.variant in decided_of(plan)]
        worst = max(decided or odd, key=lambda row: row.repeated)
        whose = "that were really shown" if worst.variant is None else f"of {worst.variant}"
        return self.fired(
            "warning",
            f"{worst.repeated:,} of {worst.requests:,} lists {whose} show an item twice; it counts once, at its best rank",
            "drop repeats as production does, or look up why the log has them",
            count=worst.repeated,
            of=worst.requests,
            examples=worst.examples.get("repeated", ()),
        )
