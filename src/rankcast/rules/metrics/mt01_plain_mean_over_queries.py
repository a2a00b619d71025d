"""MT01 plain-mean-over-queries."""

from __future__ import annotations

import re

import numpy as np
import polars as pl

from rankcast.config.plan import Plan
from rankcast.records import Effect, Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, decided_of, effect_of, strongest
from rankcast.tables.logs import Floats

_USAGE = re.compile(r"(^|_)(weight|usage|sessions|searches|volume|frequency|traffic)$")


class PlainMeanOverQueries(Rule):
    """A mean over keywords, each alike, counts a keyword that one user typed as much as the one that everybody types.

    Check: the average that decides is `request.<column>`; or the requests have a column of usage (sessions, searches,
    volume ...) and `targets.weight` does not name it. Effect: the difference by traffic, or with those weights; it is
    an error where that has the other sign. Otherwise a warning where the weights are worth fewer equal requests than
    the threshold (Kish: (sum w)^2 / sum w^2). Remedy: let `request` decide, or weigh by use. Source: Goda (Wantedly),
    2023.
    """

    code = "MT01"
    name = "plain-mean-over-queries"
    moment = "result"
    severity = "error"
    at = ("service", "targets", "average")
    good = """
# service.yaml
targets: {average: request}
"""
    bad = """
# service.yaml
targets: {average: request.keyword}
# data: two_tower is better for requests with a keyword, and worse for the many without one
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        if not len(found.targets):
            return self.cannot("there is no target", "the ledger says where they were lost")
        decides = plan.service.targets.average[0]
        if decides.startswith("request."):
            traffic = np.ones(len(found.targets))
            return self.fired(
                "warning",
                f"every value of {decides} counts alike, however many requests it has",
                "let the traffic decide: `average: request`, with the other beside it in a list",
                effect=self._weighed(plan, found, traffic),
            )
        if plan.service.targets.weight is None:
            for name in found.logs.requests.frame.columns:
                usage = found.logs.requests.frame[name].gather(found.targets)
                if (
                    _USAGE.search(name.lower())
                    and usage.dtype.is_numeric()
                    and usage.n_unique() > 1
                    and (usage.drop_nulls() >= 0).all()
                ):
                    weight = usage.cast(pl.Float64).fill_null(0.0).fill_nan(0.0).to_numpy()
                    return self.fired(
                        "warning",
                        f"the requests have a column `{name}` that tells how often each is made, and it does not weigh them",
                        f"weigh by it: `targets: {{weight: request.{name}}}`",
                        effect=self._weighed(plan, found, weight),
                        at=("service", "targets"),
                    )
        effective = next(
            (
                row.effective_requests
                for row in found.results.averages
                if row.decides and row.effective_requests is not None
            ),
            None,
        )
        if effective is None:
            return self.cannot("the study has one variant, so nothing is averaged", "add a variant to compare")
        told = f"averaged by {decides}; the weights are worth {effective:,.0f} equal requests"
        if effective < self.limit(plan, "effective") and effective < 0.5 * len(found.targets):
            return self.fired(
                "warning",
                told,
                "take a longer period, or weights that differ less",
                count=round(effective),
                of=len(found.targets),
            )
        return self.passed(told, round(effective), len(found.targets))

    def _weighed(self, plan: Plan, found: Found, weight: Floats) -> Effect | None:
        return strongest([effect_of(found, name, found.again(name, weight=weight)) for name in decided_of(plan)])
