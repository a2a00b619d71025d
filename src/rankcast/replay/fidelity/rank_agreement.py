"""How much two rankings agree, for many pairs of rankings at once.

Everything is computed from where the common items stand: rank `a` in one list, rank `b` in the other, and both lengths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankcast.tables.logs import Floats, Ints
from rankcast.tables.ragged import place_in_group

P = 0.9  # of rank-biased overlap: the first ten ranks carry 86 % of the weight
_CELLS = 4_000_000


@dataclass(frozen=True)
class Common:
    """The common items of n pairs of lists: `pair` (0..n-1, ascending), their ranks `a` and `b` from 1; lengths per pair."""

    pair: Ints
    a: Ints
    b: Ints
    length_a: Ints
    length_b: Ints


@dataclass(frozen=True)
class Overlap:
    """Rank-biased overlap (Webber, Moffat and Zobel, 2010): extrapolated, and the bounds whatever is not seen."""

    extrapolated: Floats
    low: Floats
    high: Floats


def rank_biased_overlap(common: Common, p: float = P) -> Overlap:
    """With X_d the overlap of the first d items (a list that is shorter ends at s, the longer at l):

    extrapolated = (1-p)/p [sum_{d<=l} X_d/d p^d + sum_{s<d<=l} X_s (d-s)/(s d) p^d] + [(X_l - X_s)/l + X_s/s] p^l;
    low = (1-p)/p [sum_{d<=l} (X_d - X_l) p^d/d - X_l ln(1-p)], nothing that is not seen agrees;
    high: everything that is not seen agrees as early as it can. 0 where a list is empty.

    >>> pair = np.zeros(5, dtype=np.int64)
    >>> five = np.array([5])
    >>> one = Common(pair, np.arange(1, 6), np.array([4, 1, 2, 3, 5]), five, five)  # 1 2 3 4 5 against 2 3 4 1 5
    >>> found = rank_biased_overlap(one)
    >>> round(float(found.extrapolated[0]), 3), round(float(found.low[0]), 7)
    (0.828, 0.4999889)
    """
    n, longest = len(common.length_a), int(np.maximum(common.length_a, common.length_b).max(initial=1))
    chunk = max(1, _CELLS // longest)
    parts = [_overlap(common, first, min(first + chunk, n), p) for first in range(0, n, chunk)]
    return Overlap(*(np.concatenate([part[at] for part in parts]) if parts else np.zeros(0) for at in range(3)))


def _overlap(common: Common, first: int, end: int, p: float) -> tuple[Floats, Floats, Floats]:
    rows = slice(*np.searchsorted(common.pair, [first, end]))
    pair = common.pair[rows] - first
    n = end - first
    one, other = common.length_a[first:end], common.length_b[first:end]
    s, long = np.minimum(one, other)[:, None], np.maximum(one, other)[:, None]
    size = int(long.max(initial=1))
    d = np.arange(1, size + 1)
    deep = np.maximum(common.a[rows], common.b[rows])  # the depth from which on both lists hold the item
    x = np.bincount(pair * size + deep - 1, minlength=n * size).reshape(n, size).cumsum(axis=1).astype(np.float64)
    x_l = x[:, -1:]
    x_s = np.take_along_axis(x, np.maximum(s, 1) - 1, axis=1)
    inside, beyond = d <= long, (d > s) & (d <= long)
    weight = p**d / d
    some = s > 0
    s_or_1 = np.maximum(s, 1)
    extrapolated = (1 - p) / p * (_total(x * weight * inside) + _total(x_s * (d - s) / s_or_1 * weight * beyond))
    extrapolated += (((x_l - x_s) / np.maximum(long, 1) + x_s / s_or_1) * p**long)[:, 0]
    low = (1 - p) / p * (_total((x - x_l) * weight * inside) - x_l[:, 0] * np.log(1 - p))
    full = (s + long - x_l)[:, 0]  # from this depth on the lists can agree in everything
    high = (1 - p) / p * _total((x + np.maximum(0, d - s)) * weight * inside)
    high += (1 - p) / p * _between(x_l[:, 0], s[:, 0], long[:, 0], full, p) + p ** np.maximum(full - 1, long[:, 0])
    return np.where(some[:, 0], extrapolated, 0.0), np.where(some[:, 0], low, 0.0), high


def _total(rows: Floats) -> Floats:
    """The sum of each row, added from left to right: NumPy's own sum rounds otherwise when zeros follow, as many as the
    longest list of a shard has.
    """
    total: Floats = rows.cumsum(axis=1)[:, -1]
    return total


def _between(x: Floats, s: Ints, long: Ints, full: Floats, p: float) -> Floats:
    """Sum over long < d < full of (x + 2 d - s - long) p^d / d: each depth adds an item to both lists, and both agree."""
    total = np.zeros(len(x))
    for step in range(1, int((full - long).max(initial=0))):
        d = long + step
        total += np.where(d < full, (x + 2 * d - s - long) * p**d / d, 0.0)
    return total


def kendall_tau(common: Common) -> Floats:
    """(concordant - discordant) / (n (n - 1) / 2) over the n common items of each pair; NaN below two (Kendall, 1938).

    >>> two = np.array([3])
    >>> kendall_tau(Common(np.zeros(3, dtype=np.int64), np.array([1, 2, 3]), np.array([1, 3, 2]), two, two)).round(4).tolist()
    [0.3333]
    """
    n = len(common.length_a)
    order = np.lexsort((common.a, common.pair))
    pair, b = common.pair[order], common.b[order]
    place, balance = place_in_group(pair), np.zeros(n)
    for apart in range(1, int(place.max(initial=-1)) + 1):
        later = np.flatnonzero(place >= apart)
        sign = np.sign(b[later] - b[later - apart])
        balance += np.bincount(pair[later], sign, n)
    size = np.bincount(pair, minlength=n)
    pairs = size * (size - 1) / 2
    tau: Floats = np.divide(balance, pairs, out=np.full(n, np.nan), where=pairs > 0)
    return tau


def rank_error(common: Common) -> Floats:
    """Mean of |a - b| over the common items of each pair; NaN without any."""
    n = len(common.length_a)
    size = np.bincount(common.pair, minlength=n)
    total = np.bincount(common.pair, np.abs(common.a - common.b), n)
    error: Floats = np.divide(total, size, out=np.full(n, np.nan), where=size > 0)
    return error
