"""DT06 single-eval-window."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Difference, Found
from rankcast.rules.rule import Rule, decided_of

_DAY = 86_400_000_000


class SingleEvalWindow(Rule):
    """One window is one draw: a campaign, a holiday or an outage in it decides which model wins.

    Check: the period holds fewer windows (of a week, unless said otherwise) than the threshold; or two windows say
    the opposite of a variant, each with an interval that leaves zero out; or the order of three or more variants
    differs between windows (Kendall's tau below the threshold). Effect: the difference in each window. Remedy: three
    weeks or more, or several studies. Source: Scheidt and Beel, 2021.
    """

    code = "DT06"
    name = "single-eval-window"
    moment = "result"
    severity = "warning"
    at = ("study", "period")
    good = """
# study.yaml
period: {from: 2023-10-02, to: 2023-10-16}
# service.yaml
rules: {DT06: {windows: 2}}      # two weeks are agreed to be enough here
"""
    bad = """
# study.yaml
period: {from: 2023-10-02, to: 2023-10-09}
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        if not len(found.targets):
            return self.cannot("there is no target", "the ledger says where they were lost")
        start, span = plan.instant(plan.study.period.from_), self.limit(plan, "days") * _DAY
        end, least = plan.instant(plan.study.period.to), int(self.limit(plan, "windows"))
        windows = max(1, int((end - start + _DAY // 10) // span))
        if windows < least:
            return self.fired(
                "warning",
                f"the period holds {windows} window{'s' if windows > 1 else ''} of {span / _DAY:g} days, fewer than {least}",
                "take a longer period, or run the study on several and compare them (`rankcast compare RUN RUN`)",
                count=windows,
                of=least,
            )
        window = np.minimum((found.logs.requests.time[found.targets] - start) // span, windows - 1)
        apart = {name: [found.again(name, keep=window == at) for at in range(windows)] for name in decided_of(plan)}
        for name, several in apart.items():
            sure = [one for one in several if one is not None and one.sure]
            if len({one.value > 0 for one in sure}) > 1:
                told = ", ".join("none" if one is None else f"{one.value:+.4g}" for one in several)
                return self.fired(
                    "warning", f"{name}: windows say the opposite: {told}", "look at what differs between the weeks"
                )
        tau = _least_tau(list(apart.values()), windows)
        if tau is not None and tau < self.limit(plan, "tau"):
            return self.fired(
                "warning",
                f"the order of variants differs between windows: Kendall's tau {tau:.2f}",
                "take a longer period; do not choose between variants by this one",
            )
        return self.passed(
            f"{windows} windows of {span / _DAY:g} days, none says the opposite of another", windows, windows
        )


def _least_tau(several: list[list[Difference | None]], windows: int) -> float | None:
    """The least agreement of the order of variants between two windows, of variants that are surely apart in both; None below
    three.
    """
    if len(several) < 3:
        return None
    least = None
    for one, other in combinations(range(windows), 2):
        balance = pairs = 0
        for left, right in combinations(several, 2):
            four = (left[one], right[one], left[other], right[other])
            if all(part is not None and part.error is not None for part in four):
                first = _apart(four[0], four[1])
                second = _apart(four[2], four[3])
                if first and second:
                    balance, pairs = balance + first * second, pairs + 1
        if pairs:
            least = min(balance / pairs, least if least is not None else 1.0)
    return least


def _apart(one: Difference | None, other: Difference | None) -> int:
    """Which of two differences is larger, where that is no chance; 0 where it may be."""
    if one is None or other is None:
        return 0
    gap = one.value - other.value
    return int(np.sign(gap)) if abs(gap) > 2 * ((one.error or 0) ** 2 + (other.error or 0) ** 2) ** 0.5 else 0
