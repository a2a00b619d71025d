"""CA03 unavailable-items-ranked."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, graver, judged_of


class UnavailableItemsRanked(Rule):
    """A list shows posts that were closed, or not open yet: nobody could have applied, and in production nobody would have
    seen them.

    Check: rows of the slates whose item was not open at the request's time; an error above the threshold, unless the
    lists that were really shown are no better: then the table of availability is late, or production shows closed
    items, which only a person can tell. Items without any availability row are told apart. Remedy: the step
    `available`, and a table of availability as of the request. Source: Goda, a talk on Wantedly's offline evaluation,
    2023; Ji, Sun, Zhang and Li, TOIS 2023 (future items are recommended under leakage).
    """

    code = "CA03"
    name = "unavailable-items-ranked"
    moment = "data"
    severity = "error"
    at = ("service", "production", "steps")
    good = """
# service.yaml
production:
  steps:
    - match: {request.job_type: item.job_type}
    - match: {request.employment: item.employment}
    - available
    - not_seen: {events: [apply], within: 365d}
    - where: NOT item.is_test
    - cap: {by: item.company_id, at_most: 2}
"""
    bad = """
# study.yaml
treatment: [scores, steps]
variants:
  two_tower:
    steps:             # `available` is left out
      - match: {request.job_type: item.job_type}
      - match: {request.employment: item.employment}
      - not_seen: {events: [apply], within: 365d}
      - where: NOT item.is_test
      - cap: {by: item.company_id, at_most: 2}
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        rows = [row for row in found.results.shown if row.closed is not None and row.rows]
        if not len(found.logs.intervals.item) or not rows:
            return self.cannot(
                "nobody can tell which items were open", "add `tables.availability`: item_id, open_at, close_at"
            )
        wanted = judged_of(plan)
        log = next((row for row in rows if row.variant is None), None)
        variants = [row for row in rows if row.variant in wanted]
        every = [*variants, *([log] if log is not None else [])]
        if not variants and not any(row.closed or row.unlisted for row in every):
            return self.cannot("no variant shows anything", "look at the steps: every list is empty")
        worst = max(every, key=lambda row: ((row.closed or 0) + (row.unlisted or 0)) / row.rows)
        odd = (worst.closed or 0) + (worst.unlisted or 0)
        if not odd:
            return self.passed("every shown item was open at its request's time", 0, sum(row.rows for row in variants))
        share, logged = odd / worst.rows, 0.0
        if log is not None:
            logged = ((log.closed or 0) + (log.unlisted or 0)) / log.rows
        whose = (
            "the lists that were really shown have" if worst.variant is None else f"the lists of {worst.variant} show"
        )
        told = (
            f"{whose} {worst.closed or 0:,} items that were not open then and {worst.unlisted or 0:,} without any availability "
            f"row, of {worst.rows:,} ({share:.2%})"
        )
        if worst.variant is not None and log is not None:
            told += f"; of those really shown {logged:.2%}"
        mine = worst.variant is not None and share > 2 * logged
        remedy = (
            "add the step `available`" if mine else "hold the table of availability against what production knew then"
        )
        return self.fired(
            graver(share, self.limit(plan, "error"), worst.requests) if mine else "warning",
            told,
            f"{remedy}; give it as of the request, with its history",
            count=odd,
            of=worst.rows,
            examples=[*worst.examples.get("closed", ()), *worst.examples.get("unlisted", ())],
            at=("service", "production", "steps") if mine else ("service", "tables", "availability"),
        )
