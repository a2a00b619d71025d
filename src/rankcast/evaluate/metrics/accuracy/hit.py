"""Hit rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.judged import Judged
from rankcast.evaluate.metric import RequestMetric, level
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class Hit(RequestMetric):
    """hit@k = 1 if a relevant item stands within rank k, else 0. Its mean is the hit rate.

    `level=2` sets the least grade that is relevant.
    """

    level: float = level()
    name: ClassVar[str] = "hit"
    of_hits: ClassVar[bool] = True
    of_empty_truth: ClassVar[float | None] = 0.0
    source: ClassVar[str] = "Deshpande and Karypis (2004); success_k of trec_eval"

    def values(self, judged: Judged) -> Floats:
        return (judged.relevant_hits(self.level, self.k) > 0).astype(np.float64)
