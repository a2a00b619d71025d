"""Weighted means of many parts at once, their covariances clustered: a mean of every segment costs one pass over the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

BAGS = 4_000  # more clusters than that are resampled in so many bags of several: of so many, errors are known to 1 %
_DENSE = 4  # a table of all (part, cluster) pairs may have so many entries for a row


@dataclass(frozen=True)
class Cells:
    """Clusters within parts that do not overlap: the `cell` of each row (n); `part` and `cluster` of each cell (C)."""

    cell: Ints
    part: Ints
    cluster: Ints
    parts: int

    @classmethod
    def of(cls, part: Ints, cluster: Ints, parts: int) -> Cells:
        """From the part (0..parts-1) and the cluster (0, 1, ...) of each row.

        >>> cells = Cells.of(np.array([0, 1, 0]), np.array([5, 5, 5]), 2)
        >>> cells.cell.tolist(), cells.part.tolist(), cells.cluster.tolist()
        ([0, 1, 0], [0, 1], [5, 5])
        """
        size = int(cluster.max(initial=-1)) + 1
        key = part * np.int64(size) + cluster
        if size * parts <= _DENSE * len(key) + 100_000:
            present = np.zeros(size * parts, dtype=bool)
            present[key] = True
            known = np.flatnonzero(present)
            cell = (np.cumsum(present) - 1)[key]
        else:
            known, cell = np.unique(key, return_inverse=True)
        return cls(cell, known // max(size, 1), known % max(size, 1), parts)

    @cached_property
    def starts(self) -> Ints:
        """Where each part's cells begin (they stand together), and where the last ends."""
        return np.searchsorted(self.part, np.arange(self.parts + 1)).astype(np.int64)

    def by_part(self, amounts: Floats) -> Floats:
        """Sums of the cells' amounts (..., C) in each part (..., P)."""
        answer = np.zeros((*amounts.shape[:-1], self.parts))
        filled = np.flatnonzero(np.diff(self.starts) > 0)
        if len(filled):
            answer[..., filled] = np.add.reduceat(amounts, self.starts[filled], axis=-1)
        return answer

    def weighing(self, weights: Floats, kept: Bools | None = None) -> Weighing:
        """The weights (n) of the rows that are `kept` (None: all)."""
        cell = self.cell if kept is None else self.cell[kept]
        size = len(self.part)
        weight = np.bincount(cell, weights if kept is None else weights[kept], size).astype(np.float64)
        return Weighing(self, weight, np.bincount(cell, minlength=size), weights, kept)

    def merged(self, most: int) -> tuple[Cells, Ints]:
        """With the clusters put into at most so many bags, and the new cell of each cell."""
        key = self.part * np.int64(most) + self.cluster % most
        known, cell = np.unique(key, return_inverse=True)
        return Cells(cell, known // most, known % most, self.parts), cell


@dataclass(frozen=True)
class Weighing:
    """How much each cell weighs (C), and how many rows it has (C); `weights` (n) are the rows', of which some are `kept`."""

    cells: Cells
    weight: Floats
    rows: Ints
    weights: Floats
    kept: Bools | None = None

    @cached_property
    def total(self) -> Floats:
        """Weight of each part (P)."""
        return self.cells.by_part(self.weight)

    @cached_property
    def n(self) -> Ints:
        """Rows of each part (P)."""
        return self.cells.by_part(self.rows.astype(np.float64)).astype(np.int64)

    @cached_property
    def clusters(self) -> Floats:
        """Clusters of each part that have a row (P)."""
        return self.cells.by_part((self.rows > 0).astype(np.float64))

    @cached_property
    def share(self) -> Floats:
        """Each cell's share of its part's weight (C)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            answer: Floats = self.weight / self.total[self.cells.part]
        return answer

    @cached_property
    def effective(self) -> Floats:
        """In each part, how many clusters of equal weight they are worth: (sum W)^2 / sum W^2 (Kish, 1965)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            answer: Floats = self.total**2 / self.cells.by_part(self.weight**2)
        return answer

    @cached_property
    def satterthwaite(self) -> Floats:
        """Degrees of freedom of a robust covariance in each part: 1 / (sum p^2 + (sum x)^2 - sum x^2), x = p^2 / (1 - p), p the
        share of a cluster; NaN where there are none.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = self.share**2 / (1.0 - self.share)
            by_part = self.cells.by_part
            freedom: Floats = 1.0 / (by_part(self.share**2) + by_part(spread) ** 2 - by_part(spread**2))
        freedom[(self.clusters < 2) | ~np.isfinite(freedom)] = np.nan
        return freedom

    @cached_property
    def bags(self) -> tuple[Weighing, Ints]:
        """With the clusters put into at most BAGS bags; and the new cell of each cell."""
        cells, bag = self.cells.merged(BAGS)
        size = len(cells.part)
        weight = np.bincount(bag, self.weight, size).astype(np.float64)
        return Weighing(cells, weight, np.bincount(bag, self.rows, size).astype(np.int64), weight), bag

    def sums(self, columns: Sequence[Floats]) -> CellSums:
        """Sums of w v by cell of K columns (n each). Nothing is subtracted first: of zeros the sum is 0, without rounding."""
        size, kept = len(self.cells.part), self.kept
        cell, weights = (self.cells.cell, self.weights) if kept is None else (self.cells.cell[kept], self.weights[kept])
        summed = [np.bincount(cell, weights * (column if kept is None else column[kept]), size) for column in columns]
        return CellSums(self, np.array(summed, dtype=np.float64).reshape(len(columns), size))


@dataclass(frozen=True)
class CellSums:
    """By cell: sums of w v of K columns (K, C)."""

    weighing: Weighing
    values: Floats

    def differences(self, pairs: Sequence[tuple[int, int | None]]) -> CellSums:
        """One column minus another, or a column as it is."""
        return CellSums(self.weighing, _differences(self.values, pairs))

    def beside(self, others: Sequence[CellSums]) -> CellSums:
        """With further columns under the same weights."""
        return CellSums(self.weighing, np.concatenate([one.values for one in (self, *others)]))

    def bagged(self) -> CellSums:
        """With the clusters put into at most BAGS bags; the same where there are no more."""
        if int(self.weighing.cells.cluster.max(initial=-1)) < BAGS:
            return self
        weighing, bag = self.weighing.bags
        size = len(weighing.rows)
        values = np.array([np.bincount(bag, column, size) for column in self.values]).reshape(len(self.values), size)
        return CellSums(weighing, values)

    def residuals(self) -> Residuals:
        """Of every cell, the sum of w (v - mean of its part)."""
        weighing = self.weighing
        cells = weighing.cells
        with np.errstate(invalid="ignore", divide="ignore"):
            means: Floats = cells.by_part(self.values) / weighing.total
        values = self.values - np.nan_to_num(means)[:, cells.part] * weighing.weight
        return Residuals(weighing, values, means)


@dataclass(frozen=True)
class Residuals:
    """By cell: sums of w (v - mean) of K columns (K, C); by part their means (K, P)."""

    weighing: Weighing
    values: Floats
    means: Floats

    def differences(self, pairs: Sequence[tuple[int, int | None]]) -> Residuals:
        """One column minus another, or a column as it is. Of equal columns nothing is left, not even rounding."""
        return Residuals(self.weighing, _differences(self.values, pairs), _differences(self.means, pairs))


def _differences(values: Floats, pairs: Sequence[tuple[int, int | None]]) -> Floats:
    return np.array([values[plus] if minus is None else values[plus] - values[minus] for plus, minus in pairs])


@dataclass(frozen=True)
class Moments:
    """By part: how many rows `n` and clusters it has, means (K, P), covariances of the means (K, K, P; NaN below two clusters),
    and their degrees of freedom.
    """

    n: Ints
    clusters: Ints
    means: Floats
    covariance: Floats
    freedom: Floats


def moments(residuals: Residuals, robust: bool = False) -> Moments:
    """Means of w v over w, and the covariances of K means, linearised and clustered.

    u = sum of w (v - mean) over a cluster g, p_g its share of the weight, G clusters: cov = G / (G - 1) * sum(u u') / (sum w)^2,
    G - 1 degrees of freedom. `robust`: u / sqrt(1 - p_g) without the factor (CR2 of Bell and McCaffrey, 2002, for rows that are
    independent under the working model) and Satterthwaite's degrees of freedom, which count what few or unequal clusters are
    worth.
    """
    weighing, values = residuals.weighing, residuals.values
    clusters = weighing.clusters
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = clusters / (clusters - 1.0)
        if robust:
            values = values / np.sqrt(1.0 - weighing.share)
            factor = np.ones(len(clusters))
        factor[clusters < 2] = np.nan
        scale = factor / weighing.total**2
        k = len(values)
        covariance = np.empty((k, k, len(clusters)))
        for i in range(k):
            for j in range(i + 1):
                covariance[i, j] = covariance[j, i] = weighing.cells.by_part(values[i] * values[j]) * scale
    return Moments(
        n=weighing.n,
        clusters=clusters.astype(np.int64),
        means=residuals.means,
        covariance=covariance,
        freedom=weighing.satterthwaite if robust else clusters - 1.0,
    )


def two_ways(one: Moments, other: Moments, both: Moments) -> Moments:
    """Clustered by two things at once: V = V_one + V_other - V_both, with the fewer clusters' degrees of freedom; where that is
    no variance, the larger of the two (Cameron, Gelbach and Miller, 2011).
    """
    covariance = one.covariance + other.covariance - both.covariance
    for k in range(len(covariance)):
        odd = ~(covariance[k, k] > 0)
        larger = np.where(one.covariance[k, k] >= other.covariance[k, k], one.covariance, other.covariance)
        if k == 0:  # what is asked for: all of that way
            covariance = np.where(odd, larger, covariance)
            continue
        covariance[k] = np.where(odd, larger[k], covariance[k])
        covariance[:, k] = covariance[k]
    freedom = np.minimum(one.freedom, other.freedom)
    covariance[..., ~(freedom >= 1)] = np.nan
    return Moments(one.n, one.clusters, one.means, covariance, freedom)
