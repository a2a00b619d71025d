"""Empty lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.judged import Judged
from rankcast.evaluate.metric import RequestMetric
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class Empty(RequestMetric):
    """empty@k = 1 if the slate is empty, else 0. Its mean is the share of users who see nothing."""

    name: ClassVar[str] = "empty"
    higher_is_better: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False
    of_empty_list: ClassVar[float | None] = 1.0
    cost: ClassVar[str] = "requests"

    def values(self, judged: Judged) -> Floats:
        nothing: Floats = (judged.length == 0).astype(np.float64)
        return nothing
