"""Recall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.judged import Judged
from rankcast.evaluate.kernels import Norm, ratio
from rankcast.evaluate.metric import RequestMetric, choice, level
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class Recall(RequestMetric):
    """recall@k = relevant items within rank k / all R relevant items of the request.

    `norm=cut` divides by min(R, k), so that a full list of relevant items reaches 1. `level=2` sets the least grade that is
    relevant.
    """

    level: float = level()
    norm: Norm = choice("all", Norm)
    name: ClassVar[str] = "recall"
    source: ClassVar[str] = "Cleverdon and Keen (1966); recall_k of trec_eval, and relative_P_k for norm=cut"

    def values(self, judged: Judged) -> Floats:
        relevant = judged.relevant_labels(self.level)
        if self.norm == "cut" and self.k is not None:
            relevant = np.minimum(relevant, self.k)
        return ratio(judged.relevant_hits(self.level, self.k), relevant)
