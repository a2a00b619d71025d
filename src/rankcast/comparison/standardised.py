"""The difference if segments were mixed as in all replayed requests; and reversals: what says otherwise than the total."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, sqrt

import numpy as np

from rankcast.comparison.estimates import Estimator, Grouping
from rankcast.comparison.measured import Contrast, opposite
from rankcast.comparison.table import MetricColumn, measurable
from rankcast.records import AverageRow, ComparisonRow, StandardisedRow, Value
from rankcast.stats.clustered import Estimate
from rankcast.tables.logs import Floats
from rankcast.text import average_interval, change, relative_interval, segment_name, signed


def standardised(estimator: Estimator) -> tuple[StandardisedRow, ...]:
    """A row per decided variant and segment column whose mix among the replayed requests is known; primary metric."""
    table = estimator.table
    primary = next(metric for metric in table.metrics if metric.family == "primary")
    if primary.values is None:
        return ()
    rows = []
    for variant in (name for name in table.variants if name in table.decided):
        total = estimator.contrasts(primary, variant)[0]
        for grouping in estimator.groupings[1:]:
            segment = table.parts[grouping.parts[0]].segment
            if segment is not None and segment.column in table.mixes:
                rows.append(_row(estimator, grouping, primary, variant, total, table.mixes[segment.column]))
    return tuple(rows)


def _row(
    estimator: Estimator,
    grouping: Grouping,
    metric: MetricColumn,
    variant: str,
    total: Contrast,
    mix: Mapping[Value, float],
) -> StandardisedRow:
    table = estimator.table
    segments = [table.parts[at].segment for at in grouping.parts]
    wanted = np.array([mix.get(segment.value, 0.0) if segment is not None else 0.0 for segment in segments])
    estimate, weight = _estimate(estimator, grouping, metric, variant, wanted)
    low, high = estimate.interval(estimator.terms.confidence)
    plain = total.sure.estimate.value
    return StandardisedRow(
        variant=variant,
        metric=metric.name,
        column=segments[0].column if segments[0] is not None else "",
        difference=plain,
        standardised=estimate.value,
        low=low,
        high=high,
        psi=_psi(weight, wanted) if len(wanted) == len(mix) else None,
        reversal=opposite(estimate.value, plain),
    )


def _estimate(
    estimator: Estimator, grouping: Grouping, metric: MetricColumn, variant: str, wanted: Floats
) -> tuple[Estimate, Floats]:
    """sum of share * mean over the values that have targets, shares taken as known; and the targets' own shares.

    u = sum over values of share / W * w (d - mean of the value), summed by user; var = G / (G - 1) * sum(u^2).
    """
    d = grouping.of(metric.of(variant) - metric.of(estimator.table.baseline))
    present = measurable(d)
    kept = None if present.all() else present
    weighing = grouping.user.weighing(grouping.of(estimator.table.weight), kept)
    sums, total, rows = weighing.sums([d]), weighing.total, weighing.rows
    cells = weighing.cells
    share = np.where(total > 0, wanted, 0.0)
    share = share / share.sum() if share.sum() > 0 else share
    found = sums.residuals()
    users = len(np.unique(cells.cluster[rows > 0]))
    own: Floats = total / total.sum() if total.sum() > 0 else total
    if not share.sum() > 0:
        return Estimate(None, None, int(rows.sum()), users), own
    value = float((share * np.nan_to_num(found.means[0])).sum())
    factor = np.divide(share, total, out=np.zeros(len(total)), where=total > 0)
    by_user = np.bincount(cells.cluster, found.values[0] * factor[cells.part])
    error = sqrt(users / (users - 1) * float((by_user**2).sum())) if users > 1 else None
    return Estimate(value, error, int(rows.sum()), users), own


def _psi(own: Floats, other: Floats) -> float | None:
    """Population stability index: sum of (p - q) ln(p / q); None where one has a value that the other has not."""
    if not len(own) or (own <= 0).any() or (other <= 0).any():
        return None
    return float(sum((p - q) * log(p / q) for p, q in zip(own, other, strict=True)))


def reversals(
    comparisons: Sequence[ComparisonRow], mixes: Sequence[StandardisedRow], weighed: Sequence[AverageRow], primary: str
) -> tuple[str, ...]:
    """Where the primary difference of a variant goes the other way than its total, in words."""
    totals = {row.variant: row for row in comparisons if row.metric == primary and row.segment is None}
    told = [
        f"{row.variant}: averaged by {row.average}, {row.metric} differs by {change(row)} "
        f"({average_interval(row)}); the average that decides says {_total(totals[row.variant])}"
        for row in weighed
        if row.changes_sign and row.metric == primary
    ]
    told += [
        f"{row.variant}: with the mix of {row.column} of all replayed requests, {row.metric} differs by "
        f"{signed(row.standardised)} ({signed(row.low)} to {signed(row.high)}), not by {signed(row.difference)}"
        for row in mixes
        if row.reversal
    ]
    told += [
        f"{row.variant}: where {row.segment.column} is {segment_name(row.segment)}, {row.metric} differs by "
        f"{change(row)} ({relative_interval(row)}, "
        f"{row.n_requests:,} requests); over all targets by {_total(totals[row.variant])}"
        for row in comparisons
        if row.metric == primary
        and row.segment is not None
        and row.verdict is not None
        and row.low is not None
        and row.high is not None
        and row.low * row.high > 0
        and opposite(row.difference, totals[row.variant].difference)
    ]
    return tuple(told)


def _total(row: ComparisonRow) -> str:
    return f"{change(row)} ({relative_interval(row)})"
