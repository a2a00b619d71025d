"""The correlation behind the noise: bivariate random effects, as a posterior on a grid.

Each pair is (x_i, y_i) ~ N(theta_i, S_i) around its true effects, and these are theta_i ~ N(mu, T). What is asked for is
T: its correlation rho = T12 / sqrt(T11 T22), its slope T12 / T11, and what a new x says of its y. Priors: sqrt(T11) and
sqrt(T22) half-normal with the spread of what was observed, rho ~ LKJ(2), that is, in proportion to 1 - rho^2; mu is flat
and integrated out, which leaves the restricted likelihood (van Houwelingen, Arends and Stijnen, 2002):

    -1/2 [sum log|T + S_i| + sum (d_i - mu)' (T + S_i)^-1 (d_i - mu) + log|sum (T + S_i)^-1|],  mu by least squares

It is a sum over pairs but for the last two terms. So one pair is left out by subtracting it, and pairs in the order of
time are added one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from math import exp, log1p, sqrt, tanh
from typing import NamedTuple

import numpy as np

from rankcast.stats.agreement.mixture import Mixture
from rankcast.stats.agreement.pairs import Floats, Ints, Pairs
from rankcast.stats.student import t_quantile

FINE, COARSE, ROUGH = (64, 121), (40, 81), (24, 61)
"""Cells for each standard deviation, and for the correlation."""
_REACH = 4.0  # spreads of what was observed, up to which a true standard deviation may lie
_REACH_Z = 3.5  # of atanh(rho): rho up to 0.998
_KEPT = 1e-4  # the lightest cells that have this weight together are left out of sums over cells


@dataclass(frozen=True)
class Grid:
    """Cells of (sqrt(T11), sqrt(T22), rho), flat. `size`: what a cell measures in rho, for a density over rho."""

    deviation_x: Floats
    deviation_y: Floats
    rho: Floats
    size: Floats
    shape: tuple[int, int, int]

    @staticmethod
    def over(spread_x: float, spread_y: float, cells: tuple[int, int] = FINE) -> Grid:
        """Standard deviations evenly from 0 to four spreads; correlations evenly in atanh, where likelihoods are symmetric."""
        of_deviation, of_rho = cells
        middle = (np.arange(of_deviation) + 0.5) / of_deviation * _REACH
        z = ((np.arange(of_rho) + 0.5) / of_rho * 2.0 - 1.0) * _REACH_Z
        a, b, c = np.meshgrid(middle * spread_x, middle * spread_y, z, indexing="ij")
        rho = np.tanh(c).ravel()
        return Grid(a.ravel(), b.ravel(), rho, 1.0 - rho**2, (of_deviation, of_deviation, of_rho))

    @property
    def covariance(self) -> Floats:
        """T12 of each cell."""
        return self.rho * self.deviation_x * self.deviation_y


class Spreads(NamedTuple):
    """The scales of the half-normal priors: standard deviations of what was observed."""

    x: float
    y: float

    @staticmethod
    def of(pairs: Pairs) -> Spreads | None:
        """None for fewer than three pairs or a constant axis."""
        if pairs.n < 3 or np.ptp(pairs.x) == 0 or np.ptp(pairs.y) == 0:
            return None
        return Spreads(float(pairs.x.std()), float(pairs.y.std()))


@dataclass(frozen=True)
class Terms:
    """What pairs add to the restricted likelihood, in every cell."""

    log_determinant: Floats
    w11: Floats
    w12: Floats
    w22: Floats
    h1: Floats
    h2: Floats
    square: Floats

    @staticmethod
    def of_pair(grid: Grid, pairs: Pairs, one: int) -> Terms:
        """With W = (T + S)^-1 and d = (x, y): log|T + S|, W, W d and d' W d."""
        x, y = pairs.x[one], pairs.y[one]
        m11 = grid.deviation_x**2 + pairs.error_x[one] ** 2
        m22 = grid.deviation_y**2 + pairs.error_y[one] ** 2
        m12 = grid.covariance + pairs.shared[one]
        determinant = m11 * m22 - m12**2
        w11, w12, w22 = m22 / determinant, -m12 / determinant, m11 / determinant
        h1, h2 = w11 * x + w12 * y, w12 * x + w22 * y
        return Terms(np.log(determinant), w11, w12, w22, h1, h2, h1 * x + h2 * y)

    @staticmethod
    def none(grid: Grid) -> Terms:
        """Of no pair."""
        return Terms(*(np.zeros(grid.rho.size) for _ in fields(Terms)))

    def plus(self, other: Terms, sign: float = 1.0) -> Terms:
        """With, or (sign -1) without, other pairs."""
        return Terms(*(getattr(self, one.name) + sign * getattr(other, one.name) for one in fields(Terms)))

    @cached_property
    def information(self) -> Floats:
        """The determinant of the sum of W."""
        return self.w11 * self.w22 - self.w12**2

    @cached_property
    def centre(self) -> tuple[Floats, Floats]:
        """mu by least squares."""
        return (
            (self.w22 * self.h1 - self.w12 * self.h2) / self.information,
            (self.w11 * self.h2 - self.w12 * self.h1) / self.information,
        )

    def log_likelihood(self) -> Floats:
        """The restricted likelihood of each cell, up to a constant."""
        mu_x, mu_y = self.centre
        rest = self.square - (mu_x * self.h1 + mu_y * self.h2)
        result: Floats = -0.5 * (self.log_determinant + rest + np.log(self.information))
        return result


@dataclass(frozen=True)
class Summary:
    """Median and interval of a quantity under the posterior, and the chance that it is above 0."""

    median: float
    low: float
    high: float
    positive: float


@dataclass(frozen=True)
class Posterior:
    """What pairs say of T: a weight for each cell (they sum to 1), with mu and its covariance there."""

    grid: Grid
    weight: Floats
    terms: Terms
    n: int
    origin: tuple[float, float] = (0.0, 0.0)

    @staticmethod
    def given(
        grid: Grid, terms: Terms, spreads: Spreads, n: int, origin: tuple[float, float] = (0.0, 0.0)
    ) -> Posterior:
        """Prior times restricted likelihood; `terms` of pairs from which `origin` was taken."""
        log_prior = -0.5 * ((grid.deviation_x / spreads.x) ** 2 + (grid.deviation_y / spreads.y) ** 2)
        log_weight = log_prior + np.log(1.0 - grid.rho**2) + np.log(grid.size) + terms.log_likelihood()
        weight = np.exp(log_weight - log_weight.max())
        return Posterior(grid, weight / weight.sum(), terms, n, origin)

    def correlation(self, credible: float) -> Summary:
        """Of rho."""
        by_rho = self.weight.reshape(self.grid.shape).sum(axis=(0, 1))
        z = np.arctanh(self.grid.rho[: self.grid.shape[2]])
        low, median, high = np.tanh(_quantiles(z, by_rho, credible))
        return Summary(float(median), float(low), float(high), float(by_rho[z > 0].sum() + by_rho[z == 0].sum() / 2))

    def slope(self, credible: float) -> Summary:
        """Of T12 / T11: by how much y changes with the true x."""
        return self._of(self.grid.rho * self.grid.deviation_y / self.grid.deviation_x, credible)

    def reliability_x(self, pairs: Pairs, credible: float) -> Summary:
        """Of T11 / (T11 + mean squared error of x): the share of what varies in x that is not noise."""
        return self._reliability(0, pairs.error_x, credible)

    def reliability_y(self, pairs: Pairs, credible: float) -> Summary:
        """The same of y."""
        return self._reliability(1, pairs.error_y, credible)

    def effects(self, pairs: Pairs) -> tuple[Floats, Floats, Floats, Floats]:
        """Means and standard deviations of the true effects of each pair: mean x, mean y, deviation x, deviation y."""
        found = np.array([self._effect(pairs, one) for one in range(pairs.n)])
        return found[:, 0], found[:, 1], found[:, 2], found[:, 3]

    def forecast(self, x: float, error_x: float) -> Mixture:
        """The true y of a new thing of which only x is known, to its error.

        In each cell: mean mu_y + b (x - mu_x), b = T12 / (T11 + error^2), variance T22 - b T12 plus that of mu_y - b mu_x.
        """
        kept = self._kept
        grid, terms = self.grid, self.terms
        b = (grid.covariance / (grid.deviation_x**2 + error_x**2))[kept]
        mu_x, mu_y = terms.centre[0][kept], terms.centre[1][kept]
        w11, w12, w22 = terms.w11[kept], terms.w12[kept], terms.w22[kept]
        of_mu = (w11 + 2 * b * w12 + b**2 * w22) / terms.information[kept]
        variance = grid.deviation_y[kept] ** 2 - b * grid.covariance[kept] + of_mu
        means = self.origin[1] + mu_y + b * (x - self.origin[0] - mu_x)
        deviations = np.sqrt(np.maximum(variance, 0.0))
        return Mixture.of_cells(self.weight[kept], means, deviations)

    def allowed(self, confidence: float) -> tuple[float, float]:
        """The correlations that the pairs do not rule out, whatever one held likely before: a likelihood-ratio interval.

        All rho with -2 log(L(rho) / max L) <= (n - 1) log(1 + t^2 / (n - 2)), L being the likelihood with the standard
        deviations integrated out and t Student's quantile with n - 2 degrees of freedom: exact without noise for normal
        effects but for the integration, and it covers where a prior that expects moderate correlations pulls an extreme one in.
        It reaches to -1 or 1 where these are not ruled out.
        """
        z, likelihood = self.likelihood_of_z()
        t = t_quantile(0.5 + confidence / 2, self.n - 2)
        cut = exp(-0.5 * (self.n - 1) * log1p(t * t / (self.n - 2)))
        inside = np.flatnonzero(likelihood >= cut)
        low = -1.0 if inside[0] == 0 else _crossing(z, likelihood, inside[0] - 1, cut)
        high = 1.0 if inside[-1] == z.size - 1 else _crossing(z, likelihood, inside[-1], cut)
        return low, high

    def likelihood_of_z(self) -> tuple[Floats, Floats]:
        """atanh(rho) and, for each, the likelihood with the standard deviations integrated out; without the prior of rho."""
        by_rho = self.weight.reshape(self.grid.shape).sum(axis=(0, 1))
        rho = self.grid.rho[: self.grid.shape[2]]
        value = by_rho / (1.0 - rho**2) ** 2
        return np.arctanh(rho), value / value.max()

    @cached_property
    def _kept(self) -> Ints:
        order = np.argsort(self.weight)
        return np.sort(order[np.cumsum(self.weight[order]) > _KEPT])

    def _of(self, value: Floats, credible: float) -> Summary:
        kept = self._kept
        low, median, high = _quantiles(value[kept], self.weight[kept], credible)
        positive = float(self.weight[value > 0].sum() + self.weight[value == 0].sum() / 2)
        return Summary(float(median), float(low), float(high), positive)

    def _reliability(self, axis: int, error: Floats, credible: float) -> Summary:
        """By the marginal weight of each standard deviation: many cells share one."""
        shape = self.grid.shape
        cells = (self.grid.deviation_x, self.grid.deviation_y)[axis].reshape(shape)
        deviation = np.moveaxis(cells, axis, 0)[:, 0, 0]
        weight = np.moveaxis(self.weight.reshape(shape), axis, 0).sum(axis=(1, 2))
        low, median, high = _quantiles(deviation**2 / (deviation**2 + float((error**2).mean())), weight, credible)
        return Summary(float(median), float(low), float(high), 1.0)

    def _effect(self, pairs: Pairs, one: int) -> tuple[float, float, float, float]:
        """E = mu + T (T + S)^-1 (d - mu), averaged over the cells; mu taken as known in each."""
        kept, grid = self._kept, self.grid
        weight = self.weight[kept] / self.weight[kept].sum()
        mu_x, mu_y = self.terms.centre[0][kept], self.terms.centre[1][kept]
        t11, t22, t12 = grid.deviation_x[kept] ** 2, grid.deviation_y[kept] ** 2, grid.covariance[kept]
        m11, m22 = t11 + pairs.error_x[one] ** 2, t22 + pairs.error_y[one] ** 2
        m12 = t12 + pairs.shared[one]
        determinant = m11 * m22 - m12**2
        k11, k12 = (t11 * m22 - t12 * m12) / determinant, (t12 * m11 - t11 * m12) / determinant
        k21, k22 = (t12 * m22 - t22 * m12) / determinant, (t22 * m11 - t12 * m12) / determinant
        across, up = pairs.x[one] - self.origin[0] - mu_x, pairs.y[one] - self.origin[1] - mu_y
        mean_x, mean_y = mu_x + k11 * across + k12 * up, mu_y + k21 * across + k22 * up
        var_x, var_y = t11 - (k11 * t11 + k12 * t12), t22 - (k21 * t12 + k22 * t22)
        (of_x, deviation_x), (of_y, deviation_y) = _moments(weight, mean_x, var_x), _moments(weight, mean_y, var_y)
        return self.origin[0] + of_x, self.origin[1] + of_y, deviation_x, deviation_y


def posterior_of(pairs: Pairs, cells: tuple[int, int] = FINE) -> Posterior | None:
    """The posterior given all pairs; None for fewer than three, a constant axis, or an error that is not known.

    >>> x = [2.1, -0.8, 0.4, 3.5, 1.2, -1.9, 0.1, 2.8, -0.3, 1.7, 4.2, 0.9]
    >>> y = [1, -0.2, 0.9, 1.6, -0.3, -1.1, 0.5, 0.8, -0.6, 1.4, 1.9, -0.2]
    >>> found = posterior_of(Pairs.of(x, y, 0.5, 0.6)).correlation(0.90)
    >>> 0.70 < found.median < 0.78, found.positive > 0.98
    (True, True)
    """
    spreads = Spreads.of(pairs)
    if spreads is None or not pairs.errors_known:
        return None
    grid = Grid.over(*spreads, cells)
    centred, origin = pairs.centred()
    return Posterior.given(grid, sum_of(grid, centred), spreads, pairs.n, origin)


def sum_of(grid: Grid, pairs: Pairs) -> Terms:
    """What all pairs add."""
    total = Terms.none(grid)
    for one in range(pairs.n):
        total = total.plus(Terms.of_pair(grid, pairs, one))
    return total


def leaving_one_out(
    pairs: Pairs, cells: tuple[int, int] = COARSE, parts: Sequence[Ints] | None = None
) -> Iterator[tuple[int, Posterior]]:
    """Each pair, or each part of several pairs, with the posterior given all others; nothing where these are too few or an
    error is not known.
    """
    spreads = Spreads.of(pairs)
    if spreads is None or not pairs.errors_known:
        return
    grid, (centred, origin) = Grid.over(*spreads, cells), pairs.centred()
    total = sum_of(grid, centred)
    for number, part in enumerate(_singly(pairs) if parts is None else parts):
        of_others = Spreads.of(pairs.without(part))
        if of_others is not None:
            rest = total.plus(sum_of(grid, centred.take(part)), -1.0)
            yield number, Posterior.given(grid, rest, of_others, pairs.n - len(part), origin)


def forward(
    pairs: Pairs, fewest: int, cells: tuple[int, int] = COARSE, parts: Sequence[Ints] | None = None
) -> Iterator[tuple[int, Posterior]]:
    """In the order of time, each pair (or part) with the posterior given those before it, after `fewest` pairs at least."""
    spreads = Spreads.of(pairs)
    if spreads is None or not pairs.errors_known:
        return
    grid, (centred, origin) = Grid.over(*spreads, cells), pairs.centred()
    total, before = Terms.none(grid), np.zeros(0, dtype=np.int64)
    for number, part in enumerate(_singly(pairs) if parts is None else parts):
        spreads = Spreads.of(pairs.take(before)) if len(before) >= max(fewest, 3) else None
        if spreads is not None:
            yield number, Posterior.given(grid, total, spreads, len(before), origin)
        total = total.plus(sum_of(grid, centred.take(part)))
        before = np.concatenate([before, part])


def _singly(pairs: Pairs) -> list[Ints]:
    return [np.array([one]) for one in range(pairs.n)]


def _quantiles(value: Floats, weight: Floats, credible: float) -> Floats:
    """Lower end, median and upper end; each value stands for the middle of its weight."""
    order = np.argsort(value)
    reached = np.cumsum(weight[order]) - weight[order] / 2
    ends = np.array([0.5 - credible / 2, 0.5, 0.5 + credible / 2]) * weight.sum()
    found: Floats = np.interp(ends, reached, value[order])
    return found


def _crossing(z: Floats, likelihood: Floats, left: int, cut: float) -> float:
    """rho where the likelihood crosses the cut between two cells, its logarithm taken as straight."""
    one, other = np.log(np.maximum(likelihood[left : left + 2], 1e-300))
    return tanh(float(z[left] + (np.log(cut) - one) / (other - one) * (z[left + 1] - z[left])))


def _moments(weight: Floats, mean: Floats, variance: Floats) -> tuple[float, float]:
    """Mean and standard deviation of a mixture."""
    middle = float(weight @ mean)
    return middle, sqrt(max(0.0, float(weight @ (variance + (mean - middle) ** 2))))
