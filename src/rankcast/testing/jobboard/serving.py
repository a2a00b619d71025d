"""Production's post-processing: what stands between a score and the user's eye.

Written here on its own, without Rankcast, so that a replay by Rankcast can be held against it. The steps, in order:
job type filter, employment filter, open at the request's time, not applied to within a year, no test posts, at most
two posts per company, cut to ten.
"""

from __future__ import annotations

import numpy as np

from rankcast.testing.jobboard import clock
from rankcast.testing.jobboard.arrays import NONE, Bools, Ints
from rankcast.testing.jobboard.behaviour import LONGEST_LIST
from rankcast.testing.jobboard.models import Pools
from rankcast.testing.jobboard.traffic import Requests
from rankcast.testing.jobboard.world import Posts

SERVED = LONGEST_LIST
PER_COMPANY = 2
MEMORY = 365 * clock.DAY
PAUSES_FROM = 18 * clock.HOUR
PAUSING = 7
"""Where the service has a rule that nobody wrote down: every seventh company's budget for the day is used up at six."""


def candidates_of(pools: Pools) -> Ints:
    """Candidates of every request (requests x 80), NONE throughout for a request without scores."""
    post = pools.post[pools.of_request]
    post[pools.of_request == NONE] = NONE
    return post


def passes_filters(posts: Posts, requests: Requests, post: Ints, pauses: bool = False) -> Bools:
    """Which candidates survive every filter that does not depend on what the user did; `pauses`: the unwritten rule too."""
    keep = of_job_type(posts, requests, post) & of_employment(posts, requests, post)
    keep &= posts.is_open(post, requests.moment[:, None])
    keep &= ~posts.is_test[post]
    keep &= post != NONE
    if pauses:
        keep &= ~paused(posts, requests, post)
    return keep


def of_job_type(posts: Posts, requests: Requests, post: Ints) -> Bools:
    """Which candidates the user's filter of job types lets through."""
    wanted = requests.job_type[:, None]
    keep: Bools = (wanted == NONE) | (posts.job_type[post] == wanted)
    return keep


def of_employment(posts: Posts, requests: Requests, post: Ints) -> Bools:
    """Which candidates the user's filter of employments lets through."""
    filtered: Bools = np.any(requests.employment, axis=1, keepdims=True)
    keep: Bools = ~filtered | np.take_along_axis(requests.employment, posts.employment[post], axis=1)
    return keep


def paused(posts: Posts, requests: Requests, post: Ints) -> Bools:
    """Which candidates the unwritten rule takes out."""
    evening = (requests.moment % clock.DAY >= PAUSES_FROM)[:, None]
    out: Bools = evening & (posts.company[post] % PAUSING == PAUSING - 1)
    return out


def not_applied(applied_at: Ints, moment: Ints) -> Bools:
    """Which candidates the user has not applied to strictly before the moment, within the service's memory."""
    seen: Bools = (applied_at < moment[:, None]) & (applied_at >= moment[:, None] - MEMORY)
    return ~seen


def fill_slates(
    posts: Posts, ranked: Ints, keep: Bools, groups: Ints | None = None, at_most: int = PER_COMPANY
) -> Ints:
    """Slates (requests x 10, NONE where empty) from candidates best first and which of them survive the filters.

    Walks down the ranks for all requests at once. A post takes the next free place unless its company has two, which
    is the cap and the final cut in one pass. `groups`: of each post, where the cap is not by company.
    """
    groups = posts.company if groups is None else groups
    n = ranked.shape[0]
    slate = np.full((n, SERVED), NONE, dtype=np.int64)
    taken = np.full((n, SERVED), NONE, dtype=np.int64)
    length = np.zeros(n, dtype=np.int64)
    for rank in range(ranked.shape[1]):
        row = np.flatnonzero(keep[:, rank] & (length < SERVED))
        post = ranked[row, rank]
        owner = groups[post]
        fits = (taken[row] == owner[:, None]).sum(axis=1) < at_most
        row, post, owner = row[fits], post[fits], owner[fits]
        slate[row, length[row]] = post
        taken[row, length[row]] = owner
        length[row] += 1
    return slate
