"""The arithmetic that metrics share, on flat arrays."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import numpy as np

from rankcast.errors import DataError
from rankcast.tables.logs import Bools, Floats, Ints
from rankcast.tables.ragged import place_in_group

Gain = Literal["linear", "exp", "binary"]
Discount = Literal["log2", "log2_from_2", "reciprocal", "none", "examined"]
EXAMINED = "examined"
Norm = Literal["all", "cut"]
MOST_EXP = 100  # the best grade of which a power of two is taken


def within(ranks: Ints, k: int | None) -> Bools:
    """Which ranks lie within the cut-off."""
    return np.ones(len(ranks), dtype=bool) if k is None else ranks <= k


def is_relevant(grades: Floats, least: float) -> Bools:
    """Which grades are relevant: above 0, and at least `least`."""
    return (grades > 0) & (grades >= least)


def gains(grades: Floats, gain: str) -> Floats:
    """Grades as gains: linear g, exponential 2^g - 1, or binary 1 where g > 0.

    >>> gains(np.array([0.0, 1.0, 3.0]), "exp").tolist()
    [0.0, 1.0, 7.0]
    """
    if gain == "linear":
        return grades
    if gain == "exp":
        if len(grades) and grades.max() > MOST_EXP:
            raise DataError(f"gain=exp: a label has grade {grades.max():g}; 2^g is for grades up to {MOST_EXP}")
        return np.exp2(grades) - 1.0
    return (grades > 0).astype(np.float64)


def discounts(ranks: Ints, discount: str = "log2", examination: Floats | None = None) -> Floats:
    """Weight of each rank (from 1).

    `log2`: 1 / log2(rank + 1). `log2_from_2`: 1 / max(1, log2 rank), which leaves ranks 1 and 2 alone (Järvelin and
    Kekäläinen, 2002, with b = 2). `reciprocal`: 1 / rank. `none`: 1. `examined`: how likely users look at the rank, as
    `examination` says, 1 at rank 1; beyond its last rank K it falls on as log2(K + 1) / log2(rank + 1).

    >>> discounts(np.array([1, 2, 4]), "log2_from_2").tolist()
    [1.0, 1.0, 0.5]
    """
    if discount == "none":
        return np.ones(len(ranks))
    if discount == EXAMINED:
        return _examined(ranks, examination)
    if discount == "reciprocal":
        divisor = ranks.astype(np.float64)
    elif discount == "log2":
        divisor = np.log2(ranks + 1.0)
    else:
        divisor = np.maximum(1.0, np.log2(ranks))
    weights: Floats = 1.0 / divisor
    return weights


def _examined(ranks: Ints, examination: Floats | None) -> Floats:
    if examination is None:
        raise DataError(
            "discount=examined: how far users look is not known here; it is estimated in a study, from impressions and clicks"
        )
    last = len(examination)
    weights: Floats = examination[np.minimum(ranks, last) - 1]
    further: Floats = np.where(ranks > last, np.log2(last + 1.0) / np.log2(ranks + 1.0), 1.0)
    return weights * further


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Numerator over denominator; NaN, that is not measurable, where the denominator is 0."""
    share: Floats = np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)
    return share


def waves(groups: Ints) -> Iterator[Ints]:
    """Positions of the first elements of all groups, then of the second ones, and so on. Groups are runs of equal neighbours.

    >>> [wave.tolist() for wave in waves(np.array([4, 4, 7]))]
    [[0, 2], [1]]
    """
    place = place_in_group(groups)
    order = np.argsort(place, kind="stable")
    bounds = np.searchsorted(place[order], np.arange(int(place.max(initial=-1)) + 2))
    for start, end in pairwise(bounds):
        yield order[start:end]
