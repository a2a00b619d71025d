"""Hit rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.metric import Judged, RequestMetric, level
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class Hit(RequestMetric):
    """hit@k = 1 if a relevant item stands within rank k, else 0. Its mean is the hit rate.

    0 or 1, higher is better; `level=2` sets the least grade that is relevant. An empty list scores 0.
    """

    level: float = level()
    name: ClassVar[str] = "hit"

    def values(self, judged: Judged) -> Floats:
        return (judged.relevant_hits(self.level, self.k) > 0).astype(np.float64)
