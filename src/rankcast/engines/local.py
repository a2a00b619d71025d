"""The local engine: shards one after the other on this machine, or in a few processes, so that memory is bounded by a shard."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, TypeVar

from rankcast.errors import RunError

Shard = TypeVar("Shard")
Outcome = TypeVar("Outcome")

_WORKER = "RANKCAST_WORKER"
_LOOK = 0.2  # seconds after which whoever waits looks whether somebody pressed Ctrl-C
_function: Callable[[Any], Any]


def refuse_inside() -> None:
    """A script that starts processes is imported by each of them: without a guard it would start the same work again."""
    if os.environ.get(_WORKER):
        raise RunError("with several processes, the call must stand under `if __name__ == '__main__':` in a script")


def run(function: Callable[[Shard], Outcome], shards: Sequence[Shard], processes: int = 1) -> Iterator[Outcome]:
    """The outcome of every shard, in the shards' order. With several processes, the function and what it holds must pickle."""
    if processes == 1 or len(shards) < 2:
        yield from map(function, shards)
        return
    # Fresh processes: a fork would copy the locks of Polars' threads, which nobody would open again.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        min(processes, len(shards)), context, initializer=_begin, initargs=(pickle.dumps(function),)
    )
    try:
        for future in _submit(pool, shards):
            while not future.done():
                wait_for([future], timeout=_LOOK)  # a signal that another thread takes does not end the waiting
            yield future.result()
    except BrokenProcessPool as error:
        raise RunError(
            "a process that shared the work ended, probably for want of memory: run again with less --memory or fewer "
            "--processes, what is done is taken up; in a script, the call must stand under `if __name__ == '__main__':`"
        ) from error
    except BaseException:
        for process in list((getattr(pool, "_processes", None) or {}).values()):
            process.terminate()  # nobody waits for what they do
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, shards: Sequence[Any]) -> list[Future[Any]]:
    """Hand out the work. Whoever presses Ctrl-C means this process: those that start here never hear of it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ[_WORKER] = "1"
    try:
        return [pool.submit(_evaluate, shard) for shard in shards]
    finally:
        del os.environ[_WORKER]
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(function: bytes) -> None:
    global _function  # noqa: PLW0603 - what a process works on, sent to it once
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _function = pickle.loads(function)  # noqa: S301 - our own bytes


def _end_with_parent() -> None:
    """A process whose parent was killed would go on to write into a folder that is somebody else's by now."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _evaluate(shard: Any) -> Any:
    return _function(shard)
