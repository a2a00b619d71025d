"""How different the lists of different users are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.exposure import Exposure
from rankcast.evaluate.kernels import ratio
from rankcast.evaluate.metric import VariantMetric
from rankcast.tables.logs import Floats
from rankcast.tables.ragged import sum_by

_ROUNDING = 1e-12  # a difference of sums: what is smaller is not there


@dataclass(frozen=True)
class Personalization(VariantMetric):
    """personalization@k = 1 - mean over pairs of lists of different users of |A and B| / sqrt(|A| |B|).

    A and B are the items within rank k; empty lists take no part. 0: everybody sees the same; 1: nobody shares anything. Exact
    over all pairs, in linear time: the sum over pairs is that of squared sums per item, less what a user shares with itself.
    """

    name: ClassVar[str] = "personalization"
    source: ClassVar[str] = "Zhou et al. (2010); cosine similarity as in recmetrics"

    def result(self, exposure: Exposure) -> Floats:
        lists, own = exposure.once("lists of users", lambda: _of_users(exposure))
        shared = (exposure.sum_by_item("cosine", lambda: _amounts(exposure)) ** 2).sum(axis=0)
        shared = shared - own @ exposure.weights**2
        pairs = (lists @ exposure.weights) ** 2 - lists**2 @ exposure.weights**2
        value = np.clip(1.0 - ratio(shared, pairs), 0.0, 1.0)  # rounding may leave the range
        return np.where(value < _ROUNDING, 0.0, value)


def _amounts(exposure: Exposure) -> Floats:
    """1 / sqrt(length of the list), for each row."""
    _, member, length = np.unique(exposure.shown.owner, return_inverse=True, return_counts=True)
    return 1.0 / np.sqrt(length[member])


def _of_users(exposure: Exposure) -> tuple[Floats, Floats]:
    """For each user, the number of lists, and the sum over all pairs of its own lists, each list with itself too."""
    users, items = len(exposure.weights), np.int64(max(1, len(exposure.items)))
    _, first = np.unique(exposure.shown.owner, return_index=True)
    lists = np.bincount(exposure.user[first], minlength=users).astype(np.float64)
    pair, member = np.unique(exposure.user * items + exposure.item_codes(), return_inverse=True)
    squares = sum_by(member, _amounts(exposure), len(pair)) ** 2
    return lists, sum_by(pair // items, squares, users)
