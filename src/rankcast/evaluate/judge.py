"""Slates held against labels: what metrics need to know of every target of a shard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankcast.evaluate.catalogue import Catalogue
from rankcast.evaluate.impressed import Impressed
from rankcast.evaluate.judged import Judged, Rows
from rankcast.evaluate.truth.labels import Labels
from rankcast.tables.logs import Bools, Floats, Ints
from rankcast.tables.ragged import repeats, spans


@dataclass(frozen=True)
class Slates:
    """Slates of n targets: `target` (0..n-1), `item` and `rank` of every row, in order."""

    n: int
    target: Ints
    item: Ints
    rank: Ints

    def once(self) -> Rows:
        """The rows without those that repeat an item of their list: it counts at its best rank."""
        size = int(self.item.max(initial=0)) + 1
        twice = repeats(self.target * size + self.item)
        if not len(twice):
            return Rows(self.target, self.item, self.rank)
        return Rows(*(np.delete(part, twice) for part in (self.target, self.item, self.rank)))


@dataclass(frozen=True)
class Scene:
    """What metrics see beside slates and labels; `user` and `until`, where the label window ends, are by request code.

    `impressed` and `catalogue` are None where no metric asks for them, `examination` until it is estimated.
    """

    user: Ints
    until: Ints
    impressed: Impressed | None = None
    catalogue: Catalogue | None = None
    examination: Floats | None = None


def judge(slates: Slates, targets: Ints, labels: Labels, scene: Scene | None = None) -> Judged:
    """Find the labelled and the judged items in the slates. `targets` (n) are request codes."""
    rows = slates.once()
    grade = labels.grades_of(targets, rows.target, rows.item)
    labelled = ~np.isnan(grade)
    seen = None if scene is None or scene.impressed is None else _seen(scene, scene.impressed, targets, rows)
    hit = np.flatnonzero(labelled if seen is None else labelled | seen)
    start = labels.start[targets]
    label_target, at = spans(start, labels.start[targets + 1] - start)
    return Judged(
        n=slates.n,
        length=np.bincount(slates.target, minlength=slates.n),
        hit_target=rows.target[hit],
        hit_item=rows.item[hit],
        hit_rank=rows.rank[hit],
        hit_grade=np.nan_to_num(grade[hit]),
        label_target=label_target,
        label_grade=labels.grade[at],
        hit_seen=None if seen is None else seen[hit],
        judgements=None if scene is None else _judgements(scene, targets, label_target, labels.item[at]),
        rows=rows,
        catalogue=None if scene is None else scene.catalogue,
        examination=None if scene is None else scene.examination,
    )


def _seen(scene: Scene, impressed: Impressed, targets: Ints, rows: Rows) -> Bools:
    request = targets[rows.target]
    return impressed.seen(scene.user[request], rows.item, scene.until[request])


def _judgements(scene: Scene, targets: Ints, label_target: Ints, label_item: Ints) -> Ints | None:
    """Items that are judged for each target: shown to its user, or labelled."""
    if scene.impressed is None:
        return None
    request = targets[label_target]
    unseen = ~scene.impressed.seen(scene.user[request], label_item, scene.until[request])
    shown = scene.impressed.count(scene.user[targets], scene.until[targets])
    return shown + np.bincount(label_target[unseen], minlength=len(targets))
