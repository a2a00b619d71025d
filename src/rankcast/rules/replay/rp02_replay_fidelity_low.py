"""RP02 replay-fidelity-low."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import WITH_STEP, Rule, gain_over_all


class ReplayFidelityLow(Rule):
    """The replayed baseline does not match the lists that users were really shown, so a new model's replay shows lists that
    nobody would have seen either.

    Check: mean overlap of the baseline's slates with the impressions; an error below the study's `fidelity.at_least`,
    a warning below the threshold. Where that holds, a warning for a mean rank error of common items above the
    threshold, or too few requests with scores of the baseline, or another clock or batch that brings the replay
    closer. Remedy: find the step, batch or time zone in which replay and production differ; the suspects of the
    report name some. Source: Goda, a talk on Wantedly's offline evaluation, 2023; Webber, Moffat and Zobel, 2010.
    """

    code = "RP02"
    name = "replay-fidelity-low"
    moment = "result"
    severity = "error"
    at = ("study", "fidelity")
    good = """
# study.yaml
variants:
  production: {scores: {path: ../data/scores/production.parquet}}
# data: the scores that served, with the time of each batch
"""
    bad = """
# study.yaml
variants:
  production: {scores: {path: ../data/scores/production.parquet}}
# data: scores of a model that was trained again since, not those that served
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        fidelity, bar = found.results.fidelity, plan.study.fidelity.at_least
        if fidelity is None or fidelity.overlap is None:
            return self.cannot(
                "no replayed request has an impression",
                "add the lists that were really shown as `tables.impressions` (request_id, item_id, rank)",
            )
        told = f"mean overlap {fidelity.overlap:.3f} over {fidelity.requests:,} requests, bar {bar:g}"
        own = next(one for one in plan.variants if one.name == plan.study.baseline)
        if own.candidates == "impressions":
            told += (
                f"; candidates are what was shown, so overlap says little: {fidelity.exact or 0:.1%} of the lists have its "
                "order"
            )
        remedy = "compare the steps, their order, the batches and the time zone with production's"
        if fidelity.suspects:
            first = fidelity.suspects[0]
            remedy += f"; the replay comes closer {first.what} ({first.before:.3f} to {first.overlap:.3f})"
        if fidelity.overlap < max(bar, self.limit(plan, "warn")):
            return self.fired("error" if fidelity.overlap < bar else "warning", told, remedy, of=fidelity.requests)
        base = next((row for row in found.results.variants if row.variant == fidelity.variant), None)
        covered = 1.0 if base is None or not base.requests else 1 - base.without_scores / base.requests
        if covered < self.limit(plan, "covered"):
            return self.fired(
                "warning", f"{told}; only {covered:.1%} of the requests have scores of {fidelity.variant}", remedy
            )
        others = [one for one in fidelity.suspects if not one.what.startswith(WITH_STEP)]
        best = max(others, key=lambda one: gain_over_all(one, fidelity), default=None)
        if best is not None and gain_over_all(best, fidelity) > self.limit(plan, "gain"):
            return self.fired(
                "warning", f"{told}; but the replay comes closer {best.what}", remedy, of=fidelity.requests
            )
        if (fidelity.rank_mae or 0.0) > self.limit(plan, "rank_mae"):
            return self.fired(
                "warning", f"{told}; common items stand {fidelity.rank_mae:.2f} ranks apart on average", remedy
            )
        return self.passed(told, fidelity.requests, fidelity.requests)
