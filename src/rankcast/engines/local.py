"""The local engine: shards one after the other on this machine, or in a few processes, so that memory is bounded by a shard."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

Shard = TypeVar("Shard")
Outcome = TypeVar("Outcome")

_function: Callable[[Any], Any]


def run(function: Callable[[Shard], Outcome], shards: Sequence[Shard], processes: int = 1) -> Iterator[Outcome]:
    """The outcome of every shard, in the shards' order. With several processes, the function and what it holds must pickle."""
    if processes == 1 or len(shards) < 2:
        yield from map(function, shards)
        return
    # Fresh processes: a fork would copy the locks of Polars' threads, which nobody would open again.
    context = multiprocessing.get_context("spawn")
    workers = min(processes, len(shards))
    with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(pickle.dumps(function),)) as pool:
        waiting = [pool.submit(_evaluate, shard) for shard in shards]
        try:
            for future in waiting:
                yield future.result()
        finally:
            for future in waiting:
                future.cancel()


def _begin(function: bytes) -> None:
    global _function  # noqa: PLW0603 - what a process works on, sent to it once
    _function = pickle.loads(function)  # noqa: S301 - our own bytes


def _evaluate(shard: Any) -> Any:
    return _function(shard)
