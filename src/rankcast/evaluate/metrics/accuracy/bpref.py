"""Binary preference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.evaluate.judged import Judged
from rankcast.evaluate.kernels import ratio, within
from rankcast.evaluate.metric import IMPRESSIONS, RequestMetric, level
from rankcast.tables.logs import Bools, Floats, Ints
from rankcast.tables.ragged import place_in_group, sum_by


@dataclass(frozen=True)
class BinaryPreference(RequestMetric):
    """bpref = 1/R * sum over relevant items shown of 1 - min(n, R) / min(N, R): n judged non-relevant items stand above it.

    N is the number of judged items that are not relevant. Items that nobody judged are passed over, so a list is not
    punished for showing what production never showed. In a study, judged is what the user was shown before the label window
    ended, or what has a label; in `score`, what has a label, grade 0 included. `level=2` sets the least grade that is relevant.
    """

    level: float = level()
    name: ClassVar[str] = "bpref"
    cost: ClassVar[str] = "judged items"
    source: ClassVar[str] = "Buckley and Voorhees (2004); bpref of trec_eval"

    def needs(self) -> frozenset[str]:
        return frozenset({IMPRESSIONS})

    def values(self, judged: Judged) -> Floats:
        inside = within(judged.hit_rank, self.k)
        target, relevant = judged.hit_target[inside], judged.relevant(self.level)[inside]
        above = _others_above(target, relevant)
        found = judged.relevant_labels(self.level)
        others = judged.judged_items() - found
        bound = np.minimum(found, others)[target]
        lost = np.minimum(above, found[target]) / np.maximum(bound, 1.0)
        total = sum_by(target, relevant * (1.0 - np.where(above > 0, lost, 0.0)), judged.n)
        return ratio(total, found)


def _others_above(target: Ints, relevant: Bools) -> Ints:
    """How many hits of the same target that are not relevant stand above each hit."""
    others = (~relevant).astype(np.int64)
    before = np.cumsum(others) - others
    start = np.arange(len(target)) - place_in_group(target)
    above: Ints = before - before[start]
    return above
