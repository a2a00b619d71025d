"""Discounted cumulative gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankcast.evaluate.metric import Gain, Judged, RequestMetric, choice, discounts, gains, within
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class DCG(RequestMetric):
    """dcg@k = sum over ranks i <= k of g_i / log2(i + 1); `gain=exp` uses 2^g - 1 for g.

    From 0 upwards, higher is better. An empty list scores 0. Järvelin and Kekäläinen (2002); as an estimate of the online
    reward Jeunen et al. (2024), who show that dcg keeps the order of variants where ndcg may not.
    """

    gain: Gain = choice("linear", Gain)
    name: ClassVar[str] = "dcg"

    def values(self, judged: Judged) -> Floats:
        inside = within(judged.hit_rank, self.k)
        return judged.sum_hits(gains(judged.hit_grade, self.gain) * discounts(judged.hit_rank) * inside)
