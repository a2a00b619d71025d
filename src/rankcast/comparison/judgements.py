"""How much of a difference rests on items that nobody could judge."""

from __future__ import annotations

import numpy as np

from rankcast.comparison.estimates import Estimator
from rankcast.comparison.table import MetricColumn, measurable
from rankcast.records import JudgementRow
from rankcast.tables.logs import Floats


def judgements(estimator: Estimator) -> tuple[JudgementRow, ...]:
    """A row per variant and metric of which the unjudged share is known."""
    table = estimator.table
    return tuple(
        _row(estimator, metric, variant)
        for metric in table.metrics
        if metric.doubts
        for variant in table.variants
        if variant != table.baseline
    )


def _row(estimator: Estimator, metric: MetricColumn, variant: str) -> JudgementRow:
    table = estimator.table
    ours, theirs = metric.doubts[variant], metric.doubts[table.baseline]
    closed = estimator.plain([ours.condensed - theirs.condensed], table.weight).sure(0, 0)
    worst = best = None
    if ours.at_best is not None and theirs.at_best is not None:
        worst = _mean(metric.of(variant) - theirs.at_best, table.weight)
        best = _mean(ours.at_best - metric.of(table.baseline), table.weight)
    return JudgementRow(
        variant=variant,
        metric=metric.name,
        unjudged=_mean(ours.unjudged, table.weight),
        unjudged_baseline=_mean(theirs.unjudged, table.weight),
        difference=closed.estimate.value,
        low=closed.low,
        high=closed.high,
        worst=worst if metric.higher_is_better else best,
        best=best if metric.higher_is_better else worst,
    )


def _mean(values: Floats, weight: Floats) -> float | None:
    kept = measurable(values)
    total = float(weight[kept].sum())
    return float((weight * np.nan_to_num(values))[kept].sum()) / total if total > 0 else None
