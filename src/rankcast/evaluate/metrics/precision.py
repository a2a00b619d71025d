"""Precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.metric import Judged, RequestMetric, level, ratio
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class Precision(RequestMetric):
    """precision@k = relevant items within rank k / k. A list shorter than k is still divided by k; without k, by its length.

    0 to 1, higher is better; `level=2` sets the least grade that is relevant. An empty list scores 0.
    """

    level: float = level()
    name: ClassVar[str] = "precision"

    def values(self, judged: Judged) -> Floats:
        hits = judged.relevant_hits(self.level, self.k)
        size = judged.length.astype(np.float64) if self.k is None else np.full(judged.n, float(self.k))
        return ratio(hits, np.maximum(size, 1.0))
