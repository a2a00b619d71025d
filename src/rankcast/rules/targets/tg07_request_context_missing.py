"""TG07 request-context-missing."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Moment, Rule, Severity

_DAY = 86_400_000_000
_FEWEST = 20  # requests of a day that say anything


class RequestContextMissing(Rule):
    """A filter that was not logged is a filter that is not replayed.

    Check: a column of requests that a step reads has nulls in more requests than the threshold, in some days far more
    than in others (twice as many, and half of them at least): then it is the log, not the user, that has no value.
    Remedy: log the filters of every request. Source: practice.
    """

    code: ClassVar[str] = "TG07"
    name: ClassVar[str] = "request-context-missing"
    moment: ClassVar[Moment] = "data"
    severity: ClassVar[Severity] = "warning"
    at: ClassVar[tuple[str, ...]] = ("service", "tables", "requests")
    good: ClassVar[str] = """
# service.yaml
production: {steps: [{match: {request.job_type: item.job_type}}]}
"""
    bad: ClassVar[str] = """
# service.yaml
production: {steps: [{match: {request.job_type: item.job_type}}]}
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
        day = (found.logs.requests.time[found.replayed] - found.logs.requests.time[found.replayed].min()) // _DAY
        told = []
        for name in columns:
            null = found.logs.requests.frame[name].gather(found.replayed).is_null().to_numpy()
            share = np.bincount(day, null) / np.maximum(np.bincount(day), 1)
            share = share[np.bincount(day) >= _FEWEST]
            told.append(f"{name} {null.mean():.1%}")
            if (
                len(share) > 1
                and null.mean() > self.limit(plan, "warn")
                and share.max() > max(0.5, 2 * float(np.median(share)))
            ):
                return self.fired(
                    "warning",
                    f"request.{name} is null in {null.mean():.1%} of the requests, in {share.max():.0%} on the worst day "
                    f"and {np.median(share):.0%} on the median day",
                    "log the filters of every request; leave those days out",
                    count=int(null.sum()),
                    of=len(null),
                )
        return self.passed(f"null: {', '.join(told)}, alike on all days", 0, len(day))
