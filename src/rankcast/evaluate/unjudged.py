"""What rests on items that nobody could judge: lists without them, and lists in which they are as good as can be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rankcast.evaluate.impressed import Impressed
from rankcast.evaluate.judge import Scene, Slates
from rankcast.evaluate.judged import Judged, Rows
from rankcast.evaluate.kernels import within
from rankcast.evaluate.truth.labels import Labels
from rankcast.tables.logs import Bools, Floats, Ints
from rankcast.tables.ragged import place_in_group, sum_by


def unknown_rows(rows: Rows, targets: Ints, labels: Labels, impressed: Impressed, scene: Scene) -> Bools:
    """Which rows of lists are unjudged: neither shown to the user before the label window ended, nor labelled."""
    labelled = ~np.isnan(labels.grades_of(targets, rows.target, rows.item))
    answer = ~labelled
    open_ones = np.flatnonzero(answer)
    request = targets[rows.target[open_ones]]
    answer[open_ones] = ~impressed.seen(scene.user[request], rows.item[open_ones], scene.until[request])
    return answer


def share(rows: Rows, unknown: Bools, k: int | None, n: int) -> Floats:
    """Share of each list within rank k that is unjudged; NaN for an empty list."""
    inside = within(rows.rank, k)
    length = np.bincount(rows.target[inside], minlength=n).astype(np.float64)
    found = sum_by(rows.target[inside], unknown[inside], n)
    answer: Floats = np.divide(found, length, out=np.full(n, np.nan), where=length > 0)
    return answer


def condensed(rows: Rows, unknown: Bools, n: int) -> Slates:
    """The lists without unjudged items, ranks closed up (Sakai, 2007)."""
    kept = ~unknown
    target = rows.target[kept]
    return Slates(n, target, rows.item[kept], place_in_group(target) + 1)


def at_best(judged: Judged, rows: Rows, unknown: Bools, best: float) -> Judged:
    """The lists with every unjudged item of the best grade, for metrics that look at hits alone."""
    target = np.concatenate((judged.hit_target, rows.target[unknown]))
    item = np.concatenate((judged.hit_item, rows.item[unknown]))
    rank = np.concatenate((judged.hit_rank, rows.rank[unknown]))
    grade = np.concatenate((judged.hit_grade, np.full(int(unknown.sum()), best)))
    order = np.lexsort((rank, target))
    return replace(
        judged,
        hit_target=target[order],
        hit_item=item[order],
        hit_rank=rank[order],
        hit_grade=grade[order],
        hit_seen=None,
        _memory={},
    )
