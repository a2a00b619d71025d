"""Serendipity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.catalogue import NEVER, looked_up
from rankcast.evaluate.judged import Judged
from rankcast.evaluate.kernels import within
from rankcast.evaluate.metric import HISTORY, RequestMetric, level
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class Serendipity(RequestMetric):
    """serendipity@k = items within rank k that are relevant and that a list of the k most popular would not show, over k.

    Popular is what had the most events in the history (as in `novelty`), ties by item_id; what had none is never popular.
    Without k, the list's length stands for it. `level=2` sets the least grade that is relevant.
    """

    level: float = level()
    name: ClassVar[str] = "serendipity"
    of_empty_truth: ClassVar[float | None] = 0.0
    source: ClassVar[str] = "Ge, Delgado-Battenfeld and Jannach (2010), popularity being the primitive model"

    def needs(self) -> frozenset[str]:
        return frozenset({HISTORY})

    def values(self, judged: Judged) -> Floats:
        catalogue = judged.beyond()
        place = looked_up(catalogue.past().popularity_rank(), catalogue.place(judged.hit_item), NEVER)
        size = judged.shown(self.k) if self.k is None else np.full(judged.n, float(self.k))
        obvious = place <= size[judged.hit_target]
        counted = judged.relevant(self.level) & within(judged.hit_rank, self.k) & ~obvious
        return judged.sum_hits(counted) / np.maximum(size, 1.0)
