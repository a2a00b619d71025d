"""The values that a study produces: rows of `result.json`. Frozen, serialisable, and the source of its JSON Schema.

Null means "not measurable" everywhere; NaN never appears.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Decision = Literal["go", "no-go", "undecided", "invalid"]
Verdict = Literal["better", "worse", "equivalent", "undecided"]
Value = str | int | float | bool | None


class Record(BaseModel):
    """Base of all rows."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="forbid")


class Fingerprint(Record):
    """One input file: what it was when the study ran."""

    path: str
    bytes: int
    hash: str
    rows: int | None = None


class Count(Record):
    """Something odd in the data that is counted, never refused."""

    table: str
    what: str
    count: int
    of: int


class LedgerRow(Record):
    """One step of the ledger of targets: in = out + lost."""

    scope: Literal["requests", "users", "items", "labels"]
    step: str
    in_: int = Field(alias="in")
    out: int
    lost: int
    reason: str


class StepRow(Record):
    """What one step did to one variant's lists: items in and removed, requests that lost an item, lists it emptied."""

    variant: str
    step: str
    in_: int = Field(alias="in")
    removed: int
    requests: int
    emptied: int
    unknown: int | None = Field(
        default=None, description="step `available`: removed items without any availability row"
    )


class VariantRow(Record):
    """How a variant's lists came about, over all replayed requests."""

    variant: str
    requests: int
    without_scores: int = Field(description="requests for which the variant has no candidate of its own")
    before_any_batch: int = Field(description="of these, requests before the first batch of their user or request")
    empty_slates: int
    candidates: int
    tied_share: float | None = Field(description="share of candidates whose score equals another's in the same list")
    candidate_overlap: float | None = Field(description="mean Jaccard overlap of the candidates with the baseline's")


class Fidelity(Record):
    """How closely the replayed baseline matches the lists that were really shown."""

    variant: str
    requests: int
    overlap: float | None
    exact: float | None


class Segment(Record):
    """The part of the targets whose `column` holds `value`."""

    column: str
    value: Value


class MetricRow(Record):
    """A metric of one variant: weighted mean over targets, with its interval clustered by user."""

    variant: str
    metric: str
    segment: Segment | None
    value: float | None
    low: float | None
    high: float | None
    n_requests: int
    n_users: int
    method: Literal["clustered", "bootstrap"] = "clustered"


class ComparisonRow(Record):
    """Variant minus baseline on the same requests."""

    variant: str
    baseline: str
    metric: str
    segment: Segment | None
    difference: float | None
    relative: float | None = Field(description="difference / baseline_value")
    baseline_value: float | None
    low: float | None
    high: float | None
    p: float | None
    p_adjusted: float | None
    family: Literal["primary", "guardrails", "exploration"]
    minimum_detectable: float | None
    wins: int | None
    ties: int | None
    losses: int | None
    n_requests: int
    n_users: int
    verdict: Verdict | None = Field(description="null: too few users for a verdict")
    method: Literal["clustered", "bootstrap"] = "clustered"

    @property
    def relative_bounds(self) -> tuple[float, float] | None:
        """The interval over the baseline's value, with that value taken as known, lower end first; None without either."""
        if self.low is None or self.high is None or not self.baseline_value:
            return None
        one, other = self.low / self.baseline_value, self.high / self.baseline_value
        return min(one, other), max(one, other)


class Finding(Record):
    """A rule's answer."""

    rule: str
    name: str
    severity: Literal["error", "warning"]
    status: Literal["fired", "passed", "cannot check", "waived"]
    evidence: str
    remedy: str


class VariantDecision(Record):
    """What to do with a variant, and why."""

    decision: Decision
    because: str


class Results(Record):
    """All numbers of a run. The same inputs give the same bytes."""

    counts: tuple[Count, ...]
    targets: tuple[LedgerRow, ...]
    variants: tuple[VariantRow, ...]
    steps: tuple[StepRow, ...]
    fidelity: Fidelity | None
    metrics: tuple[MetricRow, ...]
    comparisons: tuple[ComparisonRow, ...]


class Result(Record):
    """`result.json`."""

    rankcast: Literal[1] = 1
    study: str
    run: str
    decision: dict[str, VariantDecision]
    results: Results
    findings: tuple[Finding, ...]

    def document(self) -> dict[str, Any]:
        """As plain values, with the names of the file."""
        return self.model_dump(mode="json", by_alias=True)
