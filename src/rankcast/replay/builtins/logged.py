"""Builtin `logged`: the order in which things were really shown."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rankcast.replay.builtin import Setting
from rankcast.tables.duration import Duration
from rankcast.tables.logs import Floats, Ints, Logs


class Logged:
    """Scores an item by minus its logged rank; items that were not shown come last."""

    name: ClassVar[str] = "logged"
    takes_within: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset({"impressions"})

    def __init__(self, within: Duration | None) -> None:
        self.within = within

    def values(self, request: Ints, item: Ints, logs: Logs, setting: Setting) -> Floats:
        del setting
        size = len(logs.ids.items)
        shown = logs.impressions.request * size + logs.impressions.item
        order = np.argsort(shown)
        wanted = request * size + item
        at = np.searchsorted(shown[order], wanted)
        at = order[np.minimum(at, len(order) - 1)] if len(order) else np.zeros(len(wanted), dtype=np.int64)
        found = shown[at] == wanted if len(order) else np.zeros(len(wanted), dtype=bool)
        ranks = logs.impressions.rank[at].astype(np.float64) if len(order) else np.zeros(len(wanted))
        return np.where(found, -ranks, -np.inf)
