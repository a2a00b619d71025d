"""The weeks as they really went: production serves every request, users react, and that shapes what they see next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankcast.testing.jobboard.arrays import NONE, Bools, Ints
from rankcast.testing.jobboard.behaviour import (
    CLICK,
    Events,
    Reading,
    attraction,
    clicked,
    first_applications,
    follow,
    join,
    remember,
)
from rankcast.testing.jobboard.models import Pools
from rankcast.testing.jobboard.serving import SERVED, candidates_of, fill_slates, not_applied, passes_filters
from rankcast.testing.jobboard.traffic import Requests
from rankcast.testing.jobboard.world import World


@dataclass(frozen=True)
class Past:
    """What happened: slates shown (requests x 10), events, and each request's candidates with those it could show."""

    slates: Ints
    events: Events
    candidates: Ints
    keep: Bools


@dataclass(frozen=True)
class Nature:
    """What differs from service to service: how users read a list, whether production has a rule that is written nowhere, and
    how far posts promise in the list what they do not keep (standard deviation).
    """

    reading: Reading = "places"
    pauses: bool = False
    bait: float = 0.0


AS_ASSUMED = Nature()


def live(
    rng: np.random.Generator, world: World, requests: Requests, pools: Pools, visits: Events, nature: Nature
) -> Past:
    """Serve all requests in order of time, as far as order matters: request by request of every user.

    An application counts from its own moment on, so what a request may show depends on this user's earlier requests
    and visits only. Users are therefore independent, and the n-th requests of all of them are served together.
    """
    order = pools.order("production")[pools.of_request]
    candidates = candidates_of(pools)
    ranked = np.take_along_axis(candidates, order, axis=1)
    keep = passes_filters(world.posts, requests, ranked, nature.pauses)
    slates = np.full((requests.user.size, SERVED), NONE, dtype=np.int64)
    applied_at = first_applications(world, visits)
    parts = [visits]
    for turn in _turns(requests.user):
        rows = ranked[turn]
        known = applied_at[requests.user[turn][:, None], rows]
        keep[turn] &= not_applied(known, requests.moment[turn])
        slates[turn] = fill_slates(world.posts, rows, keep[turn])
        parts.append(_react(rng, world, requests, turn, slates[turn], nature.reading))
        remember(applied_at, parts[-1])
    return Past(slates, _until_applied(join(parts), applied_at), candidates, _in_post_order(keep, order))


def _turns(user: Ints) -> list[Ints]:
    """Requests grouped by being their user's first, second, ...; `user` is in order of time."""
    by_user = np.argsort(user, kind="stable")
    start = np.searchsorted(user[by_user], user[by_user], side="left")
    turn = np.empty_like(user)
    turn[by_user] = np.arange(user.size) - start
    by_turn = np.argsort(turn, kind="stable")
    return np.split(by_turn, np.cumsum(np.bincount(turn))[:-1])


def _react(
    rng: np.random.Generator, world: World, requests: Requests, turn: Ints, slate: Ints, reading: Reading
) -> Events:
    """Events of one request per user: examination, then attraction. Bots click anywhere."""
    user = requests.user[turn]
    attracted = np.where(slate != NONE, attraction(world.promised(user[:, None], slate)), np.float32(0.0))
    hit = clicked(rng, reading, attracted, requests.is_bot[turn]) & (slate != NONE)
    row, place = np.nonzero(hit)
    clicked_at = requests.moment[turn][row] + rng.integers(1, 60, size=row.size)
    clicks = Events(user[row], slate[row, place], clicked_at, np.full(row.size, CLICK), turn[row])
    return follow(rng, world, clicks)


def _until_applied(events: Events, applied_at: Ints) -> Events:
    """Without what a user did with a post after applying to it: one applies once, and is then done with the post."""
    return events.take(events.moment <= applied_at[events.user, events.post])


def _in_post_order(keep: Bools, order: Ints) -> Bools:
    """What was kept, moved from production's order back to the order of the candidates."""
    moved = np.empty_like(keep)
    np.put_along_axis(moved, order, keep, axis=1)
    return moved
