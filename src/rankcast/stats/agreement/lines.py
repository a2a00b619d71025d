"""Lines through points with errors on both axes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, isfinite, pi, sqrt, tan

import numpy as np

from rankcast.stats.agreement.pairs import Floats, Pairs

_ROUNDS = 200
_TURNS = 12  # directions from which the slope is sought


@dataclass(frozen=True)
class Line:
    """y = intercept + slope x. `fit`: chi-square over its degrees of freedom; far above 1, the scatter is more than noise."""

    slope: float
    intercept: float
    error_slope: float | None = None
    error_intercept: float | None = None
    fit: float | None = None


def deming(x: Floats, y: Floats, ratio: float = 1.0) -> Line | None:
    """Deming's line for a known ratio = variance of y's error / variance of x's error (Deming, 1943).

    slope = (s_yy - ratio s_xx + sqrt((s_yy - ratio s_xx)^2 + 4 ratio s_xy^2)) / (2 s_xy). None for fewer than two points or
    s_xy = 0.

    >>> x = np.array([7, 8.3, 10.5, 9, 5.1, 8.2, 10.2, 10.3, 7.1, 5.9])
    >>> y = np.array([7.9, 8.2, 9.6, 9, 6.5, 7.3, 10.2, 10.6, 6.3, 5.2])
    >>> line = deming(x, y, 0.25)
    >>> round(line.slope, 7), round(line.intercept, 7)
    (1.0011942, -0.0897449)
    """
    if len(x) < 2:
        return None
    across, up = x - x.mean(), y - y.mean()
    s_xx, s_yy, s_xy = float(across @ across), float(up @ up), float(across @ up)
    if s_xy == 0:
        return None
    gap = s_yy - ratio * s_xx
    root = sqrt(gap**2 + 4 * ratio * s_xy**2)
    slope = (gap + root) / (2 * s_xy) if gap > 0 else 2 * ratio * s_xy / (root - gap)  # the same, without cancelling
    return Line(slope, float(y.mean() - slope * x.mean()))


def york(pairs: Pairs) -> Line | None:
    """York's line: errors of each point on both axes, and their correlation (York and others, 2004).

    With w = 1 / s^2, alpha = sqrt(w_x w_y) and r the correlation of a point's errors:
    W = w_x w_y / (w_x + b^2 w_y - 2 b r alpha), U and V the deviations from the W-weighted means,
    beta = W (U / w_y + b V / w_x - (b U + V) r / alpha), and b = sum W beta V / sum W beta U until it stays. It takes all
    scatter for noise. b is sought from several sides; of the lines on which it settles, the one of the least chi-square is
    York's. None for fewer than three points, an error that is 0 or not known, or where b settles nowhere.

    >>> line = york(Pairs.of([0, 1, 2, 3.0], [1, 3, 5, 7.0], 0.1, 0.2))
    >>> round(line.slope, 6), round(line.intercept, 6)
    (2.0, 1.0)
    """
    if pairs.n < 3 or not pairs.errors_known or not ((pairs.error_x > 0).all() and (pairs.error_y > 0).all()):
        return None
    if np.ptp(pairs.x) == 0:
        return None
    unit = sqrt(float((pairs.error_y**2).mean() / (pairs.error_x**2).mean()))
    first = deming(pairs.x, pairs.y, unit**2)
    starts = [*([first.slope] if first else []), *(unit * tan(pi * turn / _TURNS) for turn in range(_TURNS))]
    with np.errstate(all="ignore"):  # a start from which it does not settle is none
        lines = [line for start in starts for line in _settled(pairs, start, unit)]
    return min(lines, key=lambda line: line.fit if line.fit is not None else inf, default=None)


def _settled(pairs: Pairs, slope: float, unit: float) -> Iterator[Line]:
    """The line that a start leads to. `unit`: a slope of the order that the errors suggest."""
    for _ in range(_ROUNDS):
        state = _York.at(pairs, slope)
        below = float((state.weight * state.beta * state.across).sum())
        if below == 0:
            return
        better = float((state.weight * state.beta * state.up).sum()) / below
        settled = abs(better - slope) <= 1e-13 * max(1e-3 * unit, abs(better))
        slope = better
        if settled:
            line = _York.at(pairs, slope).line(pairs, slope)
            if line.fit is not None and isfinite(line.fit):
                yield line
            return


@dataclass(frozen=True)
class _York:
    weight: Floats
    across: Floats
    up: Floats
    beta: Floats
    middle: tuple[float, float]

    @staticmethod
    def at(pairs: Pairs, slope: float) -> _York:
        w_x, w_y = pairs.error_x**-2, pairs.error_y**-2
        alpha = np.sqrt(w_x * w_y)
        r = pairs.shared / (pairs.error_x * pairs.error_y)
        weight = w_x * w_y / (w_x + slope**2 * w_y - 2 * slope * r * alpha)
        middle = float(np.average(pairs.x, weights=weight)), float(np.average(pairs.y, weights=weight))
        across, up = pairs.x - middle[0], pairs.y - middle[1]
        beta = weight * (across / w_y + slope * up / w_x - (slope * across + up) * r / alpha)
        return _York(weight, across, up, beta, middle)

    def line(self, pairs: Pairs, slope: float) -> Line:
        intercept = self.middle[1] - slope * self.middle[0]
        adjusted = self.middle[0] + self.beta
        centre = float(np.average(adjusted, weights=self.weight))
        error = 1.0 / sqrt(float((self.weight * (adjusted - centre) ** 2).sum()))
        of_intercept = sqrt(1.0 / float(self.weight.sum()) + centre**2 * error**2)
        chi = float((self.weight * (pairs.y - intercept - slope * pairs.x) ** 2).sum())
        return Line(slope, intercept, error, of_intercept, chi / (pairs.n - 2))
