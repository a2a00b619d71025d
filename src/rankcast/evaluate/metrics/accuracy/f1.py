"""F1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.judged import Judged
from rankcast.evaluate.kernels import ratio
from rankcast.evaluate.metric import RequestMetric, level
from rankcast.evaluate.metrics.accuracy.precision import Precision
from rankcast.evaluate.metrics.accuracy.recall import Recall
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class F1(RequestMetric):
    """f1@k = 2 P R / (P + R), the harmonic mean of precision@k and recall@k; 0 where both are 0.

    `level=2` sets the least grade that is relevant.
    """

    level: float = level()
    name: ClassVar[str] = "f1"
    source: ClassVar[str] = "van Rijsbergen (1979); set_F of trec_eval without k"

    def values(self, judged: Judged) -> Floats:
        precision = Precision(level=self.level, k=self.k).values(judged)
        recall = Recall(level=self.level, k=self.k).values(judged)
        both = precision + recall
        return np.where(both == 0, both, ratio(2 * precision * recall, both))
