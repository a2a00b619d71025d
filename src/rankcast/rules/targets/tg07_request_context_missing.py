"""TG07 request-context-missing."""

from __future__ import annotations

import numpy as np

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule
from rankcast.tables.logs import Bools, Ints

_DAY = 86_400_000_000
_FEWEST = 20  # requests of a day that say anything


class RequestContextMissing(Rule):
    """A filter that was not logged is a filter that is not replayed.

    Check: a column of requests that a step reads is null in more requests than the threshold, and on some day fewer
    than half as many requests as usual have a value (by more than four standard deviations): then it is the log, not
    the user, that has none. Remedy: log the filters of every request. Source: practice.
    """

    code = "TG07"
    name = "request-context-missing"
    moment = "data"
    severity = "warning"
    at = ("service", "tables", "requests")
    good = """
# service.yaml
tables: {requests: {path: data/requests.parquet}}
# data: job_type is null where the user set no filter, on all days alike
"""
    bad = """
# service.yaml
tables: {requests: {path: data/requests.parquet}}
# data: for three days job_type was not logged
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        needs = {
            need.partition(".")[2]
            for one in plan.variants
            for step in one.steps
            for need in step.step.needs()
            if need.startswith("request.")
        }
        columns = [name for name in sorted(needs) if name in found.logs.requests.frame.columns]
        if not columns:
            return self.cannot(
                "no step reads a column of requests", "filters that users set are columns of requests, read by `match`"
            )
        day = (found.logs.requests.time[found.replayed] - plan.instant(plan.study.period.from_)) // _DAY
        size = np.bincount(day)
        told = []
        for name in columns:
            null = found.logs.requests.frame[name].gather(found.replayed).is_null().to_numpy()
            told.append(f"{name} {null.mean():.1%}")
            usual = _usual(null, day, size)
            filled, expected = np.bincount(day, ~null), size * (1 - usual)
            noise = 4 * np.sqrt(expected * usual)
            odd = (size >= _FEWEST) & (filled < expected / 2) & (expected - filled > noise)
            if odd.any() and null.mean() > self.limit(plan, "warn"):
                return self.fired(
                    "warning",
                    f"request.{name} is null in {usual:.0%} of the requests on most days, and in "
                    f"{1 - filled[odd].sum() / size[odd].sum():.0%} on {int(odd.sum())} of {len(size)} days",
                    "log the filters of every request; leave those days out",
                    count=int(null.sum()),
                    of=len(null),
                )
        return self.passed(f"null: {', '.join(told)}, alike on all days", 0, len(day))


def _usual(null: Bools, day: Ints, size: Ints) -> float:
    """The share of nulls on the median day."""
    return float(np.median((np.bincount(day, null) / np.maximum(size, 1))[size > 0]))
