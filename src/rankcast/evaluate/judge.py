"""Slates held against labels: the value of every metric for every target of a shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rankcast.evaluate.labels import Labels
from rankcast.evaluate.metric import Judged, Metric, RequestMetric
from rankcast.tables.logs import Floats, Ints
from rankcast.tables.ragged import repeats, spans


@dataclass(frozen=True)
class Slates:
    """Slates of n targets: `target` (0..n-1), `item` and `rank` of every row, in order."""

    n: int
    target: Ints
    item: Ints
    rank: Ints


def judge(slates: Slates, targets: Ints, labels: Labels) -> Judged:
    """Find the labelled items in the slates. `targets` (n) are request codes."""
    grade = labels.grades_of(targets, slates.target, slates.item)
    hit = np.flatnonzero(~np.isnan(grade))
    size = int(slates.item.max(initial=0)) + 1
    # An item is found once, however often a list shows it.
    hit = np.delete(hit, repeats(slates.target[hit] * size + slates.item[hit]))
    start = labels.start[targets]
    label_target, at = spans(start, labels.start[targets + 1] - start)
    return Judged(
        n=slates.n,
        length=np.bincount(slates.target, minlength=slates.n),
        hit_target=slates.target[hit],
        hit_rank=slates.rank[hit],
        hit_grade=grade[hit],
        label_target=label_target,
        label_grade=labels.grade[at],
    )


def values(judged: Judged, metrics: Sequence[Metric], unlabelled_as_zero: bool) -> Mapping[str, Floats]:
    """Value per target of every metric that has one; NaN where it is not measurable.

    `unlabelled_as_zero`: a label metric that is not measurable for want of labels is 0.
    """
    measured = {}
    for metric in metrics:
        if isinstance(metric, RequestMetric):
            column = metric.values(judged)
            as_zero = unlabelled_as_zero and metric.needs_labels
            measured[str(metric)] = np.nan_to_num(column, nan=0.0) if as_zero else column
    return measured
