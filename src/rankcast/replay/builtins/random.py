"""Builtin `random`: the floor under everything."""

from __future__ import annotations

import hashlib
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from rankcast.replay.builtin import Scoring, Setting
from rankcast.tables.duration import Duration
from rankcast.tables.logs import Floats, Ints, Logs

_U64 = npt.NDArray[np.uint64]


class Random(Scoring):
    """Scores an item by a pseudo-random number in [0, 1) that depends on the seed, the request's id and the item's id only.

    So the order of rows, other candidates and shards change nothing.
    """

    name: ClassVar[str] = "random"
    takes_within: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, within: Duration | None) -> None:
        self.within = within

    def values(self, request: Ints, item: Ints, logs: Logs, setting: Setting) -> Floats:
        used, row = np.unique(request, return_inverse=True)
        by_request = _digests(logs.ids.requests.gather(used), f"request {setting.seed}")
        offered, column = np.unique(item, return_inverse=True)
        by_item = _digests(logs.ids.items.gather(offered), "item")
        mixed = _mix(by_request[row] ^ _mix(by_item[column]))
        return (mixed >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def _digests(ids: pl.Series, salt: str) -> _U64:
    """A 64-bit number for each id, the same on every machine and in every version."""
    key = salt.encode()
    numbers = (hashlib.blake2b(str(value).encode(), digest_size=8, key=key).digest() for value in ids.to_list())
    return np.frombuffer(b"".join(numbers), dtype="<u8").astype(np.uint64)


def _mix(x: _U64) -> _U64:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
