"""Share of the list that was judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from rankcast.evaluate.judged import Judged
from rankcast.evaluate.kernels import ratio, within
from rankcast.evaluate.metric import IMPRESSIONS, RequestMetric, choice
from rankcast.tables.logs import Floats

Part = Literal["shown", "cut"]


def size(judged: Judged, k: int | None, norm: str) -> Floats:
    """What a share of a list is taken over: the items that are there, or k."""
    return judged.shown(k) if norm == "shown" or k is None else np.full(judged.n, float(k))


def judged_items(judged: Judged, k: int | None) -> Floats:
    """How many items within rank k are judged."""
    inside = within(judged.hit_rank, k)
    return judged.sum_hits(inside if judged.hit_seen is None else inside & judged.hit_seen)


@dataclass(frozen=True)
class JudgedShare(RequestMetric):
    """judged@k = share of the items within rank k of which it is known what the user thought.

    In a study: the item was shown to that user before the label window ended, by any request. In `score`: it has a label,
    grade 0 included. A change whose list is less judged than production's looks worse than it is. `norm=cut` divides by k, not
    by the number of items that are there.
    """

    norm: Part = choice("shown", Part)
    name: ClassVar[str] = "judged"
    needs_labels: ClassVar[bool] = False
    cost: ClassVar[str] = "judged items"
    source: ClassVar[str] = "Buckley and Voorhees (2004); Judged@k of ir_measures"

    def empty_list(self) -> float | None:
        return None if self.norm == "shown" or self.k is None else 0.0

    def needs(self) -> frozenset[str]:
        return frozenset({IMPRESSIONS})

    def values(self, judged: Judged) -> Floats:
        return ratio(judged_items(judged, self.k), size(judged, self.k, self.norm))
