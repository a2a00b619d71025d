"""Step `available`: open at the request's time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.errors import ConfigError, show
from rankcast.replay.step import Change, Context
from rankcast.tables.logs import Bools, Ints, Logs
from rankcast.tables.ragged import spans


@dataclass(frozen=True)
class Available:
    """Keeps an item if some interval has open_at <= t < close_at; an item without any row is unavailable."""

    kind: ClassVar[str] = "available"
    alone: ClassVar[bool] = True
    has_table: ClassVar[bool] = False
    example: ClassVar[object] = None

    @classmethod
    def parse(cls, argument: object) -> Available:
        if argument is not None:
            raise ConfigError(f"`available` takes no argument, found {show(argument)}")
        return cls()

    def needs(self) -> frozenset[str]:
        return frozenset({"availability"})

    def bind(self, context: Context) -> Change:
        return lambda lists: is_open(lists.item, lists.row_times(context.logs, lists.clocks.availability), context.logs)


def is_open(item: Ints, time: Ints, logs: Logs) -> Bools:
    """Whether some interval of each item holds the instant beside it."""
    intervals = logs.intervals
    if not len(intervals.item):
        return np.zeros(len(item), dtype=bool)
    start = intervals.start[item]
    count = intervals.start[item + 1] - start
    first = np.minimum(start, len(intervals.item) - 1)
    inside: Bools = (count > 0) & (intervals.open[first] <= time) & (time < intervals.close[first])
    again = np.flatnonzero((count > 1) & ~inside)  # most items open once
    row, at = spans(start[again] + 1, count[again] - 1)
    now = time[again[row]]
    inside[again[row[(intervals.open[at] <= now) & (now < intervals.close[at])]]] = True
    return inside
