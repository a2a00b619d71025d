"""Concentration of exposure on suppliers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.catalogue import looked_up
from rankcast.evaluate.exposure import Exposure, gini
from rankcast.evaluate.metric import CATALOGUE, VariantMetric, column
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class ExposureGini(VariantMetric):
    """exposure_gini(by=item.company_id)@k = Gini coefficient of how many places within rank k each group of items gets.

    Groups are the values of a column of items; a group counts when one of its items is available (see `coverage`), even if
    none is ever shown; then all its places count. Items without a group do not count.
    """

    by: str = column()
    name: ClassVar[str] = "exposure_gini"
    higher_is_better: ClassVar[bool] = False
    source: ClassVar[str] = "Gini (1912); Singh and Joachims (2018) for exposure of groups"

    def needs(self) -> frozenset[str]:
        return frozenset({CATALOGUE, self.by})

    def result(self, exposure: Exposure) -> Floats:
        catalogue = exposure.known()
        groups = catalogue.groups(self.by)
        members = np.unique(groups[catalogue.available & (groups >= 0)])
        group = looked_up(groups, catalogue.place(exposure.items), -1)
        counted = np.isin(group, members)
        total = np.zeros((len(members), exposure.weights.shape[1]))
        np.add.at(total, np.searchsorted(members, group[counted]), exposure.times()[counted])
        return gini(total, 0)
