"""How well a click model foretells clicks that it has not seen."""

from __future__ import annotations

import numpy as np

from rankcast.tables.logs import Bools, Floats, Ints


def perplexity(chance: Floats, click: Bools, rank: Ints) -> float:
    """Mean over ranks of 2^(-mean of log2 P(what happened)): 1 is perfect, 2 is a coin (Dupret and Piwowarski, 2008).

    >>> perplexity(np.array([0.5, 0.5]), np.array([True, False]), np.array([1, 1]))
    2.0
    """
    return float(perplexity_by_rank(chance, click, rank).mean())


def perplexity_by_rank(chance: Floats, click: Bools, rank: Ints) -> Floats:
    """The same for each rank that occurs, in order."""
    inside = np.clip(chance, 1e-12, 1 - 1e-12)
    bits = np.log2(np.where(click, inside, 1.0 - inside))
    known, place, shown = np.unique(rank, return_inverse=True, return_counts=True)
    answer: Floats = np.exp2(-np.bincount(place, bits, len(known)) / shown)
    return answer


def rank_only(rank: Ints, click: Bools, ranks: int) -> Floats:
    """Clicks per impression of each rank (from 1), smoothed by one click in two impressions: what knows nothing but ranks."""
    shown = np.bincount(rank - 1, minlength=ranks)
    rates: Floats = (1.0 + np.bincount(rank - 1, click, ranks)) / (2.0 + shown)
    return rates


def rates(rank: Ints, amounts: Floats | Bools, ranks: int) -> Floats:
    """Mean of amounts at each rank (from 1); NaN where there is none."""
    shown = np.bincount(rank - 1, minlength=ranks).astype(np.float64)
    mean: Floats = np.divide(np.bincount(rank - 1, amounts, ranks), shown, out=np.full(ranks, np.nan), where=shown > 0)
    return mean
