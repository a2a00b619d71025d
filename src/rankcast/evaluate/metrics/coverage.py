"""Catalogue coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.metric import Metric
from rankcast.tables.logs import Bools, Ints


@dataclass(frozen=True)
class Coverage(Metric):
    """coverage@k = share of the available items that stand within rank k of at least one slate.

    Available is an item that was open at the time of at least one target; without an availability table, every item of
    `items`. 0 to 1, higher is better; a number per variant, so its interval comes from a bootstrap over users.
    """

    name: ClassVar[str] = "coverage"
    needs_labels: ClassVar[bool] = False
    per_request: ClassVar[bool] = False

    def counted(self, item: Ints, rank: Ints, available: Bools) -> Bools:
        """Which rows of slates count: an available item within rank k."""
        inside = available[item]
        return inside if self.k is None else inside & (rank <= self.k)

    def value(self, item: Ints, available: Bools) -> float | None:
        """Coverage by the items of counted rows; None when nothing was available."""
        size = int(available.sum())
        return len(np.unique(item)) / size if size else None
