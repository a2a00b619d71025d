"""The same difference under every way to weigh requests: one decides, all are shown."""

from __future__ import annotations

import numpy as np

from rankcast.comparison.estimates import Estimator
from rankcast.comparison.measured import opposite
from rankcast.comparison.table import MetricColumn, measurable
from rankcast.records import AverageRow
from rankcast.tables.logs import Bools, Floats, Ints


def averages(estimator: Estimator) -> tuple[AverageRow, ...]:
    """A row per metric with a value per request, variant and average."""
    table = estimator.table
    rows: list[AverageRow] = []
    for metric in table.metrics:
        if metric.values is None:
            continue
        for variant in (name for name in table.variants if name != table.baseline):
            mine = [_row(estimator, metric, variant, at) for at in range(len(table.averages))]
            deciding = mine[0].difference if mine else None
            rows += [row.model_copy(update={"changes_sign": opposite(row.difference, deciding)}) for row in mine]
    return tuple(rows)


def effective_size(weight: Floats) -> float | None:
    """Kish's effective sample size: so many equal weights are as good, (sum w)^2 / sum w^2 (Kish, 1965).

    >>> effective_size(np.array([1.0, 1.0, 2.0]))
    2.6666666666666665
    """
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares > 0 else None


def _row(estimator: Estimator, metric: MetricColumn, variant: str, at: int) -> AverageRow:
    table = estimator.table
    average = table.averages[at]
    ours, theirs = metric.of(variant), metric.of(table.baseline)
    if at == 0:
        contrast = estimator.contrasts(metric, variant)[0]
    else:
        contrast = estimator.plain([ours - theirs, theirs], average.weight).contrast(0)
    kept = measurable(ours, theirs)
    value, base, sure = contrast.sure.estimate.value, contrast.baseline, contrast.sure
    bounds = contrast.relative_bounds(estimator.terms.confidence)
    return AverageRow(
        variant=variant,
        metric=metric.name,
        average=average.name,
        decides=at == 0,
        value=None if value is None or base is None else base + value,
        baseline_value=base,
        difference=value,
        relative=contrast.relative,
        relative_low=None if bounds is None else bounds[0],
        relative_high=None if bounds is None else bounds[1],
        low=sure.low,
        high=sure.high,
        p=sure.p,
        effective_requests=effective_size(average.weight[kept]),
        effective_users=effective_size(_by_user(estimator.user, average.weight, kept)),
        changes_sign=False,
    )


def _by_user(user: Ints, weight: Floats, kept: Bools) -> Floats:
    return np.bincount(user[kept], weight[kept]).astype(np.float64)
