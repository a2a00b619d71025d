"""Correlations of what was observed, noise and all, with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from math import atanh, sqrt, tanh
from statistics import NormalDist

import numpy as np

from rankcast.stats.agreement.pairs import Floats

FEWEST = 4  # pairs below which no interval is defined
_DRAWS = 4_000
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Correlation:
    """A correlation with its interval and two-sided p; None where too few pairs, or a constant axis, leave it undefined."""

    value: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int


def pearson(x: Floats, y: Floats, confidence: float) -> Correlation:
    """Pearson's r; interval tanh(atanh r -+ z / sqrt(n - 3)) (Fisher, 1915), p by t.

    >>> round(interval_of(-0.1, 23, 0.90)[0], 4), round(interval_of(-0.1, 23, 0.90)[1], 4)
    (-0.4367, 0.2613)
    """
    if _undefined(x, y):
        return Correlation(None, None, None, None, len(x))
    from scipy.stats import pearsonr

    found = pearsonr(x, y)
    return _with_interval(float(found.statistic), float(found.pvalue), len(x), confidence, 1.0, 3)


def spearman(x: Floats, y: Floats, confidence: float) -> Correlation:
    """Spearman's rank correlation; standard error of atanh r: sqrt((1 + r^2 / 2) / (n - 3)) (Bonett and Wright, 2000).

    >>> found = spearman(np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 3, 5, 4]), 0.95)
    >>> round(found.value, 6), round(found.p, 6)
    (0.8, 0.104088)
    """
    if _undefined(x, y):
        return Correlation(None, None, None, None, len(x))
    from scipy.stats import spearmanr

    found = spearmanr(x, y)
    value = float(found.statistic)
    return _with_interval(value, float(found.pvalue), len(x), confidence, 1.0 + value**2 / 2.0, 3)


def kendall(x: Floats, y: Floats, confidence: float) -> Correlation:
    """Kendall's tau-b; standard error of atanh tau: sqrt(0.437 / (n - 4)) (Fieller, Hartley and Pearson, 1957).

    >>> found = kendall(np.array([12.0, 2, 1, 12, 2]), np.array([1.0, 4, 7, 1, 0]), 0.95)
    >>> round(found.value, 7), round(found.p, 7)
    (-0.4714045, 0.2827455)
    """
    if _undefined(x, y):
        return Correlation(None, None, None, None, len(x))
    from scipy.stats import kendalltau

    found = kendalltau(x, y)
    return _with_interval(float(found.statistic), float(found.pvalue), len(x), confidence, 0.437, 4)


def interval_of(
    value: float, n: int, confidence: float, scale: float = 1.0, lost: int = 3
) -> tuple[float, float] | tuple[None, None]:
    """tanh(atanh r -+ z sqrt(scale / (n - lost))); none for n <= lost or |r| = 1, to rounding."""
    if n <= lost or not abs(value) < 1.0 - _ROUNDING:
        return None, None
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * sqrt(scale / (n - lost))
    return tanh(atanh(value) - half), tanh(atanh(value) + half)


def bootstrapped(x: Floats, y: Floats, confidence: float, seed: int) -> tuple[float, float] | None:
    """Interval of Pearson's r by a bootstrap over pairs, bias-corrected and accelerated (Efron, 1987): 4,000 draws.

    None for fewer than five pairs, or where an axis is constant. Draws without variation on an axis are left out.
    """
    from scipy.special import ndtr, ndtri

    n = len(x)
    if n < FEWEST + 1 or _undefined(x, y):
        return None
    rows = np.random.default_rng(seed).integers(n, size=(_DRAWS, n))
    drawn = _pearson_of_rows(x[rows], y[rows])
    drawn = np.sort(drawn[np.isfinite(drawn)])
    value = _pearson_of_rows(x[None], y[None])[0]
    below = np.clip((drawn < value - _ROUNDING).mean(), 0.5 / _DRAWS, 1 - 0.5 / _DRAWS)
    others = np.flatnonzero(~np.eye(n, dtype=bool).ravel()).reshape(n, n - 1) % n
    left_out = _pearson_of_rows(x[others], y[others])
    left_out = left_out[np.isfinite(left_out)]
    gap = left_out.mean() - left_out
    spread = float((gap**2).sum()) ** 1.5
    acceleration = float((gap**3).sum()) / (6.0 * spread) if spread > 0 else 0.0
    bias, tail = ndtri(below), ndtri(np.array([0.5 - confidence / 2, 0.5 + confidence / 2]))
    places = ndtr(bias + (bias + tail) / (1.0 - acceleration * (bias + tail)))
    low, high = np.quantile(drawn, places)
    return float(low), float(high)


def permuted_p(metrics: Floats, y: Floats, seed: int, draws: int = 10_000) -> list[float]:
    """For several x against one y: p of each |r| against the largest |r| of all when y is shuffled (Westfall and Young, 1993).

    `metrics`: k x n. It corrects for having looked at k metrics, however much they are alike: p = (1 + the number of shuffles
    whose largest |r| reaches this one's) / (1 + shuffles). A constant row has p = 1.

    >>> x = np.array([[1.0, 2, 3, 4, 5, 6, 7, 8], [3.0, 1, 2, 2, 3, 1, 2, 2]])
    >>> [round(p, 2) for p in permuted_p(x, np.array([1.0, 2, 3, 4, 5, 6, 7, 9]), seed=1)]
    [0.0, 0.95]
    """
    if not len(metrics):
        return []
    rows, n = _standardised(metrics), metrics.shape[1]
    target = _standardised(y[None])[0]
    shuffled = np.random.default_rng(seed).permuted(np.tile(target, (draws, 1)), axis=1)
    found = np.abs(rows @ target) / n
    largest = np.sort(np.abs(rows @ shuffled.T).max(axis=0) / n)
    reached = draws - np.searchsorted(largest, found - 1e-12, side="left")
    return [float(p) for p in (1.0 + reached) / (1.0 + draws)]


def _standardised(rows: Floats) -> Floats:
    centred = rows - rows.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    varies = spread > 1e-12 * np.maximum(1e-300, np.abs(rows).max(axis=1, keepdims=True))
    result: Floats = np.where(varies, centred / np.where(varies, spread, 1.0), 0.0)
    return result


def _pearson_of_rows(x: Floats, y: Floats) -> Floats:
    """r of each row, within -1 and 1; NaN where a row is constant."""
    flat = (np.ptp(x, axis=1) == 0) | (np.ptp(y, axis=1) == 0)
    across, up = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    squares = (across**2).sum(axis=1) * (up**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        value: Floats = (across * up).sum(axis=1) / np.sqrt(squares)
    value[flat | (squares <= 0)] = np.nan
    return np.clip(value, -1.0, 1.0)


def _undefined(x: Floats, y: Floats) -> bool:
    return len(x) < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0


def _with_interval(value: float, p: float, n: int, confidence: float, scale: float, lost: int) -> Correlation:
    low, high = interval_of(value, n, confidence, scale, lost)
    return Correlation(value, low, high, p, n)
