"""Novelty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.catalogue import History, looked_up
from rankcast.evaluate.judged import Judged
from rankcast.evaluate.metric import HISTORY, UNBOUNDED, RequestMetric
from rankcast.tables.logs import Floats, Ints


@dataclass(frozen=True)
class Novelty(RequestMetric):
    """novelty@k = mean over the items within rank k of log2(U / u): u of the U users with history had to do with the item before.

    History: in a study the graded events before its period; in `score` the rows of `--history`. An item that nobody had to do
    with counts as if one had. An empty list has no novelty; without any history nothing is measurable.
    """

    name: ClassVar[str] = "novelty"
    needs_labels: ClassVar[bool] = False
    needs_rows: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = UNBOUNDED
    cost: ClassVar[str] = "items within rank k"
    source: ClassVar[str] = "Zhou et al. (2010); Vargas and Castells (2011); MeanInvUserFreq of RecTools"

    def needs(self) -> frozenset[str]:
        return frozenset({HISTORY})

    def values(self, judged: Judged) -> Floats:
        return judged.mean_of_past(self.k, _surprise)


def _surprise(history: History, items: Ints) -> Floats:
    surprise: Floats = np.log2(history.everyone / np.maximum(looked_up(history.users, items, 0), 1.0))
    return surprise
