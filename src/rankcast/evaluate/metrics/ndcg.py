"""Normalised discounted cumulative gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankcast.evaluate.metric import Gain, Judged, RequestMetric, choice, discounts, gains, ratio, within
from rankcast.evaluate.metrics.dcg import DCG
from rankcast.tables.logs import Floats
from rankcast.tables.ragged import place_in_group, sum_by


@dataclass(frozen=True)
class NDCG(RequestMetric):
    """ndcg@k = dcg@k / dcg@k of the ideal order of all labels of the request, whether or not the list holds them.

    0 to 1, higher is better; 0 for an empty list; not measurable without labels. Järvelin and Kekäläinen (2002).
    """

    gain: Gain = choice("linear", Gain)
    name: ClassVar[str] = "ndcg"

    def values(self, judged: Judged) -> Floats:
        ranks = place_in_group(judged.label_target) + 1
        best = gains(judged.label_grade, self.gain) * discounts(ranks) * within(ranks, self.k)
        ideal = sum_by(judged.label_target, best, judged.n)
        return ratio(DCG(gain=self.gain, k=self.k).values(judged), ideal)
