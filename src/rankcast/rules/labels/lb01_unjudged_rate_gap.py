"""LB01 unjudged-rate-gap."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Difference, Found
from rankcast.rules.rule import Rule, decided_of, effect_of
from rankcast.rules.thresholds import FEW


class UnjudgedRateGap(Rule):
    """A new model shows items that the user was never shown, so nobody could like them: they count as misses, and the old
    model wins because it chose what could be judged.

    Check: the unjudged share of a variant's lists less that of the baseline's. Effect: the difference on judged items
    alone. The gap alone is never an error, as every new model has one; it is where it exceeds the second threshold
    and that difference surely has the other sign. Remedy: read the difference on judged items and its bounds beside
    the primary one; show some lists at random. Source: Buckley and Voorhees, 2004; Castells and Moffat, 2022.
    """

    code = "LB01"
    name = "unjudged-rate-gap"
    moment = "result"
    severity = "error"
    at = ("study", "metrics")
    good = """
# study.yaml
variants:
  two_tower: {scores: {path: ../data/scores/two_tower.parquet}}
# data: two_tower reorders much of what users were shown
"""
    bad = """
# study.yaml
variants:
  two_tower: {scores: {path: ../data/scores/two_tower.parquet}}
# data: two_tower puts posts first that the user was never shown, and ranks the others better than production
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        primary = str(plan.metrics[0].metric)
        rows = [
            row
            for row in found.results.judgements
            if row.variant in decided_of(plan) and row.unjudged is not None and row.unjudged_baseline is not None
        ]
        if not rows:
            return self.cannot(
                "nobody can tell what users were shown, or no metric looks at labels", "add `tables.impressions`"
            )
        if len(found.targets) < FEW:
            return self.cannot(f"{len(found.targets):,} targets are too few", "take a longer period")
        worst = max(rows, key=lambda row: ((row.unjudged or 0) - (row.unjudged_baseline or 0), row.metric == primary))
        gap = (worst.unjudged or 0) - (worst.unjudged_baseline or 0)
        told = (
            f"{worst.unjudged:.1%} of what {worst.variant} shows ({worst.metric}) was never shown to the user, "
            f"{worst.unjudged_baseline:.1%} of what the baseline shows"
        )
        if gap <= self.limit(plan, "warn"):
            return self.passed(told)
        mine = next((row for row in rows if row.variant == worst.variant and row.metric == primary), worst)
        again = None
        if mine.difference is not None and mine.metric == primary:
            again = Difference(mine.difference, mine.low, mine.high, None, len(found.targets))
        effect = effect_of(found, worst.variant, again)
        if effect is not None and gap <= self.limit(plan, "error"):
            effect = effect.model_copy(update={"overturns": False})
        if effect is not None and effect.without is not None and effect.difference is not None:
            told += (
                f"; on judged items alone the difference is {effect.without:+.4g} instead of {effect.difference:+.4g}"
            )
        return self.fired(
            "warning",
            told,
            "read the difference on judged items and its bounds; show some lists at random, so that new items can be judged",
            effect=effect,
            without="on judged items alone",
            at=("study", "variants", worst.variant),
        )
