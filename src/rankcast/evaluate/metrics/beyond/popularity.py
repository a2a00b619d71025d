"""Popularity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.catalogue import History, looked_up
from rankcast.evaluate.judged import Judged
from rankcast.evaluate.metric import HISTORY, UNBOUNDED, RequestMetric
from rankcast.tables.logs import Floats, Ints


@dataclass(frozen=True)
class Popularity(RequestMetric):
    """popularity@k = mean over the items within rank k of the number of events that they had before.

    History as in `novelty`. Lower is taken as better: a list of what everybody knows already helps nobody find. An empty list
    has none; without any history nothing is measurable.
    """

    name: ClassVar[str] = "popularity"
    higher_is_better: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False
    needs_rows: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = UNBOUNDED
    cost: ClassVar[str] = "items within rank k"
    source: ClassVar[str] = "Yin, Cui, Li, Yao and Chen (2012); AvgRecPopularity of RecTools"

    def needs(self) -> frozenset[str]:
        return frozenset({HISTORY})

    def values(self, judged: Judged) -> Floats:
        return judged.mean_of_past(self.k, _events)


def _events(history: History, items: Ints) -> Floats:
    events: Floats = looked_up(history.events, items, 0).astype(np.float64)
    return events
