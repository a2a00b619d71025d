"""Sixty initiatives on the simulated job board: what each changes, and what it does to users in truth.

The slates here are made without Rankcast, so that they can be held against those that it reproduces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rankcast.testing.jobboard import clock, serving
from rankcast.testing.jobboard.arrays import NONE, Bools, Floats, Ints, normal, sigmoid
from rankcast.testing.jobboard.behaviour import first_applications
from rankcast.testing.jobboard.models import NOISE
from rankcast.testing.jobboard.truth import Latent

COLUMNS = ("company_id", "job_type")
AWAY = np.float32(-np.inf)  # the score of what is no candidate


@dataclass(frozen=True)
class Serving:
    """The post-processing of an initiative, as Rankcast is told it and as users meet it."""

    job_type: bool = True
    employment: bool = True
    wage_from: int | None = None
    memory: int = 365
    cap_by: str = "company_id"
    at_most: int = 2

    def steps(self) -> list[Any]:
        """As `steps:` of a variant."""
        told: list[Any] = []
        told += [{"match": {"request.job_type": "item.job_type"}}] if self.job_type else []
        told += [{"match": {"request.employment": "item.employment"}}] if self.employment else []
        told += ["available", {"not_seen": {"events": ["apply", "found_apply"], "within": f"{self.memory}d"}}]
        told += [{"where": "NOT item.is_test"}]
        told += [{"where": f"item.wage >= {self.wage_from}"}] if self.wage_from is not None else []
        return [*told, {"cap": {"by": f"item.{self.cap_by}", "at_most": self.at_most}}]

    def slates(self, latent: Latent, scores: Floats) -> Ints:
        """Slates (requests x 10) that users would see; empty for requests that do not count."""
        counted = np.flatnonzero(latent.requests.counted)
        order = np.argsort(-scores, axis=1, kind="stable")[latent.pools.of_request[counted]]
        ranked = np.take_along_axis(latent.past.candidates[counted], order, axis=1)
        keep = self._keep(latent, counted, ranked)
        keep &= np.isfinite(scores[latent.pools.of_request[counted][:, None], order])
        posts = latent.world.posts
        groups = posts.company if self.cap_by == "company_id" else posts.job_type
        found = np.full((latent.requests.user.size, serving.SERVED), NONE, dtype=np.int64)
        found[counted] = serving.fill_slates(posts, ranked, keep, groups, self.at_most)
        return found

    def liked(self, latent: Latent, slates: Ints) -> Ints:
        """The slates without what nobody wants twice: a post that the user has applied to leaves its place empty."""
        requests = latent.requests
        applied = first_applications(latent.world, latent.past.events)[requests.user[:, None], slates]
        return np.where(applied < requests.moment[:, None], NONE, slates)

    def _keep(self, latent: Latent, counted: Ints, ranked: Ints) -> Bools:
        posts, requests = latent.world.posts, latent.requests
        moment = requests.moment[counted][:, None]
        asked = replace(
            requests,
            moment=requests.moment[counted],
            job_type=requests.job_type[counted],
            employment=requests.employment[counted],
        )
        keep: Bools = posts.is_open(ranked, moment) & ~posts.is_test[ranked] & (ranked != NONE)
        if self.job_type:
            keep &= serving.of_job_type(posts, asked, ranked)
        if self.employment:
            keep &= serving.of_employment(posts, asked, ranked)
        if self.wage_from is not None:
            keep &= posts.wage[ranked] >= self.wage_from
        if latent.nature.pauses:
            keep &= ~serving.paused(posts, asked, ranked)
        applied = first_applications(latent.world, latent.past.events)[requests.user[counted][:, None], ranked]
        keep &= ~((applied < moment) & (applied >= moment - self.memory * clock.DAY))
        return keep


PRODUCTION = Serving()


@dataclass(frozen=True)
class Initiative:
    """A change that somebody wants: new scores (pools x 80), another serving, or both."""

    name: str
    kind: str
    scores: Floats
    serving: Serving = PRODUCTION


class _Bench:
    """What teams build models of: each draws its own noise."""

    def __init__(self, latent: Latent, seed: int) -> None:
        pools, world = latent.pools, latent.world
        self.rng = np.random.default_rng([seed, 60])
        self.truth = world.utility[pools.user[:, None], pools.post]
        self.bait = world.bait[pools.post]
        self.spread = np.array(NOISE["production"], dtype=np.float32)[world.users.tenure[pools.user]][:, None]
        self.production = pools.scores["production"]
        self.common = (self.production - self.truth) / self.spread
        posts = world.posts
        hours = [posts.is_open(pools.post, pools.computed_at[:, None] + at * clock.HOUR) for at in (18, 36, 54, 72)]
        self.stays = np.mean(hours, axis=0, dtype=np.float32)
        applied = first_applications(world, latent.past.events)[pools.user[:, None], pools.post]
        self.applied = (applied < pools.computed_at[:, None]).astype(np.float32)
        self.habit = (posts.job_type[pools.post] == world.users.job_type[pools.user][:, None]).astype(np.float32)
        self.habit += 0.5 * (posts.employment[pools.post] == world.users.employment[pools.user][:, None])
        self.urgent = (posts.closes[pools.post, 0] - posts.opens[pools.post, 0] < 7 * clock.DAY).astype(np.float32)
        self.wage = ((posts.wage[pools.post] - 1_600) / 200).astype(np.float32)
        self.is_test = posts.is_test[pools.post].astype(np.float32)
        self.appeal = posts.appeal[pools.post]
        self.tenure = world.users.tenure[pools.user]
        self.place = np.argsort(np.argsort(-self.production, axis=1, kind="stable"), axis=1, kind="stable")

    def model(self, noise: float | tuple[float, float, float], shared: float = 0.98) -> Floats:
        """A model whose errors are `noise` times production's (for new, regular and veteran users)."""
        times = np.broadcast_to(np.asarray(noise, dtype=np.float32), (3,))[self.tenure][:, None]
        own = normal(self.rng, *self.truth.shape)
        error = np.float32(shared) * self.common + np.float32((1 - shared**2) ** 0.5) * own
        return self.truth + times * self.spread * error

    def fewer(self, kept: Bools) -> Floats:
        """Production's scores, of these candidates only."""
        return np.where(kept, self.production, AWAY)


def initiatives(latent: Latent, seed: int) -> tuple[Initiative, ...]:
    """Thirty of scores, twelve traps, seven filters, five caps, six of candidates."""
    bench = _Bench(latent, seed)
    made = [*_scores(bench), *_traps(bench), *_rules(bench), *_candidates(bench)]
    return tuple(replace(one, scores=np.round(one.scores, 3)) for one in made)


def _scores(bench: _Bench) -> Iterator[Initiative]:
    for noise in (0.60, 0.70, 0.80, 0.90, 0.95):
        yield Initiative(f"better-{noise}", "better model", bench.model(noise))
    for noise in (1.05, 1.10, 1.20, 1.40, 1.70):
        yield Initiative(f"worse-{noise}", "worse model", bench.model(noise))
    for at, by_tenure in enumerate(((0.6, 1.0, 1.0), (1.0, 0.7, 1.0), (0.6, 1.2, 1.3), (1.3, 0.8, 0.8))):
        yield Initiative(f"tenure-{at}", "model for some", bench.model(by_tenure))
    for weight in (-0.5, 0.3, 0.6, 1.0):
        yield Initiative(f"urgent{weight:+}", "boost", bench.production + np.float32(weight) * bench.urgent)
    for weight in (-0.3, 0.2, 0.5):
        yield Initiative(f"wage{weight:+}", "boost", bench.production + np.float32(weight) * bench.wage)
    for weight in (0.3, 0.8):
        yield Initiative(f"popular{weight:+}", "boost", bench.production + np.float32(weight) * bench.appeal)
    for at in range(4):
        yield Initiative(f"retrained-{at}", "neutral", bench.model(1.0, shared=0.995))
    yield Initiative("scaled", "neutral", bench.production * 3)
    yield Initiative("calibrated", "neutral", np.float32(50) * sigmoid(bench.production / np.float32(2)))
    yield Initiative("shaken", "worse model", bench.production + 0.6 * normal(bench.rng, *bench.truth.shape))


def _traps(bench: _Bench) -> Iterator[Initiative]:
    """What looks good in the raw order, or in clicks, and is not."""
    for at, (noise, strength) in enumerate(((1.0, 1.0), (1.05, 1.0), (1.15, 1.0), (1.25, 1.2), (1.4, 1.5))):
        imitation = 0.4 * bench.habit + 0.7 * bench.stays - 3.0 * bench.is_test - 4.0 * bench.applied
        yield Initiative(f"imitates-{at}", "trap", bench.model(noise, 0.95) + np.float32(strength) * imitation)
    for noise in (1.0, 1.2):
        yield Initiative(f"forgets-applied-{noise}", "trap", bench.model(noise) - 4.0 * bench.applied)
    for weight in (0.7, 1.4):
        yield Initiative(f"stays-open-{weight}", "trap", bench.production + np.float32(weight) * bench.stays)
    for weight in (0.5, 1.0):
        yield Initiative(f"bait-{weight}", "trap", bench.model(0.95) + np.float32(weight) * bench.bait)
    yield Initiative("echo", "trap", bench.production - np.float32(0.03) * bench.place.astype(np.float32))


def _rules(bench: _Bench) -> Iterator[Initiative]:
    changes: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("any-employment", "filter", {"employment": False}),
        ("any-job-type", "filter", {"job_type": False}),
        ("no-filters", "filter", {"employment": False, "job_type": False}),
        ("wage-1250", "filter", {"wage_from": 1_250}),
        ("wage-1350", "filter", {"wage_from": 1_350}),
        ("wage-1450", "filter", {"wage_from": 1_450}),
        ("forget-after-a-day", "filter", {"memory": 1}),
        ("cap-1", "cap", {"at_most": 1}),
        ("cap-3", "cap", {"at_most": 3}),
        ("cap-10", "cap", {"at_most": 10}),
        ("cap-job-type-3", "cap", {"cap_by": "job_type", "at_most": 3}),
        ("cap-job-type-6", "cap", {"cap_by": "job_type", "at_most": 6}),
    )
    for name, kind, change in changes:
        yield Initiative(name, kind, bench.production, Serving(**change))


def _candidates(bench: _Bench) -> Iterator[Initiative]:
    chance = bench.rng.random(bench.truth.shape)
    kept: dict[str, Callable[[], Bools]] = {
        "two-thirds": lambda: chance < 0.67,
        "nine-tenths": lambda: chance < 0.9,
        "best-40": lambda: bench.place < 40,
        "best-20": lambda: bench.place < 20,
        "steady-only": lambda: bench.urgent == 0,
        "urgent-only": lambda: bench.urgent == 1,
    }
    for name, chosen in kept.items():
        yield Initiative(f"candidates-{name}", "candidates", bench.fewer(chosen()))
