"""Builtin `popular`: what most users acted on."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl

from rankcast.replay.builtin import Scoring, Setting
from rankcast.tables.duration import Duration
from rankcast.tables.logs import Floats, Ints, Logs
from rankcast.tables.timestamps import to_utc


class Popular(Scoring):
    """Scores an item by its number of graded events before the request's day (midnight in the service's zone), unweighted;
    with `within`, only those in [midnight - within, midnight).
    """

    name: ClassVar[str] = "popular"
    takes_within: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"events"})

    def __init__(self, within: Duration | None) -> None:
        self.within = within

    def values(self, request: Ints, item: Ints, logs: Logs, setting: Setting) -> Floats:
        events = logs.events
        graded = events.of_kinds(setting.graded)
        time, acted_on = events.time[graded], events.item[graded]  # by time, as all events are
        requests, row = np.unique(request, return_inverse=True)
        midnights, day = np.unique(_midnights(logs.requests.time[requests], setting.timezone), return_inverse=True)
        counts = np.zeros((len(midnights), len(logs.ids.items)))
        for number, midnight in enumerate(midnights):
            first = 0 if self.within is None else np.searchsorted(time, midnight - self.within.micros)
            counted = acted_on[first : np.searchsorted(time, midnight)]
            counts[number] = np.bincount(counted, minlength=len(logs.ids.items))
        scores: Floats = counts[day[row], item]
        return scores


def _midnights(times: Ints, timezone: str) -> Ints:
    """The midnight that starts each instant's day; where clocks change at midnight, the first reading of it."""
    instants = pl.Series(times).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    starts = to_utc(instants.dt.convert_time_zone(timezone).dt.date(), timezone)
    return times if starts is None else starts.dt.epoch("us").to_numpy()
