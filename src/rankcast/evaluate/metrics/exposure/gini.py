"""Concentration of exposure on items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankcast.evaluate.exposure import Exposure, gini
from rankcast.evaluate.metric import CATALOGUE, VariantMetric
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class Gini(VariantMetric):
    """gini@k = Gini coefficient of how often each available item stands within rank k, items that never do included.

    With x ascending over n items: sum((2 i - n - 1) x_i) / (n sum(x)). 0: all alike; (n - 1) / n: one item has it all.
    Available as in `coverage`.
    """

    name: ClassVar[str] = "gini"
    higher_is_better: ClassVar[bool] = False
    source: ClassVar[str] = "Gini (1912); Fleder and Hosanagar (2009) for recommenders"

    def needs(self) -> frozenset[str]:
        return frozenset({CATALOGUE})

    def result(self, exposure: Exposure) -> Floats:
        catalogue = exposure.known()
        code, times = exposure.of_available(catalogue)
        return gini(times, int(catalogue.available.sum()) - len(code))
