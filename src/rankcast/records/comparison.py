"""Metrics, differences, and what bears on them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rankcast.records.base import Method, Record, Segment, Verdict


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
    method: Method = "clustered"


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
    method: Method = "clustered"
    relative_low: float | None = Field(
        default=None, description="interval of `relative` (Fieller); null: without bound"
    )
    relative_high: float | None = None
    degrees_of_freedom: float | None = Field(
        default=None, description="what few or unequal users are worth (Satterthwaite); `method: robust` uses them"
    )
    effective_users: float | None = Field(default=None, description="users of equal weight that they are worth (Kish)")
    users_touched: int | None = Field(default=None, description="users with a difference in at least one request")
    at_most_worse: float | None = Field(
        default=None, description="guardrails: the relative loss that must be ruled out"
    )
    p_noninferior: float | None = Field(default=None, description="one-sided p of a loss of at least that")
    noninferior: bool | None = Field(default=None, description="whether such a loss is ruled out")
    p_equivalent: float | None = Field(
        default=None, description="p of a difference of smallest_effect or more to either side (two one-sided tests)"
    )
    users_needed: int | None = Field(
        default=None, description="users with whom `needed_for` would be found 4 times in 5, all else alike"
    )
    needed_for: float | None = Field(default=None, description="smallest_effect, or else the difference found")

    @property
    def relative_bounds(self) -> tuple[float, float] | None:
        """The interval over the baseline's value, with that value taken as known, lower end first; None without either."""
        if self.low is None or self.high is None or not self.baseline_value:
            return None
        one, other = self.low / self.baseline_value, self.high / self.baseline_value
        return min(one, other), max(one, other)

    @property
    def shown_bounds(self) -> tuple[float, float] | None:
        """The interval of the relative difference as it is shown: Fieller's, or else `relative_bounds`."""
        if self.relative_low is None or self.relative_high is None:
            return self.relative_bounds
        return self.relative_low, self.relative_high


class AverageRow(Record):
    """The difference under one way to weigh requests; the first of them decides."""

    variant: str
    metric: str
    average: str
    decides: bool
    value: float | None
    baseline_value: float | None
    difference: float | None
    relative: float | None
    low: float | None
    high: float | None
    p: float | None
    relative_low: float | None = Field(default=None, description="interval of `relative` (Fieller)")
    relative_high: float | None = None
    effective_requests: float | None = Field(description="(sum w)^2 / sum w^2 of the requests that take part (Kish)")
    effective_users: float | None = Field(description="the same with the weights of each user summed")
    changes_sign: bool = Field(description="the difference has the other sign than under the average that decides")


class StandardisedRow(Record):
    """The primary difference if the mix of a segment column were that of all replayed requests."""

    variant: str
    metric: str
    column: str
    difference: float | None
    standardised: float | None
    low: float | None
    high: float | None
    psi: float | None = Field(
        description="population stability index of the targets' mix against the replayed requests'"
    )
    reversal: bool


class JudgementRow(Record):
    """How much of a difference rests on items that nobody could judge, because the user was never shown them."""

    variant: str
    metric: str
    unjudged: float | None = Field(description="mean share of the list (to the metric's cut) that is unjudged")
    unjudged_baseline: float | None
    difference: float | None = Field(description="on lists without unjudged items, ranks closed up")
    low: float | None
    high: float | None
    worst: float | None = Field(
        description="the difference if the baseline's unjudged items had the best grade, the variant's none"
    )
    best: float | None = Field(description="the reverse")


class InfluenceRow(Record):
    """A user or a request that moves the primary difference most."""

    variant: str
    metric: str
    unit: Literal["user", "request"]
    id: str | int
    requests: int
    contribution: float = Field(description="what it adds to the difference: sum of w d over sum of w")
    difference_without: float | None


class CupedRow(Record):
    """The primary difference adjusted to what is known of all replayed requests (a two-phase regression estimate)."""

    variant: str
    metric: str
    covariate: str
    correlation: float | None = Field(description="of the users' differences with the covariate, as they move the mean")
    difference: float | None
    adjusted: float | None
    low: float | None
    high: float | None
    narrower: float | None = Field(description="1 - width of the adjusted interval over that of the plain one")


class DayRow(Record):
    """The primary difference of one day (of one week, in a long period), in the service's time zone: no verdict, no p."""

    variant: str
    metric: str
    day: str
    difference: float | None
    relative: float | None
    low: float | None
    high: float | None
    n_requests: int
    n_users: int


class DistributionRow(Record):
    """How a metric spreads over targets: of one variant's values, or of its differences to the baseline."""

    variant: str
    metric: str
    of: Literal["value", "difference"]
    low: float = Field(description="where the first bin begins")
    high: float = Field(description="where the last bin ends")
    counts: tuple[int, ...] = Field(description="targets in bins of equal width, without those that are exactly 0")
    zero: int = Field(description="targets that are exactly 0")
    quantiles: tuple[float, ...] = Field(description="10, 50 and 90 % of all; empty without targets")
