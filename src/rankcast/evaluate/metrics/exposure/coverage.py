"""Catalogue coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.exposure import Exposure
from rankcast.evaluate.metric import CATALOGUE, VariantMetric
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class Coverage(VariantMetric):
    """coverage@k = share of the available items that stand within rank k of at least one slate.

    Available is an item that was open at the time of at least one target; without an availability table, every item of
    `items`. In `score`, every item of `--items`.
    """

    name: ClassVar[str] = "coverage"
    source: ClassVar[str] = "Ge, Delgado-Battenfeld and Jannach (2010)"

    def needs(self) -> frozenset[str]:
        return frozenset({CATALOGUE})

    def result(self, exposure: Exposure) -> Floats:
        catalogue = exposure.known()
        _, times = exposure.of_available(catalogue)
        size = int(catalogue.available.sum())
        return (times > 0).sum(axis=0) / size if size else np.full(times.shape[1], np.nan)
