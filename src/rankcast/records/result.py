"""`result.json`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from rankcast.records.accounts import Count, LateRow, LedgerRow
from rankcast.records.base import Decision, Record
from rankcast.records.behaviour import Behaviour
from rankcast.records.comparison import (
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
from rankcast.records.finding import Finding
from rankcast.records.history import History
from rankcast.records.replay import ExposureRow, Fidelity, ItemRow, ShownRow, StepRow, TieRow, VariantRow


class VariantDecision(Record):
    """What to do with a variant, and why."""

    decision: Decision
    because: str


class Results(Record):
    """All numbers of a run. The same inputs give the same bytes."""

    counts: tuple[Count, ...]
    targets: tuple[LedgerRow, ...]
    late: tuple[LateRow, ...] = ()
    variants: tuple[VariantRow, ...]
    steps: tuple[StepRow, ...]
    fidelity: Fidelity | None
    metrics: tuple[MetricRow, ...]
    comparisons: tuple[ComparisonRow, ...]
    averages: tuple[AverageRow, ...] = ()
    standardised: tuple[StandardisedRow, ...] = ()
    reversals: tuple[str, ...] = ()
    judgements: tuple[JudgementRow, ...] = ()
    influence: tuple[InfluenceRow, ...] = ()
    cuped: tuple[CupedRow, ...] = ()
    behaviour: Behaviour | None = None
    shown: tuple[ShownRow, ...] = ()
    ties: tuple[TieRow, ...] = ()
    days: tuple[DayRow, ...] = ()
    distributions: tuple[DistributionRow, ...] = ()
    exposure: tuple[ExposureRow, ...] = ()
    items: tuple[ItemRow, ...] = ()


class Result(Record):
    """`result.json`."""

    rankcast: Literal[1] = 1
    study: str
    run: str
    decision: dict[str, VariantDecision]
    results: Results
    findings: tuple[Finding, ...]
    history: History | None = Field(
        default=None, description="what past online tests say of the metrics; null: no `history:`"
    )

    def document(self) -> dict[str, Any]:
        """As plain values, with the names of the file."""
        return self.model_dump(mode="json", by_alias=True)
