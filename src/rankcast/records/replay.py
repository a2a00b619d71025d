"""What the replay did, and how close it comes to the log."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from rankcast.records.base import Record, Segment

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


class ShownRow(Record):
    """What one variant's lists show, over all replayed requests; `variant` null: the lists that were really shown."""

    variant: str | None
    requests: int = Field(description="lists that show something")
    rows: int
    closed: int | None = Field(description="rows whose item was not open then; null: no availability table")
    unlisted: int | None = Field(description="rows whose item has no availability row at all")
    consumed: dict[str, int] = Field(description="rows whose user had such an event on the item before, by graded kind")
    repeated: int = Field(description="lists that show an item twice")
    logged: int = Field(description="lists of requests with impressions")
    rbo_to_log: float | None = Field(description="rank-biased overlap (p = 0.9) with what was really shown")
    same_as_baseline: int = Field(description="lists with the same items in the same order as the baseline's")
    examples: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="closed, unlisted, repeated: at most five, as request and item"
    )


class ExposureRow(Record):
    """How one variant spreads the places of its lists over items, over all replayed requests."""

    variant: str
    places: int = Field(description="places of all lists")
    items: int = Field(description="distinct items that are shown")
    available: int | None = Field(
        description="items that could have been shown; null: the service has no table of items"
    )
    top_1: float | None = Field(description="share of the places that go to the most shown 1 % of these items")
    top_10: float | None = Field(description="the same of the most shown 10 %")
    lorenz: tuple[float, ...] = Field(
        description="share of the places of the least shown 0, 5, ..., 100 % of the items; empty where nothing is shown"
    )


class ItemRow(Record):
    """An item that a variant shows much more, or much less, often than the baseline, over all replayed requests."""

    variant: str
    item_id: str | int
    shown: int
    shown_by_baseline: int


class TieRow(Record):
    """The primary metric on some targets if equal scores were ordered at best, at worst, and as they are."""

    variant: str
    requests: int = Field(description="targets that were looked at")
    tied: int = Field(description="of these, with equal scores among the candidates")
    value: float | None
    best: float | None
    worst: float | None


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
