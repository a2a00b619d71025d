"""Length of the list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.metric import Judged, RequestMetric
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class ListLength(RequestMetric):
    """list_length@k = min(k, number of items in the slate): what the user is left with after every step.

    0 to k, higher is better. Needs no labels, so it is measured on requests without labels too.
    """

    name: ClassVar[str] = "list_length"
    needs_labels: ClassVar[bool] = False

    def values(self, judged: Judged) -> Floats:
        length = judged.length if self.k is None else np.minimum(judged.length, self.k)
        return length.astype(np.float64)
