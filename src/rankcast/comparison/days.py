"""The primary difference day by day: whether it holds, or came from one odd day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rankcast.comparison.estimates import Estimator
from rankcast.comparison.table import Part, Terms, ValuesTable
from rankcast.comparison.verdicts import differences
from rankcast.records import DayRow


def by_day(table: ValuesTable, terms: Terms, days: Sequence[Part]) -> tuple[DayRow, ...]:
    """Every variant against the baseline on each day's targets; nothing where the metric is one number per variant.

    Intervals are linearised and clustered, whatever the study asks for: they are for looking, not for deciding.
    """
    primary = next(metric for metric in table.metrics if metric.family == "primary")
    if primary.values is None or not days:
        return ()
    plain = replace(primary, doubts={})
    daily = replace(table, parts=tuple(days), metrics=(plain,), covariate=None)
    rows = differences(Estimator(daily, replace(terms, method="clustered")), plain)
    return tuple(
        DayRow(
            variant=row.variant,
            metric=row.metric,
            day=str(row.segment.value),
            difference=row.difference,
            relative=row.relative,
            low=row.low,
            high=row.high,
            n_requests=row.n_requests,
            n_users=row.n_users,
        )
        for _, row in rows
        if row.segment is not None
    )
