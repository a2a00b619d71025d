"""Builtin `logged`: the order in which things were really shown."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rankcast.replay.builtin import Setting
from rankcast.tables.duration import Duration
from rankcast.tables.logs import Floats, Ints, Logs


class Logged:
    """The impressions, whatever the candidates of others, by their logged rank."""

    name: ClassVar[str] = "logged"
    takes_within: ClassVar[bool] = False
    only_shown: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"impressions"})

    def __init__(self, within: Duration | None) -> None:
        self.within = within

    def values(self, request: Ints, item: Ints, logs: Logs, setting: Setting) -> Floats:
        del setting
        size = len(logs.ids.items)
        shown = logs.impressions.request * size + logs.impressions.item
        order = np.argsort(shown)
        at = order[np.searchsorted(shown[order], request * size + item)]
        return -logs.impressions.rank[at].astype(np.float64)
