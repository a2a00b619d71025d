"""A variant behind a Python function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rankcast.replay.builtin import Pool, Setting
from rankcast.replay.foreign import Generators, call, scores_of
from rankcast.replay.lists import Lists, ordered
from rankcast.replay.rows import candidate_frame, request_frame
from rankcast.tables.logs import Ints, Logs


@dataclass(frozen=True)
class PythonModel:
    """`function(requests, candidates)` or `function(requests, candidates, generators)`: a score for each candidate, higher is
    better.

    `requests` has request_id, user_id, timestamp, the other columns of requests and `user.<name>`; `candidates` has
    request_id, item_id and `item.<name>`, request by request in the order of `requests`. It answers with a number per
    candidate, or with a frame of request_id, item_id, score that may leave candidates out. `columns`: only these attributes
    are handed over (None: all).
    """

    function: str
    columns: tuple[str, ...] | None = None

    def lists(self, requests: Ints, pool: Callable[[], Pool], logs: Logs, setting: Setting) -> Lists:
        """The pool in the function's order; ties by item."""
        position, item = by_request(pool())
        if not len(item):
            return Lists(requests, position, item, np.zeros(0))
        candidates = candidate_frame(requests, position, item, logs, self.columns)
        asked = (request_frame(requests, logs, self.columns), candidates)
        generators = Generators(setting.seed, logs.ids.requests.gather(requests))
        scored, value = scores_of(self.function, call(self.function, asked, generators), candidates)
        return ordered(requests, position[scored], item[scored], value)


def by_request(pool: Pool) -> Pool:
    """Candidates request by request, items ascending: whatever a model adds up in the order of rows comes out the same."""
    position, item = pool
    order = np.lexsort((item, position))
    return position[order], item[order]
