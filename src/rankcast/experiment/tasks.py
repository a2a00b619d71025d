"""The shards of a run: those that are done already, here or in an earlier run, and those that are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rankcast.engines import shards
from rankcast.experiment import saved
from rankcast.experiment.shard import Shard, Work
from rankcast.replay.candidates import AVAILABLE
from rankcast.sources.load import Loaded
from rankcast.tables.logs import Ints


def done_in(folder: Path) -> list[Shard]:
    """Shards that are whole on disk."""
    nobody = np.zeros(0, dtype=np.int64)
    return [Shard(name, nobody, None, folder) for name in saved.names(folder)]


def still_to_do(work: Work, loaded: Loaded, replayed: Ints, most_rows: int) -> list[Shard]:
    """The replayed requests (codes) that are in no shard yet, whole users in a shard, about so many candidates at most."""
    work.look_up()
    user = loaded.logs.requests.user[replayed]
    part_of = loaded.cut.part_of_user[user]
    most = _requests_per_shard(work, len(replayed), most_rows)
    tasks = []
    for part in range(loaded.cut.parts):
        mine = part_of == part
        split = shards.split(replayed[mine], user[mine], most)
        tasks += [Shard(f"shard-{int(some[0]):010}", some, part) for some in split if len(some)]
    return tasks


def _requests_per_shard(work: Work, requests: int, most_rows: int) -> int:
    """So many requests that the candidates which are gathered for them are about `most_rows`; score files come in parts."""
    widest = len(work.logs.impressions.item) / max(1, len(work.logs.requests.time))
    if any(model.candidates == AVAILABLE for model in work.models):
        widest = max(widest, len(work.logs.intervals.item))
    return max(1, min(requests, int(most_rows / max(1.0, widest))))
