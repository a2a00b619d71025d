"""Normalised discounted cumulative gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.judged import Judged
from rankcast.evaluate.kernels import EXAMINED, Discount, Gain, discounts, gains, ratio, within
from rankcast.evaluate.metric import EXAMINATION, RequestMetric, choice
from rankcast.evaluate.metrics.accuracy.dcg import DCG
from rankcast.tables.logs import Floats
from rankcast.tables.ragged import sum_by


@dataclass(frozen=True)
class NDCG(RequestMetric):
    """ndcg@k = dcg@k / dcg@k of the ideal order of all labels of the request, whether or not the list holds them.

    Gain g and discount 1 / log2(i + 1) unless `gain` and `discount` say otherwise, as in `dcg`.
    """

    gain: Gain = choice("linear", Gain)
    discount: Discount = choice("log2", Discount)
    name: ClassVar[str] = "ndcg"
    source: ClassVar[str] = "Järvelin and Kekäläinen (2002); linear gain as in the reference program trec_eval"

    def needs(self) -> frozenset[str]:
        return frozenset({EXAMINATION}) if self.discount == EXAMINED else frozenset()

    def values(self, judged: Judged) -> Floats:
        ranks = judged.label_ranks()
        weights = discounts(ranks, self.discount, judged.examination) * within(ranks, self.k)
        worth = np.maximum(gains(judged.label_grade, self.gain), 0.0)  # nobody need show what is disliked
        ideal = sum_by(judged.label_target, worth * weights, judged.n)
        return ratio(DCG(gain=self.gain, discount=self.discount, k=self.k).values(judged), ideal)
