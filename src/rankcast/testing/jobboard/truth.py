"""What is true, what an online test would show, and what a naive notebook would say.

The truth is about the requests of the period, on the home surface, by people, and takes the realised history as
given: what each user had applied to before each request is what really happened under production.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rankcast.testing.jobboard import clock
from rankcast.testing.jobboard.arrays import NONE, Doubles, Floats, Ints
from rankcast.testing.jobboard.behaviour import Events, attraction, clicks_expected, conversion
from rankcast.testing.jobboard.life import AS_ASSUMED, Nature, Past
from rankcast.testing.jobboard.models import Pools, Variant
from rankcast.testing.jobboard.serving import SERVED, fill_slates
from rankcast.testing.jobboard.traffic import Requests
from rankcast.testing.jobboard.world import World

GRADES: Ints = np.array([1, 2, 4])
"""Grade of a click, a bookmark and an application."""
HORIZON = 7 * clock.DAY


@dataclass(frozen=True)
class Latent:
    """Everything behind the tables that the service itself could never see."""

    world: World
    requests: Requests
    pools: Pools
    past: Past
    events: Events
    nature: Nature = AS_ASSUMED


@dataclass(frozen=True)
class OnlineTruth:
    """Expected clicks and applications per request if the variant ranked them all; relative to production."""

    variant: str
    requests: int
    clicks: float
    applications: float
    relative_clicks: float
    relative_applications: float


@dataclass(frozen=True)
class ABResult:
    """A simulated online test: applications per user, production in the control arm, 95 % interval of the change."""

    variant: str
    users: int
    control: float
    treatment: float
    difference: float
    standard_error: float
    low: float
    high: float
    relative: float
    p: float


def online(latent: Latent, name: str, slates: Ints) -> OnlineTruth:
    """Exact expectation under the click model if these slates (requests x 10) were shown: no draw, hence no error bar."""
    mine, theirs = _expected(latent, slates), _expected(latent, counted_slates(latent, "production"))
    return OnlineTruth(
        variant=name,
        requests=int(latent.requests.counted.sum()),
        clicks=mine[0],
        applications=mine[1],
        relative_clicks=mine[0] / theirs[0] - 1.0,
        relative_applications=mine[1] / theirs[1] - 1.0,
    )


def ab_test(latent: Latent, name: str, slates: Ints, seed: int) -> ABResult:
    """Split the users in two, show these slates to one arm and production's to the other, count applications by user."""
    rng = np.random.default_rng([seed, 2023])
    requests = np.flatnonzero(latent.requests.counted)
    treated = rng.random(latent.world.users.tenure.size) < 0.5
    arm = treated[latent.requests.user[requests]]
    slate = np.where(arm[:, None], slates[requests], counted_slates(latent, "production")[requests])
    chance = _chances(latent, latent.requests.user[requests], slate)[1]
    applications = (rng.random(chance.shape) < chance).sum(axis=1)
    users, user = np.unique(latent.requests.user[requests], return_inverse=True)
    per_user = np.bincount(user, weights=applications.astype(np.float64)).astype(np.float64)
    return _welch(name, per_user[~treated[users]], per_user[treated[users]])


def naive(latent: Latent, variant: Variant) -> float:
    """Mean nDCG@10 of the raw model order: no steps, a plain mean over the requests that have a label and scores.

    Everything else is as a careful evaluation would do it (same requests, same labels), so that what differs is the
    post-processing that a notebook leaves out.
    """
    request, post, grade = labels(latent)
    chosen = np.intersect1d(request, np.flatnonzero(latent.requests.counted & (latent.pools.of_request != NONE)))
    order = latent.pools.order(variant)[:, :SERVED]
    pool = latent.pools.of_request[chosen]
    ranked = np.take_along_axis(latent.pools.post[pool], order[pool], axis=1)
    value = _dcg(_grades_of(chosen, ranked, request, post, grade))
    ideal = _dcg(_best_grades(chosen, request, grade))
    return float((value / ideal).mean())


def labels(latent: Latent) -> tuple[Ints, Ints, Ints]:
    """Request, post and grade of every label, in that order.

    An event within a week belongs to its user's latest request at or before it; the highest grade counts.
    """
    events, requests = latent.events, latent.requests
    by_user = np.lexsort((np.arange(requests.user.size), requests.moment, requests.user))
    asked = _moment_of_user(requests.user, requests.moment)[by_user]
    found = np.searchsorted(asked, _moment_of_user(events.user, events.moment), side="right") - 1
    request = by_user[found]
    mine = (found >= 0) & (requests.user[request] == events.user)
    mine &= events.moment < requests.moment[request] + HORIZON
    key = _key(request[mine], events.post[mine])
    unique, inverse = np.unique(key, return_inverse=True)
    grade = np.zeros(unique.size, dtype=np.int64)
    np.maximum.at(grade, inverse, GRADES[events.kind[mine]])
    return unique // _BASE, unique % _BASE, grade


def counted_slates(latent: Latent, variant: Variant) -> Ints:
    """Slates (requests x 10) that the variant would have shown, empty for requests that do not count."""
    counted = np.flatnonzero(latent.requests.counted)
    order = latent.pools.order(variant)[latent.pools.of_request[counted]]
    ranked = np.take_along_axis(latent.past.candidates[counted], order, axis=1)
    keep = np.take_along_axis(latent.past.keep[counted], order, axis=1)
    slates = np.full((latent.requests.user.size, SERVED), NONE, dtype=np.int64)
    slates[counted] = fill_slates(latent.world.posts, ranked, keep)
    return slates


def _expected(latent: Latent, slates: Ints) -> tuple[float, float]:
    counted = np.flatnonzero(latent.requests.counted)
    clicks, applications = _chances(latent, latent.requests.user[counted], slates[counted])
    n = counted.size
    return float(clicks.sum(dtype=np.float64)) / n, float(applications.sum(dtype=np.float64)) / n


def _chances(latent: Latent, user: Ints, slate: Ints) -> tuple[Floats, Floats]:
    """Probability of a click and of an application, per place of every slate."""
    promised, kept = latent.world.promised(user[:, None], slate), latent.world.kept(user[:, None], slate)
    attracted = np.where(slate != NONE, attraction(promised), np.float32(0.0))
    click = clicks_expected(latent.nature.reading, attracted)
    return click, click * conversion(kept)


def _welch(
    variant: str,
    control: Doubles,
    treatment: Doubles,
) -> ABResult:
    """Difference of two means with unequal variances; the arms are large enough for the normal distribution."""
    difference = float(treatment.mean() - control.mean())
    error = math.sqrt(control.var(ddof=1) / control.size + treatment.var(ddof=1) / treatment.size)
    return ABResult(
        variant=variant,
        users=control.size + treatment.size,
        control=float(control.mean()),
        treatment=float(treatment.mean()),
        difference=difference,
        standard_error=error,
        low=difference - 1.959964 * error,
        high=difference + 1.959964 * error,
        relative=difference / float(control.mean()) if control.mean() > 0 else math.nan,
        p=math.erfc(abs(difference) / error / math.sqrt(2.0)) if error > 0 else math.nan,
    )


_BASE = 100_000
"""More than there are posts, so that a request and a post make one number."""


def _key(request: Ints, post: Ints) -> Ints:
    return request * _BASE + post


def _moment_of_user(user: Ints, moment: Ints) -> Ints:
    """One number that orders by user and then by time."""
    return user * 2**33 + moment


def _grades_of(chosen: Ints, ranked: Ints, request: Ints, post: Ints, grade: Ints) -> Ints:
    """Grade of every ranked post for its request, 0 where it has no label; labels are in order of request and post."""
    known = _key(request, post)
    wanted = _key(chosen[:, None], ranked)
    at = np.minimum(np.searchsorted(known, wanted), known.size - 1)
    return np.where(known[at] == wanted, grade[at], 0)


def _best_grades(chosen: Ints, request: Ints, grade: Ints) -> Ints:
    """The ten highest grades of every chosen request, best first."""
    order = np.lexsort((-grade, request))
    place = np.arange(order.size) - np.searchsorted(request[order], request[order], side="left")
    row = np.searchsorted(chosen, request[order])
    top = (place < SERVED) & np.isin(request[order], chosen)
    best = np.zeros((chosen.size, SERVED), dtype=np.int64)
    best[row[top], place[top]] = grade[order][top]
    return best


def _dcg(grades: Ints) -> Doubles:
    discount = 1.0 / np.log2(np.arange(2, SERVED + 2))
    total: Doubles = grades @ discount
    return total
