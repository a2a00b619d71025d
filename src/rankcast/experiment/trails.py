"""Trails of a shard on disk: for some requests, which items each step removed. `trails/<shard>.parquet`.

They are for people who look at single lists: of the requests that are probed, and of those whose lists changed most. Which ones
these are depends on nothing but the lists, so that they need not be told again when only metrics change.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from rankcast.replay.reproduce import Replay
from rankcast.replay.trail import Removed, moved
from rankcast.tables import columns as c
from rankcast.tables.logs import Bools, Ints, Logs

TRAILS = "trails"
MOST_CHANGED = 300  # requests of a variant
SHOWN = 10  # ranks by which a change is measured


def write(folder: Path, name: str, replays: Mapping[str, Replay], baseline: str, chosen: Bools, logs: Logs) -> None:
    """Write a shard's trails. `chosen`: requests (by code) that are told in any case. A row without a step says that a request
    is told at all.
    """
    requests = replays[baseline].slates.requests
    told = chosen[requests]
    for variant, replay in replays.items():
        if variant != baseline:
            told = told | _most_changed(replay, replays[baseline], len(logs.ids.items))
    at = np.flatnonzero(told)
    frames = [_rows(variant, replay.removed, at, requests, logs) for variant, replay in replays.items()]
    (folder / TRAILS).mkdir(exist_ok=True)
    pl.concat(frames).write_parquet(folder / TRAILS / f"{name}.parquet")


def carry(earlier: Path, folder: Path, name: str) -> None:
    """Take the trails of a shard over from an earlier run that made the same lists."""
    (folder / TRAILS).mkdir(exist_ok=True)
    shutil.copyfile(earlier / TRAILS / f"{name}.parquet", folder / TRAILS / f"{name}.parquet")


def _most_changed(replay: Replay, base: Replay, items: int) -> Bools:
    distance = moved(replay.slates, base.slates, SHOWN, items)
    order = np.lexsort((replay.slates.requests, -distance))[:MOST_CHANGED]
    most = np.zeros(len(distance), dtype=bool)
    most[order] = distance[order] > 0
    return most


def _rows(variant: str, removed: Removed | None, at: Ints, requests: Ints, logs: Logs) -> pl.DataFrame:
    told = _frame(variant, requests[at], pl.Series([None] * len(at), dtype=pl.Int64), None, logs)
    if removed is None:
        return told
    inside = np.isin(removed.position, at)
    steps = pl.Series(list(removed.steps), dtype=pl.String).gather(removed.step[inside])
    rows = _frame(
        variant,
        requests[removed.position[inside]],
        pl.Series(removed.rank[inside]),
        (steps, logs.ids.items.gather(removed.item[inside])),
        logs,
    )
    return pl.concat([told, rows])


def _frame(
    variant: str, requests: Ints, rank: pl.Series, what: tuple[pl.Series, pl.Series] | None, logs: Logs
) -> pl.DataFrame:
    size = len(requests)
    steps, items = what or (
        pl.Series([None] * size, dtype=pl.String),
        pl.Series([None] * size, dtype=logs.ids.items.dtype),
    )
    return pl.DataFrame(
        {
            c.VARIANT: pl.repeat(variant, size, eager=True),
            c.REQUEST_ID: logs.ids.requests.gather(requests),
            "step": steps,
            c.RANK: rank.cast(pl.Int64),
            c.ITEM_ID: items,
        }
    )
