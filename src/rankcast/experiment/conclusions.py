"""What may be concluded from the values table: every difference, and everything that bears on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from rankcast.comparison.averages import averages
from rankcast.comparison.cuped import cuped
from rankcast.comparison.days import by_day
from rankcast.comparison.distributions import distributions
from rankcast.comparison.estimates import Estimator
from rankcast.comparison.influence import influence
from rankcast.comparison.judgements import judgements
from rankcast.comparison.standardised import reversals, standardised
from rankcast.comparison.table import Part, Terms, ValuesTable
from rankcast.comparison.verdicts import compare
from rankcast.evaluate.truth.targets import Population
from rankcast.experiment import merge
from rankcast.records import (
    AverageRow,
    ComparisonRow,
    CupedRow,
    DayRow,
    DistributionRow,
    InfluenceRow,
    JudgementRow,
    MetricRow,
    StandardisedRow,
)
from rankcast.tables.logs import Logs


@dataclass(frozen=True)
class Conclusions:
    """Rows of `results`, by their names there."""

    metrics: tuple[MetricRow, ...]
    comparisons: tuple[ComparisonRow, ...]
    averages: tuple[AverageRow, ...]
    standardised: tuple[StandardisedRow, ...]
    reversals: tuple[str, ...]
    judgements: tuple[JudgementRow, ...]
    influence: tuple[InfluenceRow, ...]
    cuped: tuple[CupedRow, ...]
    days: tuple[DayRow, ...]
    distributions: tuple[DistributionRow, ...]

    def rows(self) -> dict[str, Any]:
        """By name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


def conclude(table: ValuesTable, terms: Terms, logs: Logs, population: Population, days: Sequence[Part]) -> Conclusions:
    """All of it, from one estimator: what is measured once is measured for all."""
    estimator = Estimator(table, terms)
    metrics, comparisons = compare(table, terms, estimator)
    weighed, mixed = averages(estimator), standardised(estimator)
    primary = next(metric.name for metric in table.metrics if metric.family == "primary")
    return Conclusions(
        metrics=metrics,
        comparisons=comparisons,
        averages=weighed,
        standardised=mixed,
        reversals=reversals(comparisons, mixed, weighed, primary),
        judgements=judgements(estimator),
        influence=merge.influence_rows(influence(estimator), logs, population),
        cuped=cuped(estimator),
        days=by_day(table, terms, days),
        distributions=distributions(table),
    )
