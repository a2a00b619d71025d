"""Whether past forecasts kept their word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVELS = (0.5, 0.8, 0.9)


@dataclass(frozen=True)
class Forecasted:
    """One past test: what was forecast, without knowing it, and what came.

    `place`: P(as little or less was forecast), of the observed value, its own noise allowed for; even between 0 and 1 if
    forecasts are right. `naive`: the mean of the others' observed values, the forecast of one who knows no offline number.
    """

    mean: float
    place: float
    observed: float
    naive: float


@dataclass(frozen=True)
class Calibration:
    """Of n forecasts: share inside the 50, 80 and 90 % intervals, line of observed on forecast (ideal: slope 1), skill.

    skill = 1 - sum (observed - forecast)^2 / sum (observed - naive)^2: above 0, offline numbers help.
    """

    n: int
    coverage: tuple[float, ...]
    slope: float | None
    intercept: float | None
    skill: float | None


def calibration(past: Sequence[Forecasted]) -> Calibration | None:
    """None for fewer than three forecasts.

    The slope is that of least squares: a forecast has no error of its own, it is what was said.

    >>> said = [Forecasted(-1, 0.5, -1, 0), Forecasted(0, 0.9, 0.5, 0), Forecasted(1, 0.01, 1, 0), Forecasted(2, 0.4, 2, 0)]
    >>> found = calibration(said)
    >>> found.coverage, round(found.slope, 2), round(found.skill, 2)
    ((0.5, 0.75, 0.75), 0.95, 0.96)
    """
    if len(past) < 3:
        return None
    mean, observed = np.array([one.mean for one in past]), np.array([one.observed for one in past])
    naive = np.array([one.naive for one in past])
    off = np.abs(np.array([one.place for one in past]) - 0.5)
    slope = intercept = None
    if np.ptp(mean) > 0:
        slope, intercept = (float(one) for one in np.polyfit(mean, observed, 1))
    missed = float(((observed - naive) ** 2).sum())
    return Calibration(
        n=len(past),
        coverage=tuple(float((off <= level / 2).mean()) for level in LEVELS),
        slope=slope,
        intercept=intercept,
        skill=1.0 - float(((observed - mean) ** 2).sum()) / missed if missed > 0 else None,
    )
