"""The position-based model of clicks: P(click) = attraction of what is shown * examination of its rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankcast.tables.logs import Bools, Floats, Ints

_NEAR = 1e-7


@dataclass(frozen=True)
class PositionBased:
    """How attractive each unit is, and how likely each rank (from 1) is looked at, both from 0 to 1.

    Only their product is seen in clicks: compare ranks by `relative`.
    """

    attraction: Floats
    examination: Floats
    unknown: float

    def predict(self, unit: Ints, rank: Ints) -> Floats:
        """Chance of a click on each unit (-1: never seen) at its rank."""
        attraction = np.where(unit >= 0, self.attraction[unit], self.unknown)
        chance: Floats = attraction * self.examination[rank - 1]
        return chance

    @property
    def relative(self) -> Floats:
        """Examination of each rank over that of rank 1."""
        share: Floats = self.examination / self.examination[0]
        return share


def fit(
    unit: Ints,
    rank: Ints,
    click: Bools,
    iterations: int = 50,
    prior: tuple[float, float] = (1.0, 2.0),
    units: int | None = None,
) -> PositionBased:
    """Fit by expectation and maximisation (Chuklin, Markov and de Rijke, 2015; Craswell and others, 2008).

    `unit` (n) are codes of what attracts, `rank` (n) counts from 1. Start: 1/2. E step, where there was no click: attracted and
    not looked at with a (1 - e) / (1 - a e), looked at and not attracted with e (1 - a) / (1 - a e); a click is both. M step:
    (c + sum) / (s + n) with the `prior` (c, s), for ranks (1, 2). It stops early where nothing moves any more.

    >>> model = fit(np.array([0, 0, 1, 1]), np.array([1, 2, 1, 2]), np.array([True, False, True, False]))
    >>> model.relative[1] < 0.5
    np.True_
    """
    ranks, size = int(rank.max(initial=1)), int(unit.max(initial=-1)) + 1 if units is None else units
    pair, cell = np.unique(unit * np.int64(ranks) + rank - 1, return_inverse=True)
    of_unit, of_rank = pair // ranks, pair % ranks
    shown = np.bincount(cell, minlength=len(pair)).astype(np.float64)
    clicks = np.bincount(cell, click, len(pair)).astype(np.float64)
    passed = shown - clicks
    unit_shown = np.bincount(of_unit, shown, size) + prior[1]
    rank_shown = np.bincount(of_rank, shown, ranks) + 2.0
    start = prior[0] / prior[1]
    attraction, examination = np.full(size, start), np.full(ranks, 0.5)
    for _ in range(iterations):
        a, e = attraction[of_unit], examination[of_rank]
        neither = 1.0 - a * e
        attracted = clicks + passed * a * (1.0 - e) / neither
        looked = clicks + passed * e * (1.0 - a) / neither
        before = attraction, examination
        attraction = (prior[0] + np.bincount(of_unit, attracted, size)) / unit_shown
        examination = (1.0 + np.bincount(of_rank, looked, ranks)) / rank_shown
        if all(np.abs(now - then).max() < _NEAR for now, then in zip((attraction, examination), before, strict=True)):
            break
    return PositionBased(attraction, examination, start)
