"""Length of the list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankcast.evaluate.judged import Judged
from rankcast.evaluate.metric import UNBOUNDED, RequestMetric
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class ListLength(RequestMetric):
    """list_length@k = min(k, number of items in the slate): what the user is left with after every step."""

    name: ClassVar[str] = "list_length"
    needs_labels: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = UNBOUNDED
    cost: ClassVar[str] = "requests"

    def values(self, judged: Judged) -> Floats:
        return judged.shown(self.k)
