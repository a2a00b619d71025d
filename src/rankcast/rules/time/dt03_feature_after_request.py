"""DT03 feature-after-request."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, decided_of


class FeatureAfterRequest(Rule):
    """An aggregate, an embedding or a popularity count that was computed after the request holds what the user then did.

    Check: rows of `training.features` whose `as_of` lies after their request (an error); a single feature that tells
    relevant items from others with an AUC above the threshold (a warning: it may know the answer). Remedy: join
    features as of the request. Source: Kapoor and Narayanan, 2023.
    """

    code = "DT03"
    name = "feature-after-request"
    moment = "data"
    severity = "error"
    at = ("study", "variants")
    good = """
# study.yaml
variants:
  two_tower: {training: {features: {path: ../data/features.parquet}}}
# data: features.parquet has request_id, item_id, as_of and the features; each as_of lies before its request
"""
    bad = """
# study.yaml
variants:
  two_tower: {training: {features: {path: ../data/features.parquet}}}
# data: features.parquet has a click_rate as of the end of the period, after all requests
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        known = {name: found.features[name] for name in decided_of(plan) if name in found.features}
        late = {name: one for name, one in known.items() if one.late}
        if late:
            name, one = max(late.items(), key=lambda pair: pair[1].late)
            return self.fired(
                "error",
                f"{name}: {one.late:,} of {one.rows:,} rows of features were computed after their request",
                "join features as of the request",
                count=one.late,
                of=one.rows,
                examples=one.late_requests,
                at=("study", "variants", name, "training", "features"),
            )
        limit = self.limit(plan, "auc")
        telling = [
            (name, feature, auc)
            for name, one in known.items()
            for feature, auc in one.with_label.items()
            if auc > limit
        ]
        if telling:
            name, feature, auc = max(telling, key=lambda row: row[2])
            return self.fired(
                "warning",
                f"{name}: the feature `{feature}` alone tells relevant items from others (AUC {auc:.3f}): it may know the answer",
                "look up when it is computed; join features as of the request",
                examples=[row[1] for row in telling],
                at=("study", "variants", name, "training", "features"),
            )
        empty = [name for name, one in known.items() if one.dated and not one.rows]
        if empty:
            return self.cannot(
                f"no row of the features of {', '.join(empty)} belongs to a replayed request",
                "keep those of the period, by request_id",
            )
        silent = [
            name for name in decided_of(plan) if name not in known or not known[name].dated or not known[name].rows
        ]
        if silent or not known:
            return self.cannot(
                f"no features with `as_of` and `request_id` for {', '.join(silent) or 'any model'}",
                "keep what the model was fed: `training: {features: {path: ...}}` with request_id and as_of",
            )
        return self.passed("every feature was known before its request", 0, sum(one.rows for one in known.values()))
