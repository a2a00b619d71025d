"""Average precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.judged import Judged
from rankcast.evaluate.kernels import Norm, ratio, within
from rankcast.evaluate.metric import RequestMetric, choice, level
from rankcast.tables.logs import Floats
from rankcast.tables.ragged import place_in_group, sum_by


@dataclass(frozen=True)
class AveragePrecision(RequestMetric):
    """ap@k = sum over relevant ranks i <= k of precision@i, over R. Its mean is known as map.

    `norm=cut` divides by min(R, k) instead. `level=2` sets the least grade that is relevant.
    """

    level: float = level()
    norm: Norm = choice("all", Norm)
    name: ClassVar[str] = "ap"
    source: ClassVar[str] = "Voorhees and Harman (2005); map_cut_k of trec_eval"

    def values(self, judged: Judged) -> Floats:
        counted = judged.relevant(self.level) & within(judged.hit_rank, self.k)
        target, rank = judged.hit_target[counted], judged.hit_rank[counted]
        found_so_far = place_in_group(target) + 1.0
        total = sum_by(target, found_so_far / rank, judged.n)
        labels = judged.relevant_labels(self.level)
        if self.norm == "cut" and self.k is not None:
            labels = np.minimum(labels, self.k)
        return ratio(total, labels)
