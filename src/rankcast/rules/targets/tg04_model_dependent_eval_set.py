"""TG04 model-dependent-eval-set."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule
from rankcast.rules.thresholds import LEAST


class ModelDependentEvalSet(Rule):
    """Each model is averaged over the users that it could serve, so an easy half of the users wins against all of them.

    Check: the requests with a value of a metric differ between variants; an error for the primary metric, a warning
    for others. Remedy: a metric that has a value for an empty list; leaving requests out for all variants is no
    remedy, it drops the hard ones. Source: Goda, a talk on Wantedly's offline evaluation, 2023.
    """

    code = "TG04"
    name = "model-dependent-eval-set"
    moment = "result"
    severity = "error"
    at = ("study", "metrics")
    good = """
# study.yaml
metrics: {primary: dcg@10}            # an empty list is worth 0
"""
    bad = """
# study.yaml
metrics: {primary: "shop_hits:ShareOfHits@10"}   # hits / items shown: an empty list has none, so it is not judged
# data: two_tower has no scores for one user in thirty
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        judged: dict[str, dict[str, int]] = {}
        for row in found.results.metrics:
            if row.segment is None:
                judged.setdefault(row.metric, {})[row.variant] = row.n_requests
        if not judged or not len(found.targets):
            return self.cannot("no metric has a value", "the ledger says where the targets were lost")
        if all(len(of) < 2 for of in judged.values()):
            return self.cannot(
                "there is one variant", "add another one: a set of requests differs from that of another variant"
            )
        primary = str(plan.metrics[0].metric)
        differing = {metric: of for metric, of in judged.items() if len(set(of.values())) > 1}
        if differing:
            metric = primary if primary in differing else next(iter(differing))
            told = ", ".join(f"{variant} {n:,}" for variant, n in differing[metric].items())
            return self.fired(
                "error" if metric == primary and len(found.targets) >= LEAST else "warning",
                f"{metric} is measured on other requests for each variant: {told}",
                "take a metric that has a value for an empty list",
                count=max(differing[metric].values()) - min(differing[metric].values()),
                of=len(found.targets),
            )
        return self.passed(
            f"every metric is measured on the same requests for all variants ({len(judged)} metrics)", 0, len(judged)
        )
