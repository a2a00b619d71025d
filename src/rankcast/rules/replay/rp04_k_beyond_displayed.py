"""RP04 k-beyond-displayed."""

from __future__ import annotations

import numpy as np
import polars as pl

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule


class KBeyondDisplayed(Rule):
    """A metric rewards positions that nobody sees.

    Check: the largest cut-off k of the metrics of hits (the whole list counts as `served`) against the length of the
    lists that were really shown, at the quantile of the threshold; where `behaviour.depth` is logged, against how far
    users scrolled. Remedy: k = the page that users see, or a metric that weighs ranks by how far users look
    (`discount=examined`). Source: Goda, a talk on Wantedly's offline evaluation, 2023.
    """

    code = "RP04"
    name = "k-beyond-displayed"
    moment = "data"
    severity = "warning"
    at = ("study", "metrics")
    good = """
# study.yaml
metrics: {primary: dcg@10}
"""
    bad = """
# study.yaml
metrics: {primary: dcg@10, also: [ndcg@50]}
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        logs = found.logs
        start, length = logs.impressions_of(found.replayed)
        del start
        depth = plan.service.behaviour.depth if plan.service.behaviour is not None else None
        shown = length[length > 0].astype(np.float64)
        if depth is not None:
            column = logs.requests.frame[depth.partition(".")[2]].gather(found.replayed).cast(pl.Float64).drop_nulls()
            shown = column.to_numpy()
        if not len(shown):
            return self.cannot(
                "nobody can tell how far users see", "add `tables.impressions`, or `behaviour: {depth: request.depth}`"
            )
        far = float(np.quantile(shown, self.limit(plan, "quantile"), method="higher"))
        cuts = {
            str(one.metric): one.metric.k or plan.service.production.served
            for one in plan.metrics
            if one.metric.needs_labels
        }
        beyond = {name: k for name, k in cuts.items() if k > far}
        told = f"{self.limit(plan, 'quantile'):.0%} of users see at most {far:g} ranks"
        if not beyond:
            return self.passed(f"{told}; the deepest metric looks at {max(cuts.values(), default=0)}", 0, len(cuts))
        return self.fired(
            "warning",
            f"{told}, but {', '.join(beyond)} reward{'s' if len(beyond) == 1 else ''} ranks down to {max(beyond.values())}",
            f"cut at {far:g}, or weigh ranks by how far users look (`discount=examined`)",
            count=len(beyond),
            of=len(cuts),
        )
