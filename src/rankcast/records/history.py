"""What past online tests say of offline numbers: rows of `history` in result.json, and of `rankcast history report --json`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rankcast.records.base import Record

Scale = Literal["relative", "absolute", "level"]
Way = Literal["leave one out", "forward in time"]
Standing = Literal["earned", "unproven", "too few"]


class Pair(Record):
    """A variant of one online test: what offline said of it before, and what came. Above 0 is better on both axes."""

    test: str
    variant: str
    study: str | None = None
    run: str | None = None
    start: str | None = Field(default=None, description="first day of the online test")
    end: str | None = None
    period: str | None = Field(default=None, description="the era that it belongs to: as the record says, or its year")
    pipeline: str | None = Field(default=None, description="version of what made the offline number")
    launched: bool | None = None
    offline: float
    offline_error: float | None
    online: float
    online_error: float | None


class LeftOut(Record):
    """A variant of a test that takes no part, and why."""

    test: str
    variant: str
    why: str


class Estimate(Record):
    """Median, and an interval, of a quantity under a posterior; `positive`: the chance that it is above 0."""

    median: float
    low: float
    high: float
    positive: float


class Correlation(Record):
    """A correlation of what was observed, noise and all. Null: too few pairs, or an axis that does not vary."""

    value: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int


class Signs(Record):
    """In how many pairs both numbers point the same way."""

    agree: int
    n: int
    zeros: int
    low: float | None = Field(description="Wilson's interval of agree / n")
    high: float | None
    p: float | None = Field(description="exact binomial against one half")
    ceiling: float | None = Field(description="agreement to expect of two perfect axes with this much noise")
    weighted: float | None = Field(description="agreement, each pair weighted by how sure its signs are")


class Line(Record):
    """York's line through points with errors on both axes. `fit`: chi-square over its degrees of freedom."""

    slope: float
    intercept: float
    error_slope: float | None
    error_intercept: float | None
    fit: float | None


class Denoised(Record):
    """The correlation of the true effects, behind the noise of both axes: bivariate random effects, a posterior on a grid."""

    correlation: Estimate
    allowed_low: float = Field(
        description="likelihood-ratio interval of the correlation: what the pairs do not rule out"
    )
    allowed_high: float
    slope: Estimate = Field(description="by how much the online effect changes with the true offline effect")
    reliability_offline: Estimate = Field(description="share of what varies offline that is no noise")
    reliability_online: Estimate


class PeriodLink(Record):
    """One period by itself: what was observed, and its true correlation when periods are partly pooled."""

    period: str
    n: int
    pearson: Correlation
    pooled: tuple[float, float, float] | None = Field(description="median, low, high")


class Trend(Record):
    """Whether the correlation changes from period to period (linear in Fisher's z); `rises`: P(last above first)."""

    z: float | None
    p: float | None
    rises: float | None


class Restriction(Record):
    """Whether tests cover only a part of what was tried: spread of all offline numbers over that of the tested."""

    evaluated: int
    tested: int
    ratio: float | None
    least: float | None = Field(description="the lowest offline number that went online")
    correlation: float | None = Field(
        description="the denoised correlation over all that was tried (Thorndike, case 2)"
    )


class Driver(Record):
    """The single test without which the result changes most."""

    test: str
    variant: str = Field(description="its variants")
    pearson: float | None
    without: float | None
    overturns: bool = Field(description="with all pairs the link has earned trust, without this one it has not")


class Foretold(Record):
    """A past forecast, made without what it foretells, and what was observed."""

    test: str
    variant: str
    mean: float
    low: float = Field(description="of the 80 % interval of what would be observed")
    high: float
    observed: float


class Kept(Record):
    """Whether past forecasts kept their word. Coverage: share of results inside the 50, 80 and 90 % intervals."""

    way: Way
    n: int
    coverage: tuple[float, float, float]
    slope: float | None
    intercept: float | None
    skill: float | None = Field(description="1 - squared errors over those of one who knows no offline number")
    forecasts: tuple[Foretold, ...]


class Link(Record):
    """How far one offline metric foretells one online metric."""

    online: str
    offline: str
    group: str | None = None
    scale_offline: Scale
    scale_online: Scale
    turned: tuple[str, ...] = Field(default=(), description="metrics of which less is better: their signs are turned")
    confidence: float
    pairs: tuple[Pair, ...]
    tests: int = Field(description="tests that the pairs come from: variants of one test are one witness")
    left_out: tuple[LeftOut, ...] = ()
    pearson: Correlation
    bootstrap: tuple[float, float] | None = Field(description="interval of Pearson's r over pairs, BCa; below 20 pairs")
    spearman: Correlation
    kendall: Correlation
    signs: Signs | None
    denoised: Denoised | None
    line: Line | None
    periods: tuple[PeriodLink, ...] = ()
    trend: Trend | None = None
    restriction: Restriction | None = None
    driver: Driver | None = None
    kept: tuple[Kept, ...] = ()
    looks: int = Field(description="how many links were looked at")
    p_adjusted: float | None = Field(description="permutation p of |r| over tests, corrected for all of them")
    low_by_test: float | None = Field(
        default=None, description="lower end of what is not ruled out, with one pair a test; trust needs it above 0"
    )
    standing: Standing
    says: str = Field(description="what may be said, in a sentence or two")


class Forecast(Record):
    """What to expect online of a variant that was not tested yet; relative where the link is."""

    variant: str
    offline: str
    online: str
    n: int
    scale: Scale = Field(description="of the online effect")
    scale_offline: Scale
    turned: bool = Field(
        default=False, description="of the online metric less is better: above 0 is an improvement here"
    )
    turned_offline: bool = Field(default=False, description="the same of the offline metric")
    group: str | None = Field(default=None, description="the group of users that the past tests were about")
    given: float | None = Field(description="the variant's offline number")
    mean: float | None
    intervals: tuple[tuple[float, float], ...] = Field(default=(), description="50, 80 and 90 %")
    positive: float | None = None
    smallest: float | None = Field(default=None, description="the smallest effect that matters")
    above_smallest: float | None = None
    standing: Standing
    says: str


class History(Record):
    """Past online tests beside their offline numbers. `links`: the metric that decides first."""

    tests: int
    links: tuple[Link, ...]
    problems: tuple[str, ...] = Field(
        default=(), description="tests whose two numbers describe different things (ON04)"
    )
    forecasts: tuple[Forecast, ...] = ()
