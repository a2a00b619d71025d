"""Diversity within a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.judged import Judged
from rankcast.evaluate.metric import RequestMetric, column
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class Diversity(RequestMetric):
    """diversity(by=item.category)@k = share of the pairs of items within rank k whose values differ: intra-list diversity.

    Null is a value of its own. A list of fewer than two items has no diversity.
    """

    by: str = column()
    name: ClassVar[str] = "diversity"
    needs_labels: ClassVar[bool] = False
    needs_rows: ClassVar[bool] = True
    cost: ClassVar[str] = "items within rank k"
    source: ClassVar[str] = "Smyth and McClave (2001); Ziegler, McNee, Konstan and Lausen (2005)"

    def needs(self) -> frozenset[str]:
        return frozenset({self.by})

    def values(self, judged: Judged) -> Floats:
        rows = judged.rows_within(self.k)
        group = judged.beyond().groups_of(self.by, rows.item) + 1
        width = int(group.max(initial=0)) + 1
        kinds, sizes = np.unique(rows.target * width + group, return_counts=True)
        alike = np.bincount(kinds // width, sizes * (sizes - 1.0), judged.n)
        shown = np.bincount(rows.target, minlength=judged.n)
        pairs = shown * (shown - 1.0)
        return np.where(pairs > 0, 1.0 - alike / np.maximum(pairs, 1.0), 0.0)
