"""Share of the list that nobody judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankcast.evaluate.judged import Judged
from rankcast.evaluate.kernels import ratio
from rankcast.evaluate.metric import IMPRESSIONS, RequestMetric, choice
from rankcast.evaluate.metrics.honesty.judged import Part, judged_items, size
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class UnjudgedShare(RequestMetric):
    """unjudged@k = share of the items within rank k of which nobody knows what the user thought: they count as misses.

    What is judged: see `judged`. `norm=cut` divides by k, not by the number of items that are there.
    """

    norm: Part = choice("shown", Part)
    name: ClassVar[str] = "unjudged"
    higher_is_better: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False
    cost: ClassVar[str] = "judged items"
    source: ClassVar[str] = "Buckley and Voorhees (2004); unj_k of trec_eval for norm=cut"

    def empty_list(self) -> float | None:
        return None if self.norm == "shown" or self.k is None else 0.0

    def needs(self) -> frozenset[str]:
        return frozenset({IMPRESSIONS})

    def values(self, judged: Judged) -> Floats:
        return ratio(judged.shown(self.k) - judged_items(judged, self.k), size(judged, self.k, self.norm))
