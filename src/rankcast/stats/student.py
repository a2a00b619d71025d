"""Student's t, without SciPy: its import takes longer than most answers here."""

from __future__ import annotations

from math import atan, cos, exp, lgamma, log, pi, sin, sqrt
from statistics import NormalDist

_SERIES = 400  # degrees of freedom from which the expansion around the normal quantile is exact to 1e-12


def t_quantile(probability: float, freedom: float) -> float:
    """The t that Student's distribution with so many degrees of freedom (above 0) exceeds with 1 - probability.

    `probability` lies above 1/2. Newton steps on the closed form of the distribution for whole degrees of freedom (Abramowitz
    and Stegun, 1964, 26.7.3 and 26.7.4), SciPy for others; the expansion around the normal quantile (26.7.5) for many. To 1e-9.

    >>> round(t_quantile(0.975, 10), 6), round(t_quantile(0.975, 100_000), 6)
    (2.228139, 1.959988)
    """
    z = NormalDist().inv_cdf(probability)
    t = _expanded(z, freedom)
    if freedom >= _SERIES:
        return t
    if freedom != int(freedom):
        from scipy.special import stdtrit

        return float(stdtrit(freedom, probability))
    freedom = int(freedom)
    low, high = 0.0, 1.0
    while _cdf(high, freedom) < probability:
        high *= 2.0
    t = min(max(t, low), high)
    for _ in range(200):
        error = _cdf(t, freedom) - probability
        low, high = (t, high) if error < 0 else (low, t)
        step = t - error / _density(t, freedom)
        step = step if low < step < high else (low + high) / 2.0
        if abs(step - t) <= 1e-14 * t:
            return step
        t = step
    return t


def _cdf(t: float, freedom: int) -> float:
    """P(T <= t) for t >= 0: a finite sum for whole degrees of freedom."""
    angle = atan(t / sqrt(freedom))
    term, total = 1.0, 0.0
    if freedom % 2:
        for j in range(1, (freedom - 1) // 2 + 1):
            term = cos(angle) if j == 1 else term * cos(angle) ** 2 * (2 * j - 2) / (2 * j - 1)
            total += term
        return 0.5 + (angle + sin(angle) * total) / pi
    for j in range(freedom // 2):
        term = 1.0 if j == 0 else term * cos(angle) ** 2 * (2 * j - 1) / (2 * j)
        total += term
    return 0.5 + sin(angle) * total / 2.0


def _density(t: float, freedom: int) -> float:
    scale = lgamma((freedom + 1) / 2) - lgamma(freedom / 2) - 0.5 * log(freedom * pi)
    return exp(scale - (freedom + 1) / 2 * log(1.0 + t * t / freedom))


def _expanded(z: float, freedom: float) -> float:
    v = float(freedom)
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4)
    )
