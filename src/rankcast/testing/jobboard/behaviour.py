"""What users do with a post: look at it or not, click, and bookmark or apply after a click."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from rankcast.testing.jobboard import clock
from rankcast.testing.jobboard.arrays import Bools, Floats, Ints, sigmoid
from rankcast.testing.jobboard.world import World

LONGEST_LIST = 10
EXAMINED: Floats = (1.0 / np.arange(1, LONGEST_LIST + 1) ** 0.7).astype(np.float32)
"""Probability that a user looks at each place of the list."""
CONTINUES, SATISFIED = 0.92, 0.55
"""Of users who read from the top: chance to look at the next place, and chance that a click ends the reading."""
CLICK, BOOKMARK, APPLY = 0, 1, 2
BOT_CLICKS = 0.15
BOOKMARKS = 0.25
"""Probability of a bookmark after a click."""


@dataclass(frozen=True)
class Events:
    """One entry per event; `request` is NONE for what users found without the list."""

    user: Ints
    post: Ints
    moment: Ints
    kind: Ints
    request: Ints

    def take(self, chosen: Bools | Ints) -> Events:
        """The chosen events."""
        return Events(
            self.user[chosen], self.post[chosen], self.moment[chosen], self.kind[chosen], self.request[chosen]
        )

    def later(self, delay: Ints, kind: int) -> Events:
        """Events of another kind that follow these after a delay."""
        return Events(self.user, self.post, self.moment + delay, np.full(self.user.size, kind), self.request)


Reading: TypeAlias = Literal["places", "cascade"]
"""How users go through a list: each place is looked at with a chance of its own, or from the top until they have enough."""


def clicks_expected(reading: Reading, attracted: Floats) -> Floats:
    """Chance of a click at each place of lists (n x 10), given the chance of a click on what is looked at."""
    if reading == "places":
        return EXAMINED * attracted
    stays = np.float32(CONTINUES) * (np.float32(1.0) - np.float32(SATISFIED) * attracted)
    looks = np.cumprod(np.concatenate([np.ones_like(stays[:, :1]), stays[:, :-1]], axis=1), axis=1)
    clicks: Floats = looks * attracted
    return clicks


def clicked(rng: np.random.Generator, reading: Reading, attracted: Floats, bots: Bools) -> Bools:
    """Which places of lists (n x 10) are clicked, drawn; those of bots anywhere."""
    chance = np.where(bots[:, None], np.float32(BOT_CLICKS), clicks_expected(reading, attracted))
    drawn: Bools = rng.random(attracted.shape) < chance
    if reading == "places":
        return drawn
    liked = rng.random(attracted.shape) < attracted
    stays = rng.random(attracted.shape) < CONTINUES * np.where(liked, 1.0 - SATISFIED, 1.0)
    looks = np.cumprod(np.concatenate([np.ones_like(stays[:, :1]), stays[:, :-1]], axis=1), axis=1)
    return np.where(bots[:, None], drawn, liked & (looks > 0))


def attraction(utility: Floats) -> Floats:
    """Probability of a click on a post that is looked at."""
    return sigmoid(np.float32(1.7) * utility - np.float32(6.4))


def conversion(utility: Floats) -> Floats:
    """Probability of an application after a click."""
    return sigmoid(np.float32(1.2) * utility - np.float32(2.0))


def follow(rng: np.random.Generator, world: World, clicks: Events) -> Events:
    """Clicks with the bookmarks (minutes later) and applications (up to two days later) that come of them.

    Who began to apply may finish after the post has closed, so no application is lost to its own delay. Bots neither
    bookmark nor apply.
    """
    n = clicks.user.size
    people = ~world.users.is_bot[clicks.user]
    marked = np.flatnonzero(people & (rng.random(n) < BOOKMARKS))
    applied = np.flatnonzero(people & (rng.random(n) < conversion(world.kept(clicks.user, clicks.post))))
    minutes = rng.integers(30, 900, size=marked.size)
    delay = np.exp(rng.uniform(np.log(120), np.log(2 * clock.DAY - 60), size=applied.size)).astype(np.int64)
    return join([clicks, clicks.take(marked).later(minutes, BOOKMARK), clicks.take(applied).later(delay, APPLY)])


def first_applications(world: World, events: Events) -> Ints:
    """When each user first applied to each post (users x posts), NEVER where they did not."""
    applied_at = np.full(world.utility.shape, clock.NEVER, dtype=np.int64)
    remember(applied_at, events)
    return applied_at


def remember(applied_at: Ints, events: Events) -> None:
    """Add the applications among the events to the state of the simulation, in place: a copy would cost seconds."""
    applied = events.take(events.kind == APPLY)
    np.minimum.at(applied_at, (applied.user, applied.post), applied.moment)


def join(parts: list[Events]) -> Events:
    """All events of all parts."""
    return Events(
        np.concatenate([part.user for part in parts]),
        np.concatenate([part.post for part in parts]),
        np.concatenate([part.moment for part in parts]),
        np.concatenate([part.kind for part in parts]),
        np.concatenate([part.request for part in parts]),
    )
