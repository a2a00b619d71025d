"""DT09 clock-skew."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule


class ClockSkew(Rule):
    """A click before its list was shown says that two machines have two clocks. Labels near the edges go to the wrong
    request.

    Check: share of events that bear a `request_id` and lie before that request. Remedy: one clock; look at RP02's
    suspects, which name offsets in hours. Source: practice.
    """

    code = "DT09"
    name = "clock-skew"
    moment = "data"
    severity = "warning"
    at = ("service", "tables", "events")
    good = """
# service.yaml
tables: {events: {path: data/events.parquet}}
# data: requests and events have one clock
"""
    bad = """
# service.yaml
tables: {events: {path: data/events.parquet}}
# data: the phones of a third of the users are a minute behind
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        rows = [
            one
            for one in found.results.counts
            if one.table == "events" and one.what == "before their request" and one.of
        ]
        named = int((found.logs.events.request >= 0).sum())
        if not rows or not named:
            return self.cannot("no event bears the id of its request", "log `request_id` with each event")
        count = sum(one.count for one in rows)
        told = f"{count:,} of {named:,} events that bear a request_id ({count / named:.2%}) lie before that request"
        if count <= self.limit(plan, "warn") * named:
            return self.passed(told, count, named)
        return self.fired(
            "warning", told, "compare the clocks of what writes requests and events", count=count, of=named
        )
