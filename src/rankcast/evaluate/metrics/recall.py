"""Recall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankcast.evaluate.metric import Judged, RequestMetric, level, ratio
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class Recall(RequestMetric):
    """recall@k = relevant items within rank k / all R relevant items of the request (not min(R, k)).

    0 to 1, higher is better; `level=2` sets the least grade that is relevant. 0 for an empty list; not measurable
    for a request without a relevant label.
    """

    level: float = level()
    name: ClassVar[str] = "recall"

    def values(self, judged: Judged) -> Floats:
        return ratio(judged.relevant_hits(self.level, self.k), judged.relevant_labels(self.level))
