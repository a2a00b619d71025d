"""What a run said of its variants, as the record keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from rankcast.history.tests import Change
from rankcast.records import ComparisonRow
from rankcast.stats.student import t_quantile


def change_of(row: ComparisonRow, confidence: float) -> Change:
    """The difference and log-ratio of a row, each with the standard error behind its interval.

    The interval of the relative difference is Fieller's; as a log-ratio it is (ln(1 + high) - ln(1 + low)) / 2 t wide.
    """
    t = t_quantile(0.5 + confidence / 2, row.degrees_of_freedom or max(1, row.n_users - 1))
    error = None if row.low is None or row.high is None else (row.high - row.low) / 2 / t
    if row.relative is None or row.relative <= -1:
        return Change(row.difference, error)
    bounds = row.shown_bounds
    of_ratio = None
    if bounds is not None and bounds[0] > -1:
        of_ratio = (log(1 + bounds[1]) - log(1 + bounds[0])) / 2 / t
    return Change(row.difference, error, log(1 + row.relative), of_ratio)


def numbers_of(rows: Sequence[ComparisonRow], variant: str, confidence: float) -> dict[str, Change]:
    """Every metric of a variant over all targets."""
    return {
        row.metric: change_of(row, confidence)
        for row in rows
        if row.variant == variant and row.segment is None and row.difference is not None
    }
