"""DT08 duplicate-events."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule


class DuplicateEvents(Rule):
    """A log that was written twice counts some users' events twice.

    Check: share of events that are exact duplicates of another (or equal in the columns of `distinct`). They count
    once here; elsewhere they may not. Remedy: look up why; `distinct` where equal means the same. Source: practice.
    """

    code = "DT08"
    name = "duplicate-events"
    moment = "data"
    severity = "warning"
    at = ("service", "tables", "events")
    good = """
# service.yaml
tables: {events: {path: data/events.parquet}}
# data: each event stands there once
"""
    bad = """
# service.yaml
tables: {events: {path: data/events.parquet}}
# data: a tenth of the events stands there twice
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        rows = [
            one
            for one in found.results.counts
            if one.table == "events" and one.what in {"duplicates", "exact duplicates"} and one.of
        ]
        if not rows:
            return self.cannot("there are no events", "add `tables.events`")
        count, size = sum(one.count for one in rows), sum(one.of for one in rows)
        told = f"{count:,} of {size:,} events ({count / size:.2%}) are there already"
        if count <= self.limit(plan, "warn") * size:
            return self.passed(told, count, size)
        return self.fired("warning", f"{told}; each counts once", "look up why the log has them", count=count, of=size)
