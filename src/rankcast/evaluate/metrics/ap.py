"""Average precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.metric import Judged, Norm, RequestMetric, choice, level, ratio, within
from rankcast.tables.logs import Floats
from rankcast.tables.ragged import place_in_group, sum_by


@dataclass(frozen=True)
class AveragePrecision(RequestMetric):
    """ap@k = sum over relevant ranks i <= k of precision@i, over R (the reference program's map_cut).

    `norm=cut` divides by min(R, k) instead. 0 to 1, higher is better; 0 for an empty list; not measurable for a
    request without a relevant label. Its mean is known as map. Voorhees and Harman (2005).
    """

    level: float = level()
    norm: Norm = choice("all", Norm)
    name: ClassVar[str] = "ap"

    def values(self, judged: Judged) -> Floats:
        counted = judged.relevant(self.level) & within(judged.hit_rank, self.k)
        target, rank = judged.hit_target[counted], judged.hit_rank[counted]
        found_so_far = place_in_group(target) + 1.0
        total = sum_by(target, found_so_far / rank, judged.n)
        labels = judged.relevant_labels(self.level)
        if self.norm == "cut" and self.k is not None:
            labels = np.minimum(labels, self.k)
        return ratio(total, labels)
