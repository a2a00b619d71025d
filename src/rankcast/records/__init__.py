"""The values that a study produces: rows of `result.json`. Frozen, serialisable, and the source of its JSON Schema.

Null means "not measurable" everywhere; NaN never appears.
"""

from __future__ import annotations

from rankcast.records.accounts import Count, Fingerprint, LateRow, LedgerRow
from rankcast.records.base import Decision, Method, Record, Segment, Value, Verdict
from rankcast.records.behaviour import Behaviour, Examined
from rankcast.records.comparison import (
    AverageRow,
    ComparisonRow,
    CupedRow,
    InfluenceRow,
    JudgementRow,
    MetricRow,
    StandardisedRow,
)
from rankcast.records.finding import Effect, Finding, Severity
from rankcast.records.replay import (
    BELOW_CUT,
    BEYOND,
    MEANINGS,
    NO_BATCH,
    NOT_SCORED,
    OLDER,
    OTHER,
    PINNED,
    REMOVED_BY,
    TWICE,
    UNAVAILABLE,
    AgainstLog,
    Fidelity,
    MismatchExample,
    PartFidelity,
    ShownRow,
    StepOverlap,
    StepRow,
    Suspect,
    TieRow,
    VariantRow,
    meaning_of,
)
from rankcast.records.result import Result, Results, VariantDecision

__all__ = [
    "BELOW_CUT",
    "BEYOND",
    "MEANINGS",
    "NOT_SCORED",
    "NO_BATCH",
    "OLDER",
    "OTHER",
    "PINNED",
    "REMOVED_BY",
    "TWICE",
    "UNAVAILABLE",
    "AgainstLog",
    "AverageRow",
    "Behaviour",
    "ComparisonRow",
    "Count",
    "CupedRow",
    "Decision",
    "Effect",
    "Examined",
    "Fidelity",
    "Finding",
    "Fingerprint",
    "InfluenceRow",
    "JudgementRow",
    "LateRow",
    "LedgerRow",
    "Method",
    "MetricRow",
    "MismatchExample",
    "PartFidelity",
    "Record",
    "Result",
    "Results",
    "Segment",
    "Severity",
    "ShownRow",
    "StandardisedRow",
    "StepOverlap",
    "StepRow",
    "Suspect",
    "TieRow",
    "Value",
    "VariantDecision",
    "VariantRow",
    "Verdict",
    "meaning_of",
]
