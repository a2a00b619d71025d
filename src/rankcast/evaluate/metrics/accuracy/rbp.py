"""Rank-biased precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.judged import Judged
from rankcast.evaluate.kernels import within
from rankcast.evaluate.metric import RequestMetric, level, number
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class RankBiasedPrecision(RequestMetric):
    """rbp(p=0.8)@k = (1 - p) * sum over relevant ranks i <= k of p^(i - 1).

    The reader goes on to the next rank with probability p. What lies beyond the list counts as not relevant: the residual
    p^length is what it might have added. `level=2` sets the least grade that is relevant.
    """

    p: float = number(0.8, most=1, below=True, always=True)
    level: float = level()
    name: ClassVar[str] = "rbp"
    of_hits: ClassVar[bool] = True
    of_empty_truth: ClassVar[float | None] = 0.0
    source: ClassVar[str] = "Moffat and Zobel (2008)"

    def values(self, judged: Judged) -> Floats:
        counted = judged.relevant(self.level) & within(judged.hit_rank, self.k)
        patience: Floats = np.power(self.p, judged.hit_rank - 1.0)
        return judged.sum_hits((1.0 - self.p) * patience * counted)
