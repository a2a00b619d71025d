"""Requests: who asked for a list, when, on which surface and with which filters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from rankcast.testing.jobboard import clock
from rankcast.testing.jobboard.arrays import NONE, Bools, Ints, habit_or_any, shares
from rankcast.testing.jobboard.names import EMPLOYMENTS, JOB_TYPES, KEYWORDS
from rankcast.testing.jobboard.world import World, numbered

SEARCH_SHARE = 0.15
LOYALTY = 0.85
"""How often a filter that is set is the user's habitual one."""


@dataclass(frozen=True)
class Requests:
    """One entry per request, in order of time.

    `employment` has a column per kind: true where the filter names it. A row without any is no filter; the service
    logs it as null, or as an empty list where `opened_employment` says that the user looked at the filter.
    """

    user: Ints
    moment: Ints
    is_home: Bools
    is_bot: Bools
    job_type: Ints
    employment: Bools
    opened_employment: Bools
    keyword: Ints

    @property
    def ids(self) -> pl.Series:
        """Request ids, in order of time."""
        return numbered("req", self.user.size, 7)

    @property
    def counted(self) -> Bools:
        """Requests by which an online test on the home surface is judged: in the period, at home, by people."""
        inside: Bools = (self.moment >= clock.PERIOD_FROM) & (self.moment < clock.PERIOD_TO)
        return inside & self.is_home & ~self.is_bot

    def table(self, users: pl.Series) -> pl.DataFrame:
        """The table of requests as the service logs it."""
        return pl.DataFrame(
            {
                "request_id": self.ids,
                "user_id": users.gather(self.user),
                "requested_at": clock.naive_local(self.moment),
                "surface": pl.Series(("search", "home")).gather(self.is_home.astype(np.int64)),
                "is_bot": self.is_bot,
                "job_type": _names(JOB_TYPES, self.job_type),
                "employment": self._employment_lists(),
                "keyword": _names(KEYWORDS, self.keyword),
            }
        )

    def _employment_lists(self) -> pl.Series:
        kinds = [
            [EMPLOYMENTS[kind] for kind in np.flatnonzero(row)] if opened else None
            for row, opened in zip(self.employment, self.opened_employment, strict=True)
        ]
        return pl.Series(kinds, dtype=pl.List(pl.String))


def build_requests(rng: np.random.Generator, world: World, n: int) -> Requests:
    """Draw `n` requests: active users ask more often, most filters are habits, searches are more specific."""
    users = world.users
    moment = np.sort(clock.moments(rng, n, (clock.TRAFFIC_FROM, clock.PERIOD_TO)))
    user = rng.choice(users.activity.size, size=n, p=shares(users.activity.astype(np.float64)))
    is_home = rng.random(n) >= SEARCH_SHARE
    job_type = habit_or_any(rng, users.job_type[user], len(JOB_TYPES), LOYALTY)
    employment = _employment(rng, users.employment[user])
    rank = rng.choice(len(KEYWORDS), size=n, p=shares(1.0 / np.arange(1, len(KEYWORDS) + 1)))
    return Requests(
        user=user,
        moment=moment,
        is_home=is_home,
        is_bot=users.is_bot[user],
        job_type=np.where(rng.random(n) < np.where(is_home, 0.42, 0.62), job_type, NONE),
        employment=employment,
        opened_employment=employment.any(axis=1) | (rng.random(n) < 0.05),
        keyword=np.where(rng.random(n) < np.where(is_home, 0.25, 0.95), rank, NONE),
    )


def _employment(rng: np.random.Generator, habit: Ints) -> Bools:
    """A quarter of the requests filter by employment, and a third of these by two kinds."""
    n, kinds = habit.size, len(EMPLOYMENTS)
    chosen = np.zeros((n, kinds), dtype=np.bool_)
    row = np.arange(n)
    chosen[row, habit_or_any(rng, habit, kinds, LOYALTY)] = True
    second = row[rng.random(n) < 0.35]
    chosen[second, rng.integers(kinds, size=second.size)] = True
    chosen[rng.random(n) >= 0.25] = False
    return chosen


def _names(names: tuple[str, ...], index: Ints) -> pl.Series:
    """The name at each index, null where there is none."""
    return pl.Series((*names, None), dtype=pl.String).gather(np.where(index == NONE, len(names), index))
