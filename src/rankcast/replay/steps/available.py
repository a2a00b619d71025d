"""Step `available`: open at the request's time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.errors import ConfigError, show
from rankcast.replay.lists import Lists
from rankcast.replay.step import Filter
from rankcast.tables.logs import Bools, Logs
from rankcast.tables.ragged import spans


@dataclass(frozen=True)
class Available:
    """Keeps an item if some interval has open_at <= t < close_at; an item without any row is unavailable."""

    kind: ClassVar[str] = "available"

    @classmethod
    def parse(cls, argument: object) -> Available:
        if argument is not None:
            raise ConfigError(f"`available` takes no argument, found {show(argument)}")
        return cls()

    def needs(self) -> frozenset[str]:
        return frozenset({"availability"})

    def bind(self, logs: Logs) -> Filter:
        intervals = logs.intervals

        def keep(lists: Lists) -> Bools:
            start = intervals.start[lists.item]
            row, at = spans(start, intervals.start[lists.item + 1] - start)
            time = lists.row_times(logs)[row]
            inside = (intervals.open[at] <= time) & (time < intervals.close[at])
            return np.bincount(row, inside, len(lists.item)) > 0

        return keep
