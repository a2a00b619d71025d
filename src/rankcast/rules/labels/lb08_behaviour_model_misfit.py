"""LB08 behaviour-model-misfit."""

from __future__ import annotations

from math import sqrt

from rankcast.config.plan import Plan
from rankcast.records import Examined, Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule


class BehaviourModelMisfit(Rule):
    """A metric that discounts by how far users look is no better than the click model behind it; one that predicts clicks
    worse than ranks alone weighs ranks by noise.

    Check: where a metric says `discount=examined`, on clicks of users that the model was not fitted to, its
    perplexity is not below that of ranks alone, or at some rank it predicts 10 % more or fewer clicks than there were
    (and by more than three standard errors). Remedy: log how many ranks were on the screen (`behaviour: {depth:
    ...}`), tell what attracts apart (`behaviour: {by: ...}`), or take `log2`. Source: Chuklin, Markov and de Rijke,
    2015; Deffayet and others, 2022.
    """

    code = "LB08"
    name = "behaviour-model-misfit"
    moment = "result"
    severity = "warning"
    at = ("study", "metrics")
    good = """
# study.yaml
metrics: {primary: dcg@10, also: [ndcg@10, "dcg(discount=examined)@10"]}
# data: all users look from the top down
"""
    bad = """
# study.yaml
metrics: {primary: dcg@10, also: [ndcg@10, "dcg(discount=examined)@10"]}
# data: half of the users see the whole list at once and click anywhere, the others look at its top
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        if not any("examination" in one.metric.needs() for one in plan.metrics):
            return self.cannot(
                "no metric discounts by how far users look", "only metrics with discount=examined need the click model"
            )
        looked = found.results.behaviour
        if looked is None or looked.perplexity is None or looked.perplexity_of_ranks is None:
            return self.cannot(
                "no clicks of users that the model was not fitted to", "add impressions and click events of more users"
            )
        wrong = [one for one in looked.ranks if self._misses(plan, one)]
        told = f"perplexity {looked.perplexity:.4f}, of ranks alone {looked.perplexity_of_ranks:.4f}"
        if looked.perplexity < looked.perplexity_of_ranks and not wrong:
            return self.passed(told, 0, len(looked.ranks))
        if wrong:
            told += "; predicted and observed clicks per impression: " + ", ".join(
                f"rank {one.rank}: {one.predicted:.4f} and {one.observed:.4f}" for one in wrong[:5]
            )
        remedy = (
            "log how many ranks were on the screen (`behaviour: {depth: ...}`), tell items apart (`by`), or take log2"
        )
        return self.fired("warning", told, remedy, count=len(wrong), of=len(looked.ranks))

    def _misses(self, plan: Plan, one: Examined) -> bool:
        if one.observed is None or one.predicted is None or not one.held_out or not one.observed:
            return False
        off = abs(one.predicted - one.observed)
        deviation = sqrt(one.observed * (1 - one.observed) / one.held_out)
        return off > self.limit(plan, "error") * one.observed and off > self.limit(plan, "deviations") * deviation
