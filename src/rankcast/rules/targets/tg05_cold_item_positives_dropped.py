"""TG05 cold-item-positives-dropped."""

from __future__ import annotations

from collections.abc import Sized

import numpy as np

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, graver

_ENOUGH = 20  # expected positives below which nothing can be told
_FEW = 0.1


class ColdItemPositivesDropped(Rule):
    """Where labels were made from the items that a model knows, what users did with new items is not in them, and no model
    can win by showing new items well.

    Check: of items that opened after a variant's `trained_until`, the positives that impressions on the same lists
    let expect (at the rate of older items) against those that are there, where fewer than a tenth are; as a share of
    all positives. Remedy: keep them as misses, and look at them as a segment. Source: Ji, Sun, Zhang and Li, TOIS
    2023.
    """

    code = "TG05"
    name = "cold-item-positives-dropped"
    moment = "data"
    severity = "error"
    at = ("service", "tables")
    good = """
# service.yaml
tables: {events: {path: data/events.parquet}}
# data: the log has events on new posts too
"""
    bad = """
# service.yaml
tables: {events: {path: data/events.parquet}}
# data: events on posts that opened after the training were joined away
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        logs = found.logs
        until = [
            plan.instant(one.spec.trained_until)
            for one in plan.variants
            if one.decided and one.spec.trained_until is not None
        ]
        wanted: dict[str, Sized] = {
            "say `trained_until`": until,
            "add `tables.availability`": logs.intervals.item,
            "add `tables.impressions`": logs.impressions.item,
        }
        missing_of = [how for how, there in wanted.items() if not len(there)]
        if missing_of:
            return self.cannot(
                "nobody can tell which items are new, or how often they were shown", " and ".join(missing_of)
            )
        opened = np.full(len(logs.ids.items), np.iinfo(np.int64).max, dtype=np.int64)
        np.minimum.at(opened, logs.intervals.item, logs.intervals.open)
        known = opened < np.iinfo(np.int64).max
        cold = known & (opened >= min(until))
        replayed = np.zeros(len(logs.requests.time), dtype=bool)
        replayed[found.targets] = True
        shown = logs.impressions.item[replayed[logs.impressions.request]]
        acted = found.positives.item[found.positives.shown]
        new, old = int(cold[shown].sum()), int((known & ~cold)[shown].sum())
        seen, others = int(cold[acted].sum()), int((known & ~cold)[acted].sum())
        expected = new * others / old if old else 0.0
        if expected < _ENOUGH:
            return self.cannot(
                f"new items were shown {new:,} times, too few to tell whether what users did with them is there",
                "take a longer period, or one after items were added",
            )
        told = f"new items were shown {new:,} times and have {seen:,} positives, where older ones let expect {expected:,.0f}"
        missing = expected - seen
        share = missing / (missing + len(found.positives.item))
        if seen >= _FEW * expected or share <= self.limit(plan, "warn"):
            return self.passed(told, seen, round(expected))
        return self.fired(
            graver(share, self.limit(plan, "error"), len(found.targets)),
            f"{told}: {share:.1%} of all positives are not in the labels",
            "keep events on new items: they are misses of a model that does not know them",
            count=round(missing),
            of=round(missing) + len(found.positives.item),
            at=("service", "tables", "events"),
        )
