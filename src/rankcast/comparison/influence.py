"""Who drives a difference: the users and requests that move it most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankcast.comparison.estimates import Estimator
from rankcast.comparison.table import measurable
from rankcast.tables.logs import Floats, Ints

MOST = 5


@dataclass(frozen=True)
class Mover:
    """A user (code) or a request (position among the targets), what it adds to the difference, and the difference without it."""

    variant: str
    metric: str
    by_user: bool
    unit: int
    requests: int
    contribution: float
    without: float | None


def influence(estimator: Estimator) -> tuple[Mover, ...]:
    """Of each decided variant the users, then the requests, without whom the primary difference would be furthest from what it
    is; ties by code.
    """
    table = estimator.table
    primary = next(metric for metric in table.metrics if metric.family == "primary")
    if primary.values is None:
        return ()
    movers: list[Mover] = []
    for variant in (name for name in table.variants if name in table.decided):
        d = primary.of(variant) - primary.of(table.baseline)
        kept = np.flatnonzero(measurable(d) & (table.weight > 0))
        for by_user in (True, False):
            unit = table.user[kept] if by_user else kept
            movers += [
                Mover(variant, primary.name, by_user, *found) for found in _movers(unit, d[kept], table.weight[kept])
            ]
    return tuple(movers)


def _movers(unit: Ints, d: Floats, weight: Floats) -> list[tuple[int, int, float, float | None]]:
    """(unit, rows, contribution, difference without it) of those that move the weighted mean most."""
    total = float(weight.sum())
    if not total > 0:
        return []
    units, member, rows = np.unique(unit, return_inverse=True, return_counts=True)
    summed, mine = np.bincount(member, weight * d), np.bincount(member, weight)
    mean = float(summed.sum()) / total
    rest = total - mine
    without = np.divide(summed.sum() - summed, rest, out=np.full(len(units), np.nan), where=rest > 1e-12 * total)
    moved = np.round(np.abs(np.nan_to_num(without - mean, nan=np.inf)), 15)
    moved[summed == 0] = 0.0
    order = np.lexsort((units, -moved))[:MOST]
    return [
        (
            int(units[at]),
            int(rows[at]),
            float(summed[at]) / total,
            None if np.isnan(without[at]) else float(without[at]),
        )
        for at in order
        if moved[at] > 0
    ]
