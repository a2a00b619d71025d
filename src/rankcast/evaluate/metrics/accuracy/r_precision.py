"""R-precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankcast.evaluate.judged import Judged
from rankcast.evaluate.kernels import ratio, within
from rankcast.evaluate.metric import RequestMetric, level
from rankcast.tables.logs import Floats


@dataclass(frozen=True)
class RPrecision(RequestMetric):
    """r_precision = relevant items within rank R / R, R being the number of relevant items of the request.

    With a cut-off, within rank min(R, k). `level=2` sets the least grade that is relevant.
    """

    level: float = level()
    name: ClassVar[str] = "r_precision"
    source: ClassVar[str] = "Buckley and Voorhees (2000); Rprec of trec_eval"

    def values(self, judged: Judged) -> Floats:
        relevant = judged.relevant_labels(self.level)
        early = within(judged.hit_rank, self.k) & (judged.hit_rank <= relevant[judged.hit_target])
        return ratio(judged.sum_hits(judged.relevant(self.level) & early), relevant)
