"""Measured means and differences: estimates with their intervals and p, however they were made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import isfinite, isnan, sqrt

import numpy as np

from rankcast.stats.cells import Moments, Weighing
from rankcast.stats.clustered import Estimate
from rankcast.stats.ratio import fieller
from rankcast.tables.logs import Floats, Ints

TIE = 1e-12


@dataclass(frozen=True)
class Sure:
    """An estimate with its interval and p, however they were made."""

    estimate: Estimate
    low: float | None
    high: float | None
    p: float | None


@dataclass(frozen=True)
class Contrast:
    """Variant minus baseline: the estimate, the baseline's value on the same requests, and the score of single requests.

    `variances`: of the difference, their covariance, of the baseline's value. `satterthwaite`: degrees of freedom that few or
    unequal users are worth. `reach`: how many errors an interval reaches, where resampling says so (infinite: no bound).
    `effective`: how many users of equal weight (Kish). `touched`: users with a difference.
    """

    sure: Sure
    baseline: float | None
    variances: tuple[float, float, float] | None = None
    satterthwaite: float | None = None
    reach: float | None = None
    effective: float | None = None
    touched: int | None = None
    wins: int | None = None
    ties: int | None = None
    losses: int | None = None

    @property
    def relative(self) -> float | None:
        """The difference over the baseline's value."""
        value = self.sure.estimate.value
        return None if value is None or not self.baseline else value / self.baseline

    def relative_bounds(self, confidence: float) -> tuple[float, float] | None:
        """Fieller's interval of that; None without, or where the baseline's value may itself be 0."""
        estimate = self.sure.estimate
        if self.variances is None or estimate.value is None or not self.baseline or estimate.error is None:
            return None
        reach = estimate.quantile(confidence) if self.reach is None else self.reach
        return fieller(estimate.value, self.baseline, self.variances, reach) if isfinite(reach) else None


@dataclass(frozen=True)
class Resampled:
    """What resampling tells of K means in each part: p (K, P), and how many errors an interval reaches (K, P; None: t does)."""

    reach: Floats | None
    p: Floats

    def only(self, columns: slice) -> Resampled:
        """Some of the means."""
        return Resampled(None if self.reach is None else self.reach[columns], self.p[columns])


@dataclass(frozen=True)
class Score:
    """By part: requests that the variant wins and loses, and users with one of either."""

    wins: Ints
    losses: Ints
    touched: Ints


@dataclass(frozen=True)
class Measured:
    """Means of K columns in each part, and what is known of their errors."""

    moments: Moments
    confidence: float
    weighing: Weighing
    resampled: list[Resampled] = field(default_factory=list)

    def estimate(self, k: int, part: int) -> Estimate:
        """One mean."""
        found = self.moments
        n, clusters, value = int(found.n[part]), int(found.clusters[part]), float(found.means[k, part])
        variance = float(found.covariance[k, k, part])
        freedom = float(found.freedom[part])
        if isnan(value):
            return Estimate(None, None, n, clusters)
        if isnan(variance) or isnan(freedom):
            return Estimate(value, None, n, clusters)
        found_error = Estimate(value, sqrt(variance), n, clusters, freedom)
        return replace(found_error, error=0.0) if found_error.constant else found_error

    def ratios(self) -> Floats:
        """How many errors each mean is away from 0 (K, P); NaN where it has none."""
        variance = np.diagonal(self.moments.covariance).T
        with np.errstate(invalid="ignore", divide="ignore"):
            answer: Floats = np.abs(self.moments.means) / np.sqrt(variance)
        return answer

    def sure(self, k: int, part: int) -> Sure:
        """One mean with its interval and p."""
        estimate = self.estimate(k, part)
        low, high = estimate.interval(self.confidence)
        p = estimate.p()
        if estimate.value is None or estimate.error is None or estimate.constant:
            return Sure(estimate, low, high, p)
        for one in self.resampled:
            p = float(one.p[k, part])
            if one.reach is not None:
                half = float(one.reach[k, part]) * estimate.error
                low, high = (estimate.value - half, estimate.value + half) if isfinite(half) else (None, None)
        return Sure(estimate, low, high, p)

    def contrast(self, part: int, score: Score | None = None) -> Contrast:
        """Of a difference and the baseline's value."""
        variances = self.moments.covariance[:, :, part]
        known = not np.isnan(variances).any()
        freedom, effective = float(self.weighing.satterthwaite[part]), float(self.weighing.effective[part])
        told = Contrast(
            self.sure(0, part),
            _reference(self.estimate(1, part).value),
            (float(variances[0, 0]), float(variances[0, 1]), float(variances[1, 1])) if known else None,
            None if isnan(freedom) else freedom,
            next((float(one.reach[0, part]) for one in self.resampled if one.reach is not None), None),
            None if isnan(effective) else effective,
        )
        if score is None:
            return told
        wins, losses = int(score.wins[part]), int(score.losses[part])
        ties = int(self.moments.n[part]) - wins - losses
        return replace(told, touched=int(score.touched[part]), wins=wins, ties=ties, losses=losses)


def _reference(value: float | None) -> float | None:
    """A baseline's value; what is 0 but for rounding is 0, and nothing is relative to that."""
    return 0.0 if value is not None and abs(value) <= TIE else value


def opposite(one: float | None, other: float | None) -> bool:
    """Whether two differences have opposite signs."""
    if one is None or other is None or abs(one) <= TIE or abs(other) <= TIE:
        return False
    return (one > 0) != (other > 0)


def clipped(
    value: float | None, low: float | None, high: float | None, bounds: tuple[float, float]
) -> tuple[float, float] | tuple[None, None]:
    """An interval cut to the range of its metric, which it never leaves its value by."""
    if value is None or low is None or high is None:
        return None, None
    return max(low, min(bounds[0], value)), min(high, max(bounds[1], value))
