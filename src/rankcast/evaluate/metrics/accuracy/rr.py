"""Reciprocal rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankcast.evaluate.judged import Judged
from rankcast.evaluate.kernels import within
from rankcast.evaluate.metric import RequestMetric, level
from rankcast.tables.logs import Floats
from rankcast.tables.ragged import place_in_group, sum_by


@dataclass(frozen=True)
class ReciprocalRank(RequestMetric):
    """rr@k = 1 / rank of the first relevant item within rank k, else 0. Its mean is known as mrr.

    `level=2` sets the least grade that is relevant.
    """

    level: float = level()
    name: ClassVar[str] = "rr"
    of_hits: ClassVar[bool] = True
    of_empty_truth: ClassVar[float | None] = 0.0
    source: ClassVar[str] = "Voorhees (1999); recip_rank of trec_eval"

    def values(self, judged: Judged) -> Floats:
        counted = judged.relevant(self.level) & within(judged.hit_rank, self.k)
        target, rank = judged.hit_target[counted], judged.hit_rank[counted]
        first = place_in_group(target) == 0
        return sum_by(target[first], 1.0 / rank[first], judged.n)
