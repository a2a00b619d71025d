"""Precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.judged import Judged
from rankcast.evaluate.kernels import ratio
from rankcast.evaluate.metric import RequestMetric, level
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class Precision(RequestMetric):
    """precision@k = relevant items within rank k / k. A list shorter than k is still divided by k; without k, by its length.

    `level=2` sets the least grade that is relevant.
    """

    level: float = level()
    name: ClassVar[str] = "precision"
    of_hits: ClassVar[bool] = True
    of_empty_truth: ClassVar[float | None] = 0.0
    source: ClassVar[str] = "Cleverdon and Keen (1966); P_k of trec_eval"

    def values(self, judged: Judged) -> Floats:
        hits = judged.relevant_hits(self.level, self.k)
        size = judged.length.astype(np.float64) if self.k is None else np.full(judged.n, float(self.k))
        return ratio(hits, np.maximum(size, 1.0))
