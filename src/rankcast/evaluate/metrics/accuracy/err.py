"""Expected reciprocal rank."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from rankcast.errors import DataError
from rankcast.evaluate.judged import Judged
from rankcast.evaluate.kernels import waves, within
from rankcast.evaluate.metric import RequestMetric, number
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class ExpectedReciprocalRank(RequestMetric):
    """err@k = sum over ranks i <= k of 1/i * R_i * product over j < i of (1 - R_j), with R = (2^g - 1) / 2^max_grade.

    The reader stops at the first item that satisfies, and a better grade satisfies more often. `max_grade=4` is the best grade
    that there is; a better one in the labels is refused.
    """

    max_grade: float = number(4.0, most=50)
    name: ClassVar[str] = "err"
    of_hits: ClassVar[bool] = True
    of_empty_truth: ClassVar[float | None] = 0.0
    source: ClassVar[str] = "Chapelle, Metzler, Zhang and Grinspan (2009); gdeval"

    def values(self, judged: Judged) -> Floats:
        best = float(judged.label_grade.max(initial=0.0))
        if best > self.max_grade:
            fitting = replace(self, max_grade=best)
            raise DataError(f"`{self}`: a label has grade {best:g}, above max_grade; write `{fitting}`")
        inside = np.flatnonzero(within(judged.hit_rank, self.k))
        target, rank = judged.hit_target[inside], judged.hit_rank[inside]
        satisfied = np.clip((np.exp2(judged.hit_grade[inside]) - 1.0) / 2.0**self.max_grade, 0.0, 1.0)
        total, going_on = np.zeros(judged.n), np.ones(judged.n)
        for wave in waves(target):
            total[target[wave]] += going_on[target[wave]] * satisfied[wave] / rank[wave]
            going_on[target[wave]] *= 1.0 - satisfied[wave]
        return total
