"""LB03 logging-rank-as-feature."""

from __future__ import annotations

import re

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, decided_of

_LOGGED = re.compile(
    r"(logged|shown|displayed|impression|served|production)_?(rank|pos|score)|^(rank|position|pos|impression_rank)$"
)


class LoggingRankAsFeature(Rule):
    """A model that is fed the rank or the score that production gave an item learns to repeat production. Online that number
    does not exist yet when the model is asked.

    Check: a declared feature, or a column handed to a Python variant, is called like the logged rank or score; a
    feature's rank correlation with the logged rank is near 1 or -1; a variant's lists agree with the log nearly
    entirely, and more than those of the replayed baseline do. Remedy: drop the feature. Source: practice.
    """

    code = "LB03"
    name = "logging-rank-as-feature"
    moment = "data"
    severity = "error"
    at = ("study", "variants")
    good = """
# study.yaml
variants:
  two_tower: {training: {features: {path: ../data/features.parquet}}}
# data: its features are known before a list is shown, such as the wage
"""
    bad = """
# study.yaml
variants:
  two_tower: {training: {features: {path: ../data/fed.parquet}}}
# data: one of the features is logged_rank
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        named = {}
        for one in plan.variants:
            columns = (
                [name.partition(".")[2] for name in (one.spec.python.columns or ())]
                if one.spec.python is not None
                else []
            )
            columns += found.features[one.name].names if one.name in found.features else []
            named[one.name] = [name for name in columns if _LOGGED.search(name.lower())]
        suspicious = {name: columns for name, columns in named.items() if columns}
        if suspicious:
            name, columns = next(iter(suspicious.items()))
            return self.fired(
                "error",
                f"{name} is fed what production did: {', '.join(columns)}",
                "drop it from the model",
                at=("study", "variants", name),
            )
        strongest = [
            (abs(value), name, feature, value)
            for name, one in found.features.items()
            for feature, value in one.with_rank.items()
        ]
        if strongest and max(strongest)[0] > self.limit(plan, "correlation"):
            _, name, feature, value = max(strongest)
            told = f"{name}: the feature `{feature}` has a rank correlation of {value:+.3f} with the logged rank"
            return self.fired(
                "error",
                told,
                "drop it from the model, or say how it is known when the model is asked",
                at=("study", "variants", name),
            )
        rbo = {row.variant: row.rbo_to_log for row in found.results.shown if row.rbo_to_log is not None}
        mine = {name: rbo[name] for name in decided_of(plan) if name in rbo}
        base = rbo.get(plan.study.baseline)
        own = next(one for one in plan.variants if one.name == plan.study.baseline)
        if not own.decided:
            base = None  # a reference was not made to reproduce the log, so being closer to it says nothing
        if base is None or not mine:
            return self.cannot(
                "neither features nor lists that were shown say whether a model repeats production",
                "add `tables.impressions`, or keep what the model was fed: `training: {features: {path: ...}}`",
            )
        name = max(mine, key=lambda one: mine[one] or 0.0)
        value = mine[name] or 0.0
        told = (
            f"the lists of {name} agree with the log by {value:.3f} (rank-biased overlap), those of the replayed baseline "
            f"by {base:.3f}"
        )
        if value > self.limit(plan, "rbo") and value - base > self.limit(plan, "closer"):
            return self.fired(
                "error",
                told + ": it knows what was shown",
                "look for the logged rank or score among its features",
                at=("study", "variants", name),
            )
        return self.passed(told)
