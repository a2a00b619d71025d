"""Trails on disk: for some requests, which items each step removed. `trails/trails.parquet`.

They are for people who look at single lists: of the requests that are probed, and of those whose lists moved most. Which ones
these are depends on nothing but the lists: not on metrics, so that an earlier run's will do, nor on how the work was split.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from rankcast.replay.reproduce import Replay
from rankcast.replay.trail import Removed
from rankcast.tables import columns as c
from rankcast.tables.logs import Bools, Ints, Logs

TRAILS = "trails"
STEP, MOVED, PROBED = "step", "moved", "probed"
MOST_MOVED = 300  # requests of a variant
WHOLE = "trails.parquet"


def write(folder: Path, name: str, replays: Mapping[str, Replay], baseline: str, chosen: Bools, logs: Logs) -> None:
    """Write a shard's trails. `chosen`: requests (by code) that are told in any case. A row without a step says that a request
    is told at all, and how far its list moved.
    """
    requests = replays[baseline].slates.requests
    told = chosen[requests]
    for replay in replays.values():
        told = told | _moved_most(replay, logs)
    at = np.flatnonzero(told)
    frames = [_rows(variant, replay, at, chosen, logs) for variant, replay in replays.items()]
    (folder / TRAILS).mkdir(exist_ok=True)
    pl.concat(frames).write_parquet(folder / TRAILS / f"{name}.parquet")


def gather(folder: Path, earlier: Path | None) -> None:
    """Make one file of those of all shards, or take it over from an earlier run that made the same lists."""
    place = folder / TRAILS
    if earlier is not None:
        place.mkdir(exist_ok=True)
        shutil.copyfile(earlier / TRAILS / WHOLE, place / WHOLE)
        return
    if (place / WHOLE).is_file():
        return  # everything was done before, but for the very end
    rows = pl.concat([pl.read_parquet(path, glob=False) for path in _parts(folder)])
    told = rows.filter(pl.col(STEP).is_null())
    most = told.filter(pl.col(MOVED) > 0).sort(MOVED, c.REQUEST_ID, descending=[True, False])
    kept = [part.head(MOST_MOVED) for part in most.partition_by(c.VARIANT)]
    wanted = pl.concat([told.filter(PROBED), *kept])[c.REQUEST_ID].unique()
    whole = rows.filter(pl.col(c.REQUEST_ID).is_in(wanted.implode())).drop(PROBED)
    partial = place / f".{WHOLE}"
    whole.sort(c.REQUEST_ID, c.VARIANT, maintain_order=True).write_parquet(partial)
    partial.rename(place / WHOLE)


def told(folder: Path, shards: Sequence[str]) -> set[str]:
    """Those of some shards whose trails are there; all of them where these were gathered."""
    if (folder / TRAILS / WHOLE).is_file():
        return set(shards)
    return set(shards) & {path.stem for path in _parts(folder)}


def tidy(folder: Path) -> None:
    """Remove the parts, which a run needs until its end in case it is interrupted."""
    for path in _parts(folder):
        path.unlink()


def _parts(folder: Path) -> list[Path]:
    return sorted((folder / TRAILS).glob("shard-*.parquet"))


def _moved_most(replay: Replay, logs: Logs) -> Bools:
    """The requests whose lists moved most; of equals the first by id, whatever the split."""
    distance = replay.facts.moved
    least = np.sort(distance)[-min(MOST_MOVED, len(distance))] if len(distance) else 0
    most = (distance > least) & (distance > 0)
    equal = np.flatnonzero((distance == least) & (distance > 0))
    order = logs.ids.requests.gather(replay.slates.requests[equal]).arg_sort().to_numpy()
    most[equal[order[: MOST_MOVED - int(most.sum())]]] = True
    return most


def _rows(variant: str, replay: Replay, at: Ints, chosen: Bools, logs: Logs) -> pl.DataFrame:
    """What is told of the requests at some positions, then what steps took of them."""
    requests, nothing = replay.slates.requests, pl.lit(None)
    told = pl.DataFrame(
        {
            c.VARIANT: pl.repeat(variant, len(at), eager=True),
            c.REQUEST_ID: logs.ids.requests.gather(requests[at]),
            MOVED: replay.facts.moved[at],
            PROBED: chosen[requests[at]],
        }
    ).select(
        c.VARIANT,
        c.REQUEST_ID,
        MOVED,
        PROBED,
        nothing.cast(pl.String).alias(STEP),
        nothing.cast(pl.Int64).alias(c.RANK),
        nothing.cast(logs.ids.items.dtype).alias(c.ITEM_ID),
    )
    return told if replay.removed is None else pl.concat([told, _taken(variant, replay.removed, at, requests, logs)])


def _taken(variant: str, removed: Removed, at: Ints, requests: Ints, logs: Logs) -> pl.DataFrame:
    inside = np.flatnonzero(np.isin(removed.position, at))
    return pl.DataFrame(
        {
            c.VARIANT: pl.repeat(variant, len(inside), eager=True),
            c.REQUEST_ID: logs.ids.requests.gather(requests[removed.position[inside]]),
            MOVED: pl.repeat(None, len(inside), dtype=pl.Int64, eager=True),
            PROBED: pl.repeat(None, len(inside), dtype=pl.Boolean, eager=True),
            STEP: pl.Series(list(removed.steps), dtype=pl.String).gather(removed.step[inside]),
            c.RANK: removed.rank[inside],
            c.ITEM_ID: logs.ids.items.gather(removed.item[inside]),
        }
    )
