"""Area under the ROC curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.judged import Judged
from rankcast.evaluate.kernels import ratio, within
from rankcast.evaluate.metric import RequestMetric, level
from rankcast.tables.logs import Floats
from rankcast.tables.ragged import place_in_group, sum_by


@dataclass(frozen=True)
class AreaUnderCurve(RequestMetric):
    """auc = share of the pairs (relevant item, shown item that is not relevant) in which the relevant item stands above.

    A relevant item that is not shown stands below all that is shown, so that a list cannot win by leaving it out; where the
    list holds every candidate this is the usual area. 1/2 is chance. A list that shows relevant items only has no pairs: the
    share of the relevant items that it shows counts. It is meant for whole lists: with a cut-off, a relevant item that comes
    within it also takes a non-relevant one away, and the share may fall. `level=2` sets the least grade that is relevant.
    """

    level: float = level()
    name: ClassVar[str] = "auc"
    source: ClassVar[str] = "Rendle, Freudenthaler, Gantner and Schmidt-Thieme (2009)"

    def values(self, judged: Judged) -> Floats:
        counted = judged.relevant(self.level) & within(judged.hit_rank, self.k)
        target, rank = judged.hit_target[counted], judged.hit_rank[counted]
        others = judged.shown(self.k) - judged.relevant_hits(self.level, self.k)
        above = rank - 1.0 - place_in_group(target)
        won = 1.0 - np.divide(above, others[target], out=np.zeros(len(target)), where=others[target] > 0)
        return ratio(sum_by(target, won, judged.n), judged.relevant_labels(self.level))
