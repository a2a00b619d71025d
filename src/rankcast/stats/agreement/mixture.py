"""A distribution as a mixture of normal ones."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from rankcast.stats.agreement.pairs import Floats, Ints

_MEANS, _DEVIATIONS = 160, 12


@dataclass(frozen=True)
class Mixture:
    """Normal distributions with their weights, which sum to 1."""

    weight: Floats
    means: Floats
    deviations: Floats

    @staticmethod
    def of_cells(weight: Floats, means: Floats, deviations: Floats) -> Mixture:
        """Many normal distributions as at most some 2,000: those of about the same mean and spread become one.

        Each keeps its weight, mean and variance, so the whole does too; quantiles move by less than a hundredth of its spread.
        """
        middle = float(means.mean())
        means = means - middle  # squares of what lies far from 0 would lose their digits
        across = _places(means, _MEANS) * _DEVIATIONS + _places(deviations, _DEVIATIONS)
        total = np.bincount(across, weights=weight)
        kept = np.flatnonzero(total > 0)
        mean = np.bincount(across, weights=weight * means)[kept] / total[kept]
        square = np.bincount(across, weights=weight * (deviations**2 + means**2))[kept] / total[kept]
        return Mixture(total[kept] / total.sum(), middle + mean, np.sqrt(np.maximum(square - mean**2, 0.0)))

    @property
    def mean(self) -> float:
        """The mean."""
        return float(self.weight @ self.means)

    @property
    def deviation(self) -> float:
        """The standard deviation."""
        spread = self.deviations**2 + (self.means - self.mean) ** 2
        return sqrt(float(self.weight @ spread))

    def above(self, value: float) -> float:
        """P(value exceeded).

        >>> one = Mixture(np.array([0.5, 0.5]), np.array([-1.0, 1.0]), np.array([1.0, 1.0]))
        >>> round(one.above(0.0), 6), round(one.above(1.0), 4)
        (0.5, 0.2614)
        """
        return 1.0 - self.below(value)

    def below(self, value: float) -> float:
        """P(value not exceeded)."""
        from scipy.special import ndtr

        with np.errstate(divide="ignore", invalid="ignore"):
            z = (value - self.means) / self.deviations
        return float(self.weight @ ndtr(np.nan_to_num(z, nan=0.0, posinf=40.0, neginf=-40.0)))

    def with_error(self, error: float) -> Mixture:
        """Of what is observed with so much noise."""
        return Mixture(self.weight, self.means, np.sqrt(self.deviations**2 + error**2))

    def quantile(self, probability: float) -> float:
        """The value that is not exceeded with this probability, to 1e-7 standard deviations; by bisection."""
        low, high = self.mean - 40 * self.deviation, self.mean + 40 * self.deviation
        if not high > low:
            return self.mean
        while high - low > 1e-7 * self.deviation:
            middle = (low + high) / 2
            if middle in (low, high):  # no number lies between
                break
            low, high = (middle, high) if self.below(middle) < probability else (low, middle)
        return (low + high) / 2

    def interval(self, credible: float) -> tuple[float, float]:
        """The central interval."""
        return self.quantile(0.5 - credible / 2), self.quantile(0.5 + credible / 2)


def _places(values: Floats, cells: int) -> Ints:
    """In which of evenly wide cells each value lies."""
    low, wide = values.min(), np.ptp(values)
    found: Ints = np.minimum((values - low) / (wide or 1.0) * cells, cells - 1).astype(np.int64)
    return found
