"""The local engine: one shard after the other on this machine, so that memory is bounded by a shard's rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Shard = TypeVar("Shard")
Outcome = TypeVar("Outcome")


def run(function: Callable[[Shard], Outcome], shards: Iterable[Shard]) -> Iterator[Outcome]:
    """The outcome of every shard, in the shards' order."""
    return map(function, shards)
