"""Evenness of exposure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.exposure import Exposure
from rankcast.evaluate.metric import UNBOUNDED, VariantMetric
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class Entropy(VariantMetric):
    """entropy@k = - sum over items of p log2 p, in bits, p being the item's share of all places within rank k.

    2^entropy is the number of items that would give the same evenness if all were shown alike.
    """

    name: ClassVar[str] = "entropy"
    bounds: ClassVar[tuple[float, float]] = UNBOUNDED
    source: ClassVar[str] = "Shannon (1948); Szlávik, Kowalczyk and Schut (2011) for recommenders"

    def result(self, exposure: Exposure) -> Floats:
        times = np.sort(exposure.times(), axis=0)  # no sum depends on how items are called
        total = times.sum(axis=0)
        share = np.divide(times, total, out=np.zeros_like(times), where=total > 0)
        parts = np.where(share > 0, share * np.log2(share, out=np.zeros_like(share), where=share > 0), 0.0)
        return np.where(total > 0, 0.0 - parts.sum(axis=0), np.nan)
