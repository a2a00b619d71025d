"""Correlations of several periods: do they differ, do they rise, and what is each when it borrows from the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import atanh, erfc, sqrt

import numpy as np

from rankcast.stats.agreement.pairs import Floats

_HYPER = 41
_SPREAD = 0.5  # scale of the half-normal prior of how far periods differ, in atanh(rho)
_WIDEST, _FARTHEST = 1.5, 2.5  # of the grid over that spread, and over the common value


@dataclass(frozen=True)
class Trend:
    """z and two-sided p of a linear trend of correlations over periods."""

    z: float
    p: float


def trend(r: Sequence[float], n: Sequence[int]) -> Trend | None:
    """z = sum l_j atanh r_j / sqrt(sum l_j^2 / (n_j - 3)), with l evenly spaced and centred: of two periods,
    z = (atanh r_2 - atanh r_1) / sqrt(1 / (n_1 - 3) + 1 / (n_2 - 3)).

    None for fewer than two periods, one of fewer than four pairs, or |r| = 1.

    >>> found = trend([0.1, 0.5, 0.8], [8, 8, 8])
    >>> round(found.z, 3), round(found.p, 3)
    (1.578, 0.114)
    """
    if len(r) < 2 or min(n) <= 3 or max(abs(one) for one in r) >= 1:
        return None
    places = np.arange(len(r)) - (len(r) - 1) / 2
    top = sum(float(place) * atanh(one) for place, one in zip(places, r, strict=True))
    z = top / sqrt(sum(float(place) ** 2 / (size - 3) for place, size in zip(places, n, strict=True)))
    return Trend(z, erfc(abs(z) / sqrt(2.0)))


@dataclass(frozen=True)
class Pooled:
    """Each period's correlation behind the noise when all come from one distribution: median, low, high of each.

    `rises`: P(the last is above the first).
    """

    medians: tuple[float, ...]
    bounds: tuple[tuple[float, float], ...]
    rises: float


def partially_pooled(z: Floats, likelihoods: Sequence[Floats], credible: float) -> Pooled | None:
    """Hierarchical model on a grid: atanh(rho_j) ~ N(m, s^2), m with LKJ(2)'s density, s half-normal(0.5).

    `likelihoods`: of each period, at the same evenly spaced z. None for fewer than two periods.

    >>> z = np.linspace(-3, 3, 121)
    >>> near, far = np.exp(-0.5 * ((z - 0.2) / 0.3) ** 2), np.exp(-0.5 * ((z - 0.8) / 0.3) ** 2)
    >>> pooled = partially_pooled(z, [near, far], 0.9)
    >>> 0.2 < pooled.medians[0] < pooled.medians[1] < 0.66, 0.5 < pooled.rises < 1
    (True, True)
    """
    if len(likelihoods) < 2:
        return None
    conditional, weight = [], _log_prior()
    for one in likelihoods:
        joint = _normal(z) * one  # hyper x z
        total = np.maximum(joint.sum(axis=1), 1e-300)  # else 0 where a period rules a cell out
        conditional.append(joint / total[:, None])
        weight = weight + np.log(total)
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    marginal = [weight @ one for one in conditional]
    first, last = conditional[0], conditional[-1]
    up_to = np.cumsum(first, axis=1) - first / 2
    ends = np.array([0.5 - credible / 2, 0.5, 0.5 + credible / 2])
    found = [np.tanh(np.interp(ends, np.cumsum(one) - one / 2, z)) for one in marginal]
    return Pooled(
        tuple(float(one[1]) for one in found),
        tuple((float(one[0]), float(one[2])) for one in found),
        float(weight @ (last * up_to).sum(axis=1)),
    )


def _hyper() -> tuple[Floats, Floats]:
    middle = np.linspace(-_FARTHEST, _FARTHEST, _HYPER)
    spread = (np.arange(_HYPER) + 0.5) / _HYPER * _WIDEST
    one, other = np.meshgrid(middle, spread, indexing="ij")
    return one.ravel(), other.ravel()


def _log_prior() -> Floats:
    middle, spread = _hyper()
    result: Floats = -4.0 * np.log(np.cosh(middle)) - 0.5 * (spread / _SPREAD) ** 2
    return result


def _normal(z: Floats) -> Floats:
    middle, spread = _hyper()
    density = np.exp(-0.5 * ((z - middle[:, None]) / spread[:, None]) ** 2) / spread[:, None]
    result: Floats = density / np.maximum(density.sum(axis=1, keepdims=True), 1e-300)
    return result
