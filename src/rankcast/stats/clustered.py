"""Weighted means whose variance is clustered by user and linearised."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from rankcast.stats.student import t_quantile

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

POWER = 0.80
_ZERO = 1e-12  # a standard error below this is rounding, not variation


@dataclass(frozen=True)
class Estimate:
    """A number with what is needed to say how sure it is.

    `error` is the standard error, None where it is not defined (fewer than two clusters); `n` values in `clusters` clusters.
    `freedom`: degrees of freedom, where they are not clusters - 1.
    """

    value: float | None
    error: float | None
    n: int
    clusters: int
    freedom: float | None = None

    @property
    def constant(self) -> bool:
        """Whether nothing varies between clusters."""
        return self.error is not None and self.error <= _ZERO * max(1.0, abs(self.value or 0.0))

    @property
    def degrees(self) -> float:
        """The degrees of freedom."""
        return self.clusters - 1 if self.freedom is None else self.freedom

    def quantile(self, confidence: float) -> float:
        """How many standard errors the interval reaches to each side."""
        return t_quantile(0.5 + confidence / 2, self.degrees)

    def interval(self, confidence: float) -> tuple[float, float] | tuple[None, None]:
        """value -+ t * error, with t from clusters - 1 degrees of freedom.

        >>> low, high = Estimate(0.5, 0.1, 20, 20).interval(0.95)
        >>> round(low, 4), round(high, 4)
        (0.2907, 0.7093)
        """
        if self.value is None or self.error is None:
            return None, None
        half = 0.0 if self.constant else self.quantile(confidence) * self.error
        return self.value - half, self.value + half

    def p(self) -> float | None:
        """Two-sided p of "the value is 0". Without variation: 1 if it is 0, else None.

        >>> round(Estimate(0.2, 0.1, 11, 11).p(), 4)
        0.0734
        """
        if self.value is None or self.error is None:
            return None
        if self.constant:
            return 1.0 if abs(self.value) <= _ZERO else None
        from scipy.special import stdtr

        return float(2.0 * stdtr(self.degrees, -abs(self.value) / self.error))

    def p_above(self, bound: float) -> float | None:
        """One-sided p of "the value is at most `bound`"; without variation 0 or 1.

        >>> round(Estimate(0.2, 0.1, 11, 11).p_above(0.0), 4)
        0.0367
        """
        if self.value is None or self.error is None:
            return None
        if self.constant:
            return 0.0 if self.value > bound + _ZERO else 1.0
        from scipy.special import stdtr

        return float(stdtr(self.degrees, -(self.value - bound) / self.error))

    def p_below(self, bound: float) -> float | None:
        """One-sided p of "the value is at least `bound`"."""
        if self.value is None:
            return None
        return Estimate(-self.value, self.error, self.n, self.clusters, self.freedom).p_above(-bound)

    def minimum_detectable(self, confidence: float) -> float | None:
        """The least true difference that such data find significant with 80 % power: (z_{1-a/2} + z_{0.8}) * error.

        >>> round(Estimate(0.0, 1.0, 99, 99).minimum_detectable(0.95), 4)
        2.8016
        """
        if self.error is None:
            return None
        from scipy.special import ndtri

        return float((ndtri(0.5 + confidence / 2) + ndtri(POWER)) * self.error)


def clustered_mean(values: Floats, weights: Floats, clusters: Ints) -> Estimate:
    """Weighted mean of `values` (n) with weights (n) > 0, clustered by the codes `clusters` (n).

    mean m = sum(w v) / sum(w); u_r = w_r (v_r - m); U_g = sum of u over cluster g;
    var = G / (G - 1) * sum(U_g^2) / (sum w)^2. (Linearisation of a ratio; e.g. Deng, Knoblich and Lu, 2018.)

    >>> estimate = clustered_mean(np.array([1.0, 0.0, 1.0]), np.ones(3), np.array([7, 7, 9]))
    >>> round(estimate.value, 4), estimate.n, estimate.clusters  # U = (-1/3, 1/3): var = 2 * 2/9 / 9
    (0.6667, 3, 2)
    >>> round(estimate.error ** 2, 6) == round(4 / 81, 6)
    True
    """
    n = len(values)
    if n == 0:
        return Estimate(None, None, 0, 0)
    total = float(weights.sum())
    if not total > 0:
        return Estimate(None, None, n, _sums(clusters, values)[0])
    mean = float((weights * values).sum()) / total
    count, sums = _sums(clusters, weights * (values - mean))
    if count < 2:
        return Estimate(mean, None, n, count)
    variance = count / (count - 1) * float((sums**2).sum()) / total**2
    return Estimate(mean, sqrt(variance), n, count)


def _sums(clusters: Ints, values: Floats) -> tuple[int, Floats]:
    """The number of clusters, and each one's sum."""
    if (clusters[1:] > clusters[:-1]).all():  # each its own, as where nobody says who asked
        return len(values), values
    groups, member = np.unique(clusters, return_inverse=True)
    return len(groups), np.bincount(member, values, len(groups)).astype(np.float64)
