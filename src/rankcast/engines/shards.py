"""Shards: all requests of some users. Everything up to the values table is per request, so shards never meet."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def split(requests: Ints, users: Ints, most: int) -> list[Ints]:
    """Request codes split by user into shards of about `most` requests; a user's requests stay together.

    The split depends on ids only, never on the order of rows, and no result depends on the split.

    >>> [part.tolist() for part in split(np.array([0, 1, 2, 3]), np.array([7, 5, 7, 6]), 2)]
    [[1, 3], [0, 2]]
    """
    if not len(requests):
        return [requests]
    order = np.argsort(users, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(users[order])) + 1, len(order))  # where each user's requests end
    cuts, start = [], 0
    for position, end in enumerate(ends):
        later = ends[position + 1] if position + 1 < len(ends) else None
        if later is None or later - start > most:
            cuts.append(int(end))
            start = int(end)
    return [np.sort(part) for part in np.split(requests[order], cuts[:-1])]
