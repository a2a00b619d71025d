"""Confidence intervals of a ratio of two means."""

from __future__ import annotations

from math import sqrt


def fieller(
    numerator: float, denominator: float, variances: tuple[float, float, float], t: float
) -> tuple[float, float] | None:
    """Interval of numerator / denominator, given (var of numerator, covariance, var of denominator) and the t quantile.

    All ratios r with (a - r b)^2 <= t^2 (v_aa - 2 r v_ab + r^2 v_bb) (Fieller, 1954); None where the denominator itself may be
    0, as then the ratio may be anything.

    >>> low, high = fieller(1.0, 10.0, (0.04, 0.0, 0.0), 2.0)
    >>> round(low, 6), round(high, 6)  # a known denominator: the interval of the numerator over it
    (0.06, 0.14)
    """
    var_numerator, covariance, var_denominator = variances
    a = denominator**2 - t**2 * var_denominator
    if not a > 0:
        return None
    b = numerator * denominator - t**2 * covariance
    c = numerator**2 - t**2 * var_numerator
    inside = b * b - a * c
    root = sqrt(inside) if inside > 1e-12 * b * b else 0.0  # below is rounding: numerator and denominator move as one
    return (b - root) / a, (b + root) / a
