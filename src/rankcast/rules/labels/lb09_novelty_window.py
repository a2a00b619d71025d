"""LB09 novelty-window."""

from __future__ import annotations

import numpy as np

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule
from rankcast.tables.logs import Floats
from rankcast.text import p_value

_DAY = 86_400_000_000
_FEWEST_DAYS = 7


class NoveltyWindow(Rule):
    """Right after a launch or a new page users look at everything, and what they did then is not what they will do.

    Check: the period begins less than the threshold's days after `production.released`; or clicks per impression have
    a trend over the days of the period (a straight line through the daily rates) that is no chance and changes much
    from the first day to the last. Remedy: a later period. Source: Kohavi, Tang and Xu, 2020.
    """

    code = "LB09"
    name = "novelty-window"
    moment = "data"
    severity = "warning"
    at = ("study", "period")
    good = """
# service.yaml
production: {released: 2023-06-01}
"""
    bad = """
# service.yaml
production: {released: 2023-09-25}
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        released, days = plan.service.production.released, self.limit(plan, "days")
        if released is not None:
            since = (plan.instant(plan.study.period.from_) - plan.instant(released)) / _DAY
            if since < days:
                return self.fired(
                    "warning",
                    f"the period begins {since:.0f} days after the launch of {released}",
                    f"begin {days:g} days after it",
                    at=("study", "period", "from"),
                )
        rate, weight = _by_day(plan, found)
        if len(rate) < _FEWEST_DAYS:
            return self.cannot(
                f"{len(rate)} days with impressions are too few for a trend"
                + ("" if released else ", and nobody says when the page was last changed"),
                "say `production: {released: 2023-09-01}`, or take a period of a week at least",
            )
        p, slope = _trend(rate, weight)
        daily = slope / max(float(np.mean(rate)), 1e-12)
        shown = "by less than 0.01%" if abs(daily) < 1e-4 else f"{daily:+.2%}"
        told = f"relevant items per impression change {shown} a day over {len(rate)} days (p {p_value(p)})"
        if released is not None:
            told += f"; the last launch was {released}"
        change = slope * (len(rate) - 1) / max(float(np.mean(rate)), 1e-12)
        if p < self.limit(plan, "p") and abs(change) > self.limit(plan, "change"):
            return self.fired("warning", told, "look at what changed; take a later period")
        return self.passed(told)


def _by_day(plan: Plan, found: Found) -> tuple[Floats, Floats]:
    """Relevant items of what was shown an impression, by day of the targets' period, and impressions; whole days only."""
    logs = found.logs
    start = plan.instant(plan.study.period.from_)
    is_target = np.zeros(len(logs.requests.time), dtype=bool)
    is_target[found.targets] = True
    day_of = (logs.requests.time - start) // _DAY
    shown = day_of[logs.impressions.request[is_target[logs.impressions.request]]]
    if not len(shown):
        return np.zeros(0), np.zeros(0)
    impressions = np.bincount(shown).astype(np.float64)
    liked = np.bincount(day_of[found.positives.request[found.positives.shown]], minlength=len(impressions))[
        : len(impressions)
    ]
    known = impressions > 0
    return liked[known] / impressions[known], impressions[known]


def _trend(rate: Floats, weight: Floats) -> tuple[float, float]:
    """Two-sided p and slope a day of a weighted straight line; its error is that of the days about the line."""
    from scipy.special import stdtr

    day = np.arange(len(rate), dtype=np.float64)
    middle, level = np.average(day, weights=weight), np.average(rate, weights=weight)
    spread = float(np.sum(weight * (day - middle) ** 2))
    slope = float(np.sum(weight * (day - middle) * (rate - level)) / spread)
    left = rate - level - slope * (day - middle)
    error = float(np.sqrt(np.sum(weight * left**2) / (len(rate) - 2) / spread))
    if error <= 1e-15:
        return (1.0 if abs(slope) <= 1e-15 else 0.0), slope
    return float(2.0 * stdtr(len(rate) - 2, -abs(slope / error))), slope
