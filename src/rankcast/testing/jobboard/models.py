"""Models: what each variant believes about the posts, written down per user every third night.

All variants score the same candidates, so a comparison is about the order and nothing else.

production  a noisy estimate of the true utility, worst for new users
two_tower   a real improvement: less noise, above all for new users
filter_net  the trap: a model that has learnt to imitate the post-processing. It puts posts of the user's habitual
            filters, and posts that will stay open, on top, and posts already applied to at the bottom. Its raw order
            therefore meets the labels more often than production's (only posts that survive can earn a label), but
            the filters do that anyway, and among the posts that survive its order is worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import polars as pl

from rankcast.testing.jobboard import clock
from rankcast.testing.jobboard.arrays import NONE, Floats, Ints, normal
from rankcast.testing.jobboard.behaviour import Events, first_applications
from rankcast.testing.jobboard.traffic import Requests
from rankcast.testing.jobboard.world import World

Variant: TypeAlias = Literal["production", "two_tower", "filter_net"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)

CANDIDATES = 80
RETRIEVAL_NOISE = 0.45
NOISE: dict[Variant, tuple[float, float, float]] = {  # for new, regular and veteran users
    "production": (0.90, 0.65, 0.55),
    "two_tower": (0.58, 0.54, 0.48),
    "filter_net": (1.00, 0.76, 0.66),
}
SHARED: dict[Variant, float] = {"production": 1.0, "two_tower": 0.98, "filter_net": 0.95}
"""Correlation of every model's errors with production's: all of them learn from the same logs.

With less, a new model would show so many posts that production never showed that labels could not judge it.
"""
LIKES_HABITUAL_TYPE = np.float32(0.40)
LIKES_HABITUAL_EMPLOYMENT = np.float32(0.20)
LIKES_STAYING_OPEN = np.float32(0.70)
SHUNS_APPLIED = np.float32(4.0)
SHUNS_TEST_POSTS = np.float32(3.0)
"""What filter_net adds to, or takes from, a score because of the post-processing."""
UNSCORED_NEW_USERS = 0.05
"""Share of new users who arrived after the first batch that would have served them."""


@dataclass(frozen=True)
class Pools:
    """Candidates (pools x 80, posts ascending), one pool per user and batch that some request reads.

    `of_request` is the pool that serves each request, NONE where the user had not been scored yet. Pools that no
    request reads are left out: they would be half of every score file.
    """

    user: Ints
    computed_at: Ints
    post: Ints
    scores: dict[Variant, Floats]
    of_request: Ints

    def order(self, variant: Variant) -> Ints:
        """Per pool the columns, best first; equal scores by post, as the service breaks ties."""
        return np.argsort(-self.scores[variant], axis=1, kind="stable")

    def table(self, variant: Variant, users: pl.Series, posts: pl.Series) -> pl.DataFrame:
        """The score file of a variant."""
        width = self.post.shape[1]
        pool = pl.DataFrame({"user_id": users.gather(self.user), "computed_at": clock.utc(self.computed_at)})
        rows = pool[np.repeat(np.arange(self.user.size), width)]
        item = posts.gather(self.post.ravel()).rename("item_id")
        score = pl.Series("score", self.scores[variant].ravel())
        return rows.select("user_id", item, score, "computed_at")


def build_pools(rng: np.random.Generator, world: World, requests: Requests, visits: Events) -> Pools:
    """Retrieve candidates and score them with every variant; of applications the models know those of visits."""
    user, batch, of_request = _read_pools(rng, world, requests)
    at = clock.BATCHES[batch]
    post = _retrieve(rng, world, user, batch)
    applied = first_applications(world, visits)[user[:, None], post] < at[:, None]
    scores = _estimates(rng, world, user, post)
    scores["filter_net"] += _imitation(world, user, at, post) - SHUNS_APPLIED * applied
    rounded = {variant: np.round(score, 3) for variant, score in scores.items()}
    return Pools(user=user, computed_at=at, post=post, scores=rounded, of_request=of_request)


def _read_pools(rng: np.random.Generator, world: World, requests: Requests) -> tuple[Ints, Ints, Ints]:
    """User and batch of every pool in order of batch and user, and the pool of every request."""
    batches, users = clock.BATCHES.size, world.users.tenure.size
    newest = np.searchsorted(clock.BATCHES, requests.moment, side="right") - 1
    late = (world.users.tenure == 0) & (rng.random(users) < UNSCORED_NEW_USERS)
    first = np.full(users, batches)
    np.minimum.at(first, requests.user, newest)
    unscored = (newest < 0) | (late[requests.user] & (newest == first[requests.user]))
    key = newest * users + requests.user
    wanted = np.unique(key[~unscored])
    of_request = np.where(unscored, NONE, np.searchsorted(wanted, key))
    return wanted % users, wanted // users, of_request


def _retrieve(rng: np.random.Generator, world: World, user: Ints, batch: Ints) -> Ints:
    """The posts that any of the models would have fetched: roughly the best 80 that are open when the batch runs."""
    post = np.empty((user.size, CANDIDATES), dtype=np.int64)
    every = np.arange(world.posts.company.size)
    for number, moment in enumerate(clock.BATCHES):
        pools = np.flatnonzero(batch == number)
        is_open = np.flatnonzero(world.posts.is_open(every, moment))
        guess = world.utility[np.ix_(user[pools], is_open)]
        guess += np.float32(RETRIEVAL_NOISE) * normal(rng, *guess.shape)
        best = np.argpartition(guess, -CANDIDATES, axis=1)[:, -CANDIDATES:]
        post[pools] = np.sort(is_open[best], axis=1)
    return post


def _estimates(rng: np.random.Generator, world: World, user: Ints, post: Ints) -> dict[Variant, Floats]:
    """Every variant's noisy view of the true utility."""
    truth = world.utility[user[:, None], post]
    tenure = world.users.tenure[user]
    common = normal(rng, *post.shape)
    scores: dict[Variant, Floats] = {}
    for variant, spread in NOISE.items():
        shared = np.float32(SHARED[variant])
        error = shared * common + np.sqrt(np.float32(1.0) - shared**2) * normal(rng, *post.shape)
        scores[variant] = truth + np.array(spread, dtype=np.float32)[tenure][:, None] * error
    return scores


def _imitation(world: World, user: Ints, at: Ints, post: Ints) -> Floats:
    """What filter_net has learnt about the post-processing instead of about people."""
    posts, users = world.posts, world.users
    stays = np.mean([posts.is_open(post, at[:, None] + hours * clock.HOUR) for hours in (18, 36, 54, 72)], axis=0)
    bonus: Floats = LIKES_HABITUAL_TYPE * (posts.job_type[post] == users.job_type[user][:, None])
    bonus += LIKES_HABITUAL_EMPLOYMENT * (posts.employment[post] == users.employment[user][:, None])
    bonus += LIKES_STAYING_OPEN * stays.astype(np.float32)
    bonus -= SHUNS_TEST_POSTS * posts.is_test[post]
    return bonus
