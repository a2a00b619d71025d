"""DT04 label-window-censored."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, decided_of, effect_of, graver, strongest


class LabelWindowCensored(Rule):
    """Late conversions (apply, reply, match) of the last requests are not there yet: those requests look worse than they
    are, and whoever gains by late events looks worse than the rest.

    Check: share of a graded kind's events that is still to come for the requests that count, from the delays of
    requests whose horizon is over. With `late: exclude` such requests are no targets, and nothing is missing. Effect:
    the difference over requests whose horizon is over. Remedy: wait, shorten the horizon, or `late: exclude`. Source:
    Chapelle, KDD 2014.
    """

    code = "DT04"
    name = "label-window-censored"
    moment = "data"
    severity = "error"
    at = ("service", "labels")
    good = """
# service.yaml
labels: {late: exclude}
"""
    bad = """
# service.yaml
labels: {late: report}
# data: the log of events ends two days before the period does
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        if not len(found.logs.events.time):
            return self.cannot("there are no events", "add `tables.events`")
        waiting = [row for row in found.results.late if row.requests]
        kept = plan.service.labels.late == "report"
        if not kept or not waiting:
            left = max((row.requests for row in waiting), default=0)
            told = f"; {left:,} requests whose horizon is not over are left out" if waiting else ""
            return self.passed(f"the horizon of every target is over{told}", 0, len(found.targets))
        untold = [row.event for row in waiting if row.share_missing is None]
        if untold:
            return self.fired(
                "error" if len(found.targets) >= 100 else "warning",
                f"no request's horizon is over for {', '.join(untold)}: nobody can tell how many events are still to come",
                "wait until the horizon is over for some requests, or shorten it",
            )
        worst = max(waiting, key=lambda row: row.share_missing or 0.0)
        missing = worst.share_missing or 0.0
        told = f"{worst.event}: about {missing:.1%} of its events are still to come, for {worst.requests:,} requests"
        if missing <= self.limit(plan, "warn"):
            return self.passed(told, worst.requests, len(found.replayed))
        longest = max(
            [
                plan.service.labels.horizon.micros,
                *(one.within.micros for one in plan.service.labels.grades.values() if one.within),
            ]
        )
        until = min([*found.logs.events.known_until.values(), found.logs.events.known or 2**62])
        over = found.logs.requests.time[found.targets] <= until - longest
        return self.fired(
            graver(missing, self.limit(plan, "error"), len(found.targets)),
            told,
            "wait, shorten the horizon, or leave such requests out (`late: exclude`)",
            count=worst.requests,
            of=len(found.replayed),
            effect=strongest([effect_of(found, name, found.again(name, keep=over)) for name in decided_of(plan)]),
            at=("service", "labels", "late"),
        )
