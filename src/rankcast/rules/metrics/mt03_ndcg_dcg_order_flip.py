"""MT03 ndcg-dcg-order-flip."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import TWIN, Found
from rankcast.rules.rule import Rule, decided_of


class NdcgDcgOrderFlip(Rule):
    """nDCG divides each request by its own best value. Requests with few relevant items weigh as much as those with many,
    and the order of two models can turn round against what users get.

    Check: the differences in DCG and nDCG of the same cut-off have opposite signs; an error where both intervals
    leave zero out. The one that the study does not have is measured besides. Remedy: decide by DCG. Source: Jeunen,
    Potapov and Ustimenko, KDD 2024.
    """

    code = "MT03"
    name = "ndcg-dcg-order-flip"
    moment = "result"
    severity = "error"
    at = ("study", "metrics", "primary")
    good = """
# study.yaml
metrics: {primary: dcg@10}
"""
    bad = """
# study.yaml
metrics: {primary: ndcg@10, also: [dcg@10]}
# data: two_tower is better for requests with one relevant item and worse for those with several
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        primary = str(plan.metrics[0].metric)
        name = primary.partition("@")[0].partition("(")[0]
        if name not in {"dcg", "ndcg"}:
            return self.cannot(
                f"the study decides by {primary}, neither DCG nor nDCG", "there is nothing to hold against each other"
            )
        if TWIN not in found.shadows or not len(found.targets) or not decided_of(plan):
            return self.cannot("nothing is decided, or no target is left", "the ledger says where they were lost")
        rows = [(one, found.again(one), found.again(one, metric=TWIN)) for one in decided_of(plan)]
        known = [(one, ours, theirs) for one, ours, theirs in rows if ours is not None and theirs is not None]
        other = primary[1:] if name == "ndcg" else f"n{primary}"
        for variant, ours, theirs in known:
            if ours.value * theirs.value < 0 and (ours.sure or theirs.sure):
                return self.fired(
                    "error" if ours.sure and theirs.sure else "warning",
                    f"{variant}: {primary} {ours.value:+.4g}, but {other} {theirs.value:+.4g}",
                    "decide by dcg; look at requests with many relevant items",
                )
        if not known:
            return self.cannot("no variant has a difference", "the ledger says where the targets were lost")
        return self.passed(
            "; ".join(
                f"{variant}: {primary} {ours.value:+.4g}, {other} {theirs.value:+.4g}"
                for variant, ours, theirs in known
            )
        )
