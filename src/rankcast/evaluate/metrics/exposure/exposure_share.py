"""Share of exposure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankcast.evaluate.catalogue import Catalogue, looked_up
from rankcast.evaluate.exposure import Exposure
from rankcast.evaluate.kernels import ratio
from rankcast.evaluate.metric import CATALOGUE, VariantMetric, condition
from rankcast.tables.expression import Expression
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class ExposureShare(VariantMetric):
    """exposure_share(where="item.is_new")@k = share of all places within rank k that items get for which a condition holds.

    The condition is an SQL boolean over item.*; an item of which nothing is known has a place and does not satisfy it.
    """

    where: str = condition()
    name: ClassVar[str] = "exposure_share"
    source: ClassVar[str] = "Singh and Joachims (2018)"

    def needs(self) -> frozenset[str]:
        needs = Expression.parse(self.where, scopes=("item",), score=False).needs() if self.where else frozenset()
        return needs | {CATALOGUE}

    def check(self, catalogue: Catalogue) -> None:
        catalogue.admitted(Expression.parse(self.where, scopes=("item",), score=False))

    def result(self, exposure: Exposure) -> Floats:
        catalogue = exposure.known()
        admitted = catalogue.admitted(Expression.parse(self.where, scopes=("item",), score=False))
        chosen = looked_up(admitted, catalogue.place(exposure.items), 0)
        total = exposure.times().sum(axis=0)
        part = exposure.times()[chosen].sum(axis=0)
        return ratio(part, total)
