"""What the service writes down: impressions, and an event log with the dirt that every event log has."""

from __future__ import annotations

import numpy as np
import polars as pl

from rankcast.testing.jobboard import clock
from rankcast.testing.jobboard.arrays import NONE, Ints
from rankcast.testing.jobboard.behaviour import Events
from rankcast.testing.jobboard.world import Posts

KINDS = ("click", "bookmark", "apply")
SENT_TWICE = 0.005
UNKNOWN_POST = 0.001
DELETED = 20
"""Posts that events still name and the table of items has lost; their indexes follow those of the known posts."""


def logged(rng: np.random.Generator, events: Events, posts: Posts) -> Events:
    """The events in order of time, with some sent twice and some about posts that nobody knows any more."""
    n = events.user.size
    twice = rng.choice(n, size=max(1, round(n * SENT_TWICE)), replace=False)
    strange = rng.choice(n, size=max(1, round(n * UNKNOWN_POST)), replace=False)
    row = np.concatenate([np.arange(n), twice, strange])
    every = events.take(row)
    post = every.post.copy()
    post[-strange.size :] = posts.company.size + rng.integers(DELETED, size=strange.size)
    request = every.request.copy()
    request[-strange.size :] = NONE
    order = np.lexsort((every.kind, post, every.user, every.moment))
    return Events(every.user, post, every.moment, every.kind, request).take(order)


def events_table(events: Events, users: pl.Series, posts: pl.Series, requests: pl.Series) -> pl.DataFrame:
    """The event log as the service keeps it."""
    deleted = pl.Series([f"post-{90_000 + i}" for i in range(DELETED)], dtype=pl.String)
    return pl.DataFrame(
        {
            "user_id": users.gather(events.user),
            "item_id": pl.concat([posts, deleted]).gather(events.post),
            "timestamp": clock.naive_local(events.moment),
            "event": pl.Series(KINDS).gather(events.kind),
            "request_id": _nullable(requests, events.request),
        }
    )


def impressions_table(slates: Ints, posts: pl.Series, requests: pl.Series) -> pl.DataFrame:
    """What production really showed, rank from 1."""
    row, place = np.nonzero(slates != NONE)
    return pl.DataFrame(
        {
            "request_id": requests.gather(row),
            "item_id": posts.gather(slates[row, place]),
            "rank": pl.Series(place + 1, dtype=pl.Int64),
        }
    )


def _nullable(ids: pl.Series, index: Ints) -> pl.Series:
    """The id at each index, null where there is none."""
    return pl.concat([ids, pl.Series([None], dtype=pl.String)]).gather(np.where(index == NONE, ids.len(), index))
