"""Discounted cumulative gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankcast.evaluate.judged import Judged
from rankcast.evaluate.kernels import EXAMINED, Discount, Gain, discounts, gains, within
from rankcast.evaluate.metric import EXAMINATION, UNBOUNDED, RequestMetric, choice
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class DCG(RequestMetric):
    """dcg@k = sum over ranks i <= k of g_i / log2(i + 1).

    `gain=exp` uses 2^g - 1 for g, `gain=binary` 1. `discount=log2_from_2` divides by max(1, log2 i), `reciprocal` by i, `none` by
    1; `discount=examined` multiplies by how likely users look at rank i, estimated from the service's clicks. As an estimate of
    the online reward, dcg keeps the order of variants where ndcg may not (Jeunen et al., 2024).
    """

    gain: Gain = choice("linear", Gain)
    discount: Discount = choice("log2", Discount)
    name: ClassVar[str] = "dcg"
    of_hits: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = UNBOUNDED
    of_empty_truth: ClassVar[float | None] = 0.0
    source: ClassVar[str] = "Järvelin and Kekäläinen (2002); Burges et al. (2005) for gain=exp"

    def needs(self) -> frozenset[str]:
        return frozenset({EXAMINATION}) if self.discount == EXAMINED else frozenset()

    def values(self, judged: Judged) -> Floats:
        inside = within(judged.hit_rank, self.k)
        weights = discounts(judged.hit_rank, self.discount, judged.examination)
        return judged.sum_hits(gains(judged.hit_grade, self.gain) * weights * inside)
