"""Organic activity: posts that users find without the list, by search or e-mail.

They are drawn by true utility among the posts open at the moment, whatever any ranker thinks. They make the labels
more than an echo of what production showed.
"""

from __future__ import annotations

import numpy as np

from rankcast.testing.jobboard import clock
from rankcast.testing.jobboard.arrays import NONE, Floats, Ints, shares
from rankcast.testing.jobboard.behaviour import CLICK, Events, follow
from rankcast.testing.jobboard.world import World

VISITS = 0.55
"""Visits per request while users are watched; as many again in the weeks before, as a history."""
CHOOSINESS = 2.8
"""How strongly visits lean to posts of high utility: who looks for a post knows what they want."""


def build_visits(rng: np.random.Generator, world: World, requests: int) -> Events:
    """Clicks outside the list, with the bookmarks and applications that followed; not in order of time."""
    n = int(VISITS * requests)
    before = clock.moments(rng, n, (clock.HISTORY_FROM, clock.TRAFFIC_FROM))
    during = clock.moments(rng, n, (clock.TRAFFIC_FROM, clock.EVENTS_TO - 2 * clock.DAY))
    moment = np.concatenate([before, during])
    activity = np.where(world.users.is_bot, 0.0, world.users.activity).astype(np.float64)
    user = rng.choice(activity.size, size=moment.size, p=shares(activity))
    post = _found(rng, world, user, moment)
    found = np.flatnonzero(post != NONE)
    nothing = np.full(found.size, NONE)
    clicks = Events(user[found], post[found], moment[found], np.full(found.size, CLICK), nothing)
    return follow(rng, world, clicks)


def _found(rng: np.random.Generator, world: World, user: Ints, moment: Ints) -> Ints:
    """The post of each visit."""
    weight = np.exp(np.float32(CHOOSINESS) * world.utility)
    weight[:, world.posts.is_test] = 0.0
    reach = np.cumsum(weight, axis=1)
    post = np.full(user.size, NONE, dtype=np.int64)
    pending = np.arange(user.size)
    for _ in range(40):  # draw from all posts, and again where the post was closed; hardly any visit needs more
        who = user[pending]
        draw = _first_above(reach, who, rng.random(pending.size, dtype=np.float32) * reach[who, -1])
        is_open = world.posts.is_open(draw, moment[pending])
        post[pending[is_open]] = draw[is_open]
        pending = pending[~is_open]
    return post


def _first_above(reach: Floats, row: Ints, level: Floats) -> Ints:
    """For each row the first column whose value exceeds the level: a binary search in many rows at once."""
    low = np.zeros(row.size, dtype=np.int64)
    high = np.full(row.size, reach.shape[1] - 1, dtype=np.int64)
    while (low < high).any():
        middle = (low + high) // 2
        above = reach[row, middle] > level
        low, high = np.where(above, low, middle + 1), np.where(above, middle, high)
    return low
