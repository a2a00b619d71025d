"""DT05 eval-window-not-whole-weeks."""

from __future__ import annotations

from rankcast.records import Finding
from rankcast.rules.evidence import Evidence
from rankcast.rules.rule import Rule

_DAY = 86_400_000_000


class EvalWindowNotWholeWeeks(Rule):
    """Weekdays and weekends bring other users with other wishes. A period of ten days counts some weekdays twice.

    Check: the period is shorter than a week, or no whole number of weeks. Remedy: 14 or 28 days. Source: Kohavi, Tang
    and Xu, 2020; Pinterest (2022) asks for tests of seven days at least.
    """

    code = "DT05"
    name = "eval-window-not-whole-weeks"
    moment = "plan"
    severity = "warning"
    at = ("study", "period")
    good = """
# study.yaml
period: {from: 2023-10-02, to: 2023-10-16}
"""
    bad = """
# study.yaml
period: {from: 2023-10-02, to: 2023-10-12}
"""

    def check(self, evidence: Evidence) -> Finding:
        plan = evidence.plan
        period, week = plan.study.period, self.limit(plan, "days")
        days = (plan.instant(period.to) - plan.instant(period.from_)) / _DAY
        off = abs(days / week - round(days / week)) * week if week else 0.0
        if days < week - 0.1 or off > 0.1:  # an hour of summer time is no day
            return self.fired(
                "warning",
                f"the period is {days:g} days long: weekdays do not count alike",
                f"take a whole number of weeks: {max(1, round(days / week)) * week:g} days"
                if week
                else "take whole weeks",
            )
        return self.passed(f"the period is {days:g} days long")
