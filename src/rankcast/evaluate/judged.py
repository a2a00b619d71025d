"""What metrics with a value per request look at: lists of n targets held against their labels."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from rankcast.evaluate.catalogue import Catalogue, History
from rankcast.evaluate.kernels import is_relevant, ratio, within
from rankcast.tables.logs import Bools, Floats, Ints
from rankcast.tables.ragged import place_in_group, sum_by

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Rows:
    """The rows of n lists: `target` (0..n-1), `item` and `rank` (from 1) of each, in order; each item once a list."""

    target: Ints
    item: Ints
    rank: Ints


@dataclass(frozen=True)
class Judged:
    """Lists of one variant held against the labels of n targets.

    `hit_*`: the labelled (or otherwise judged) items in the lists, by target and rank (from 1); `label_*`: all labels, by
    target and grade, best first; `length`: how long each list is. A grade of 0 is judged and not relevant.

    `hit_seen`: which hits were really judged, None for all; `judgements`: how many items are judged for each target, None
    for its labels. `rows` and `catalogue` are there for metrics that look beyond labels; `examination`: how likely users look at
    each rank, relative to the first, None where nobody knows.
    """

    n: int
    length: Ints
    hit_target: Ints
    hit_item: Ints
    hit_rank: Ints
    hit_grade: Floats
    label_target: Ints
    label_grade: Floats
    hit_seen: Bools | None = None
    judgements: Ints | None = None
    rows: Rows | None = None
    catalogue: Catalogue | None = None
    examination: Floats | None = None
    _memory: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for part in (self.length, self.hit_target, self.hit_item, self.hit_rank, self.hit_grade, self.label_grade):
            part.flags.writeable = False  # every metric sees the same arrays

    def sum_hits(self, contributions: Floats | Bools) -> Floats:
        """Sum of contributions of hits, per target."""
        return sum_by(self.hit_target, contributions, self.n)

    def relevant(self, level: float) -> Bools:
        """Which hits count as relevant: a grade above 0 that reaches the level."""
        return self._once(("relevant", level), lambda: is_relevant(self.hit_grade, level))

    def relevant_labels(self, level: float) -> Floats:
        """R, the number of relevant labels, per target."""
        return self._once(
            ("labels", level), lambda: sum_by(self.label_target, is_relevant(self.label_grade, level), self.n)
        )

    def relevant_hits(self, level: float, k: int | None) -> Floats:
        """Number of relevant hits within rank k, per target."""
        return self._once(("hits", level, k), lambda: self.sum_hits(self.relevant(level) & within(self.hit_rank, k)))

    def label_ranks(self) -> Ints:
        """Rank (from 1) of each label in the ideal order of its target."""
        return self._once("ideal", lambda: place_in_group(self.label_target) + 1)

    def judged_items(self) -> Floats:
        """Number of judged items, per target."""
        if self.judgements is not None:
            return self.judgements.astype(np.float64)
        return np.bincount(self.label_target, minlength=self.n).astype(np.float64)

    def shown(self, k: int | None) -> Floats:
        """Number of items within rank k, per target."""
        return (self.length if k is None else np.minimum(self.length, k)).astype(np.float64)

    def rows_within(self, k: int | None) -> Rows:
        """The rows within rank k."""
        if self.rows is None:
            raise ValueError("the lists' rows were not kept: the metric must say `needs_rows`")
        kept = within(self.rows.rank, k)
        return Rows(self.rows.target[kept], self.rows.item[kept], self.rows.rank[kept])

    def mean_of_past(self, k: int | None, worth: Callable[[History, Ints], Floats]) -> Floats:
        """Mean over the items within rank k of what the past makes them worth, by item code (-1: unknown), per target.

        An empty list is worth 0; without any history nothing is measurable.
        """
        history = self.beyond().past()
        if not history.everyone:
            return np.full(self.n, np.nan)
        rows = self.rows_within(k)
        total = sum_by(rows.target, worth(history, self.beyond().place(rows.item)), self.n)
        return np.nan_to_num(ratio(total, self.shown(k)))

    def beyond(self) -> Catalogue:
        """What is known of items."""
        if self.catalogue is None:
            raise ValueError("nothing is known of items: the metric must say what it `needs`")
        return self.catalogue

    def _once(self, key: Hashable, compute: Callable[[], Answer]) -> Answer:
        """Several metrics ask for the same: it is computed once."""
        if key not in self._memory:
            self._memory[key] = compute()
        answer: Answer = self._memory[key]
        return answer
