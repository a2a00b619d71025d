"""Builtin `logged`: the order in which things were really shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from rankcast.replay.builtin import Pool, Setting
from rankcast.replay.lists import Lists
from rankcast.tables.duration import Duration
from rankcast.tables.logs import Ints, Logs
from rankcast.tables.ragged import spans


class Logged:
    """The impressions by rank, whatever the candidates of others. An item that a list showed twice stands there twice."""

    name: ClassVar[str] = "logged"
    takes_within: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset({"impressions"})

    def __init__(self, within: Duration | None) -> None:
        self.within = within

    def lists(self, requests: Ints, pool: Callable[[], Pool], logs: Logs, setting: Setting) -> Lists:
        del pool, setting
        position, at = spans(*logs.impressions_of(requests))
        value = -logs.impressions.rank[at].astype(np.float64)
        return Lists(requests, position, logs.impressions.item[at], value, repeats=True)
