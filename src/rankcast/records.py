"""The values that a study produces: rows of `result.json`. Frozen, serialisable, and the source of its JSON Schema.

Null means "not measurable" everywhere; NaN never appears.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Decision = Literal["go", "no-go", "undecided", "invalid"]
Verdict = Literal["better", "worse", "equivalent", "undecided"]
Value = str | int | float | bool | None


NO_BATCH, OLDER, NOT_SCORED = "shown_no_batch", "shown_in_older_batch", "shown_not_scored"
REMOVED_BY, BELOW_CUT, TWICE = "removed_by:", "below_cut", "shown_twice"
PINNED, UNAVAILABLE, BEYOND, OTHER = (
    "not_shown:pinned",
    "not_shown:unavailable",
    "not_shown:beyond_log",
    "not_shown:other",
)
MEANINGS: Mapping[str, str] = {
    NO_BATCH: "shown, but no batch of scores was there at the request's time yet",
    OLDER: "shown, and scored in an older batch than the newest at the request's time",
    NOT_SCORED: "shown, but not among the candidates",
    REMOVED_BY: "shown, but this step removed it",
    BELOW_CUT: "shown, but replayed below the cut",
    TWICE: "shown a second time in the same list",
    PINNED: "not shown, but the replay pins it there",
    UNAVAILABLE: "not shown, and not open at the request's time",
    BEYOND: "not shown: the logged list is shorter",
    OTHER: "not shown, though the replay has it",
}


def meaning_of(reason: str) -> str:
    """What a reason of a mismatch says.

    >>> meaning_of("removed_by:cap")
    'shown, but this step removed it'
    """
    return MEANINGS[REMOVED_BY if reason.startswith(REMOVED_BY) else reason]


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
    """What one step did to one variant's lists: items in, removed and added, requests that lost an item, lists it emptied, and
    requests whose items it put in another order or added to.
    """

    variant: str
    step: str
    in_: int = Field(alias="in")
    removed: int
    requests: int
    emptied: int
    unknown: int | None = Field(
        default=None, description="step `available`: removed items without any availability row"
    )
    added: int = 0
    reordered: int = 0


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
    not_candidates: int = Field(description="scored items that were left out because they are no candidates")
    positives: int = Field(description="labels above 0 of the targets")
    positives_outside: int = Field(description="of these, labels whose item is no candidate: no order can reach them")
    recall_ceiling: float | None = Field(description="share of the positives that are candidates")
    short: int = Field(description="requests whose list is shorter than `served`")
    cut_short: int = Field(
        description="of these, requests in which a step removed something although the baseline or the log shows more"
    )


class Segment(Record):
    """The part of the targets whose `column` holds `value`."""

    column: str
    value: Value


class StepOverlap(Record):
    """Mean overlap with the log after a step, had the list been cut there."""

    step: str
    overlap: float


class PartFidelity(Record):
    """Fidelity of a part of the requests."""

    segment: Segment
    requests: int
    overlap: float
    exact: float
    rbo: float


class MismatchExample(Record):
    """An item that stands in only one of the two lists of a request; the item is null where a list shows some item twice."""

    reason: str
    request_id: str | int
    item_id: str | int | None
    rank: int | None


class Suspect(Record):
    """A change after which the replay comes closer to the log, so production probably did it; over `requests` that differ."""

    what: str
    overlap: float
    before: float
    requests: int


class AgainstLog(Record):
    """A metric of the replayed baseline against the lists that were really shown, paired by request."""

    metric: str
    replayed: float | None
    logged: float | None
    difference: float | None
    low: float | None
    high: float | None
    n_requests: int
    n_users: int


class Fidelity(Record):
    """How closely the replayed baseline matches the lists that were really shown."""

    variant: str
    requests: int
    overlap: float | None
    exact: float | None
    rbo: float | None = Field(description="rank-biased overlap, p = 0.9, extrapolated")
    rbo_low: float | None = Field(description="its lower bound, whatever lies beyond the lists")
    rbo_high: float | None = Field(description="its upper bound")
    kendall_tau: float | None = Field(description="over common items, where there are two")
    rank_mae: float | None = Field(description="mean difference of ranks of common items")
    without_step: dict[str, float] = Field(description="overlap if the step is left out")
    by_step: tuple[StepOverlap, ...]
    by: tuple[PartFidelity, ...]
    mismatches: dict[str, int] = Field(description="items that stand in one list only, by reason")
    examples: tuple[MismatchExample, ...]
    suspects: tuple[Suspect, ...]
    replayed_against_logged: tuple[AgainstLog, ...]


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
