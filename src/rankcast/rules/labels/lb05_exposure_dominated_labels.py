"""LB05 exposure-dominated-labels."""

from __future__ import annotations

import numpy as np

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, decided_of, effect_of, strongest


class ExposureDominatedLabels(Rule):
    """What is shown most gets most of the clicks, and so the right to be shown again. A few items decide for all.

    Check: the most shown items (a share of them, see the threshold) hold more than half of the positives. Effect: the
    difference over targets none of whose relevant items is one of them; it is an error where that has the other sign.
    Remedy: a metric of the supply side as guardrail; segments by how much an item was shown. Source: Jadidinejad,
    Macdonald and Ounis, TOIS 2021; Chaney, Stewart and Engelhardt, 2018.
    """

    code = "LB05"
    name = "exposure-dominated-labels"
    moment = "data"
    severity = "error"
    at = ("service", "labels")
    good = """
# study.yaml
metrics: {guardrails: [coverage@10]}
# data: what users liked is spread over many posts
"""
    bad = """
# study.yaml
metrics: {guardrails: [coverage@10]}
# data: users click on the one per cent of posts that are shown most; two_tower is better there, and worse elsewhere
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        logs = found.logs
        exposure = np.bincount(logs.impressions.item, minlength=len(logs.ids.items))
        shown = np.flatnonzero(exposure)
        if len(shown) < 1 / self.limit(plan, "top") or not len(found.positives.item):
            return self.cannot(
                f"{len(shown):,} items were shown: too few to speak of the most shown, or nothing is relevant",
                "add `tables.impressions`",
            )
        order = shown[np.argsort(-exposure[shown], kind="stable")]
        top = order[: max(1, round(self.limit(plan, "top") * len(shown)))]
        held = np.isin(found.positives.item, top)
        count, size = int(held.sum()), len(held)
        told = (
            f"the {len(top):,} most shown of {len(shown):,} items hold {count:,} of {size:,} relevant labels "
            f"({count / size:.1%})"
        )
        if count <= self.limit(plan, "share") * size:
            return self.passed(told, count, size)
        keep = ~np.isin(found.targets, found.positives.request[held])
        return self.fired(
            "warning",
            told,
            "add a guardrail of the supply side (`coverage@10`, `exposure_gini(by=...)@10`); look at segments by exposure",
            count=count,
            of=size,
            examples=logs.ids.items.gather(top[:5]).to_list(),
            effect=strongest([effect_of(found, name, found.again(name, keep=keep)) for name in decided_of(plan)]),
            at=("study", "metrics"),
        )
