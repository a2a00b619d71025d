"""How values spread over targets: what a mean hides."""

from __future__ import annotations

from typing import Literal

import numpy as np

from rankcast.comparison.measured import TIE
from rankcast.comparison.table import MetricColumn, ValuesTable, measurable
from rankcast.records import DistributionRow
from rankcast.tables.logs import Floats

BINS = 20
_QUANTILES = (0.1, 0.5, 0.9)


def distributions(table: ValuesTable) -> tuple[DistributionRow, ...]:
    """The values of every variant, and the differences of every other to the baseline, of each metric with a value per request.

    All variants of a metric share their bins; what is exactly 0 is told apart from the bins, since it often is most.
    """
    rows: list[DistributionRow] = []
    for metric in table.metrics:
        if metric.values is not None:
            rows += _values(table, metric)
            rows += _differences(table, metric)
    return tuple(rows)


def _values(table: ValuesTable, metric: MetricColumn) -> list[DistributionRow]:
    columns = {variant: _known(metric.of(variant)) for variant in table.variants}
    low, high = _range(np.concatenate(list(columns.values())))
    return [_row(metric, variant, "value", values, low, high) for variant, values in columns.items()]


def _differences(table: ValuesTable, metric: MetricColumn) -> list[DistributionRow]:
    base, columns = metric.of(table.baseline), {}
    for variant in table.variants:
        if variant != table.baseline:
            ours = metric.of(variant)
            both = measurable(ours, base)
            columns[variant] = ours[both] - base[both]
    if not columns:
        return []
    reach = max(abs(end) for end in _range(np.concatenate(list(columns.values()))))
    return [_row(metric, variant, "difference", values, -reach, reach) for variant, values in columns.items()]


def _known(values: Floats) -> Floats:
    return values[~np.isnan(values)]


def _range(values: Floats) -> tuple[float, float]:
    return (float(min(values.min(), 0)), float(max(values.max(), 0))) if len(values) else (0.0, 0.0)


def _row(
    metric: MetricColumn, variant: str, of: Literal["value", "difference"], values: Floats, low: float, high: float
) -> DistributionRow:
    zero = np.abs(values) <= TIE
    bins = BINS if high > low else 1
    counts, _ = np.histogram(values[~zero], bins, (low, high))
    quantiles = np.quantile(values, _QUANTILES) if len(values) else ()
    return DistributionRow(
        variant=variant,
        metric=metric.name,
        of=of,
        low=low,
        high=high,
        counts=tuple(int(one) for one in counts),
        zero=int(zero.sum()),
        quantiles=tuple(float(one) for one in quantiles),
    )
