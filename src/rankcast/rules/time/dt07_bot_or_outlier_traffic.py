"""DT07 bot-or-outlier-traffic."""

from __future__ import annotations

import numpy as np

from rankcast.config.plan import Plan
from rankcast.records import Effect, Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, decided_of, effect_of, primary_rows, strongest
from rankcast.tables.logs import Ints

_DAY = 86_400_000_000
_BUSIEST = 0.001


class BotOrOutlierTraffic(Rule):
    """A crawler, a test account or one tireless user decides what is good for everybody.

    Check: among users with a target, one holds more than a share of all their events (and many times the mean), or
    has a median time of less than a second between events on a busy day; or without the busiest 0.1 % of users (one
    at least) the difference leaves its interval and changes by more than a tenth. Effect: the difference without
    them. Remedy: a list of bots in `targets.where`, or `average: user`. Source: Kohavi, Tang and Xu, 2020.
    """

    code = "DT07"
    name = "bot-or-outlier-traffic"
    moment = "data"
    severity = "error"
    at = ("service", "targets")
    good = """
# service.yaml
targets: {where: "request.surface = 'home' AND NOT request.is_bot"}
"""
    bad = """
# service.yaml
targets: {where: "request.surface = 'home'"}
# study.yaml
online: {metric: clicks_per_user, events: [click]}     # which crawlers drive as well
# data: crawlers ask every ten seconds and click on all that they are shown, half a second apart
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        events, users = found.logs.events, np.unique(found.logs.requests.user[found.targets])
        mine = np.isin(events.user, users)
        if not mine.any():
            return self.cannot("no user with a target has an event", "add `tables.events`")
        count = np.bincount(events.user[mine], minlength=len(found.logs.ids.users))
        share = count / count.sum()
        too_many = np.flatnonzero(
            (count >= self.limit(plan, "least"))
            & (share > max(self.limit(plan, "share"), self.limit(plan, "times") / len(users)))
        )
        fast = self._fast(plan, found, np.flatnonzero(count >= self.limit(plan, "busy")))
        odd = np.union1d(too_many, fast)
        if len(odd):
            worst = odd[np.argsort(-share[odd], kind="stable")]
            keep = ~np.isin(found.logs.requests.user[found.targets], odd)
            quick = f", most of them less than {self.limit(plan, 'gap'):g} s apart" if len(fast) else ""
            return self.fired(
                "warning",
                f"{len(odd):,} of {len(users):,} users {'is' if len(odd) == 1 else 'are'} busier than a person: "
                f"{share[odd].sum():.1%} of all events{quick}",
                "leave bots and test accounts out in `targets.where`, or weigh users alike (`average: user`)",
                count=len(odd),
                of=len(users),
                examples=found.logs.ids.users.gather(worst[:5]).to_list(),
                effect=strongest([effect_of(found, name, found.again(name, keep=keep)) for name in decided_of(plan)]),
                at=("service", "targets", "where"),
            )
        effect = self._without_busiest(plan, found)
        if effect is not None:
            told = (
                f"without the busiest {_BUSIEST:.1%} of users the difference of {effect.variant} is {effect.without:+.4g} "
                f"instead of {effect.difference:+.4g}"
            )
            return self.fired(
                "warning", told, "weigh users alike (`average: user`), or say why these users are right", effect=effect
            )
        return self.passed("no user holds much of the events, and none is faster than a person", 0, len(users))

    def _fast(self, plan: Plan, found: Found, busy: Ints) -> Ints:
        """Of some users, those whose median time between events is too short on a day with many of them."""
        events = found.logs.events
        rows = np.flatnonzero(np.isin(events.user, busy))
        order = rows[np.lexsort((events.time[rows], events.user[rows]))]
        user, time = events.user[order], events.time[order]
        day = user * np.int64(1_000_000) + time // _DAY
        same = day[1:] == day[:-1]
        gap = np.diff(time)[same] / 1e6
        days, inverse, sizes = np.unique(day[1:][same], return_inverse=True, return_counts=True)
        fast = [
            at
            for at in np.flatnonzero(sizes + 1 > self.limit(plan, "busy"))
            if np.median(gap[inverse == at]) < self.limit(plan, "gap")
        ]
        return np.unique(days[fast] // 1_000_000)

    def _without_busiest(self, plan: Plan, found: Found) -> Effect | None:
        user = found.logs.requests.user[found.targets]
        codes, size = np.unique(user, return_counts=True)
        busiest = codes[np.argsort(-size, kind="stable")[: max(1, round(_BUSIEST * len(codes)))]]
        effects = []
        for row in primary_rows(plan, found, decided_of(plan)):
            one = effect_of(found, row.variant, found.again(row.variant, keep=~np.isin(user, busiest)))
            if one is None or not one.difference or one.without is None:
                continue
            outside = row.low is not None and row.high is not None and not row.low <= one.without <= row.high
            if outside and abs(one.without / one.difference - 1) > self.limit(plan, "change"):
                effects.append(one)
        return strongest(effects)
