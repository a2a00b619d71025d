"""Builtin `recent`: the newest first."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rankcast.replay.builtin import Scoring, Setting
from rankcast.tables.duration import Duration
from rankcast.tables.logs import Floats, Ints, Logs


class Recent(Scoring):
    """Scores an item by when it first opened; items that never opened come last."""

    name: ClassVar[str] = "recent"
    takes_within: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset({"availability"})

    def __init__(self, within: Duration | None) -> None:
        self.within = within

    def values(self, request: Ints, item: Ints, logs: Logs, setting: Setting) -> Floats:
        del request, setting
        start = logs.intervals.start
        opened = np.full(len(logs.ids.items), -np.inf)
        some = np.diff(start) > 0
        opened[some] = logs.intervals.open[start[:-1][some]]
        scores: Floats = opened[item]
        return scores
