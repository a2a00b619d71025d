"""Companies, posts and users, and how much each user would truly like each post."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from rankcast.testing.jobboard import clock
from rankcast.testing.jobboard.arrays import Bools, Floats, Ints, normal, shares
from rankcast.testing.jobboard.names import COMPANIES, EMPLOYMENTS, HOSTILE_TITLE, JOB_TYPES, ROLES, TENURES

POSTS = 4_000
TASTES = 8
TENURE_SHARE = (0.35, 0.40, 0.25)
TEST_POSTS = 0.01
URGENT_POSTS = 0.6
URGENT_APPEAL = 0.5
BOT_USERS = 0.005


@dataclass(frozen=True)
class Posts:
    """One entry per post; `opens` and `closes` have two columns, the second for posts that were opened again.

    `appeal` is what everybody likes in a post. Urgent posts pay well, have more of it, and are filled within days: last
    night's ranking has them on top, and today they are gone.
    """

    company: Ints
    job_type: Ints
    employment: Ints
    wage: Ints
    is_test: Bools
    title: tuple[str, ...]
    appeal: Floats
    opens: Ints
    closes: Ints

    def is_open(self, post: Ints, moment: Ints) -> Bools:
        """Whether some interval holds the moment, `open <= moment < close`; elementwise after broadcasting."""
        inside: Bools = (self.opens[post, 0] <= moment) & (moment < self.closes[post, 0])
        again: Bools = (self.opens[post, 1] <= moment) & (moment < self.closes[post, 1])
        return inside | again

    @property
    def ids(self) -> pl.Series:
        """Post ids, padded with zeros so that the order of the texts is the order of the indexes."""
        return numbered("post", self.company.size, 5)

    def items(self) -> pl.DataFrame:
        """The table of posts as the service keeps it."""
        return pl.DataFrame(
            {
                "item_id": self.ids,
                "company_id": numbered("company", len(COMPANIES), 3).gather(self.company),
                "job_type": pl.Series(JOB_TYPES).gather(self.job_type),
                "employment": pl.Series(EMPLOYMENTS).gather(self.employment),
                "title": self.title,
                "wage": self.wage,
                "is_test": self.is_test,
            }
        )

    def availability(self) -> pl.DataFrame:
        """One row per interval in which a post is open; `close_at` is null where no end is planned."""
        post, interval = np.nonzero(self.opens < clock.NEVER)
        return pl.DataFrame(
            {
                "item_id": self.ids.gather(post),
                "open_at": clock.utc(self.opens[post, interval]),
                "close_at": clock.utc(self.closes[post, interval]),
            }
        )


@dataclass(frozen=True)
class Users:
    """One entry per user; the habits are the filters that the user sets most of the time."""

    tenure: Ints
    job_type: Ints
    employment: Ints
    activity: Floats
    is_bot: Bools

    @property
    def ids(self) -> pl.Series:
        """User ids."""
        return numbered("user", self.tenure.size, 5)

    def table(self) -> pl.DataFrame:
        """The table of users as the service keeps it."""
        return pl.DataFrame({"user_id": self.ids, "tenure": pl.Series(TENURES).gather(self.tenure)})


@dataclass(frozen=True)
class World:
    """Posts, users and the true utility of every post to every user (users x posts, about standard normal).

    `bait`: how much more of each post the list promises than it keeps. It is what is clicked on, and then not applied to.
    """

    posts: Posts
    users: Users
    utility: Floats
    bait: Floats

    def promised(self, user: Ints, post: Ints) -> Floats:
        """The utility that the list shows."""
        return self.utility[user, post] + self.bait[post]

    def kept(self, user: Ints, post: Ints) -> Floats:
        """The utility that is left after a click."""
        return self.utility[user, post] - self.bait[post]


def build_world(rng: np.random.Generator, users: int) -> World:
    """Draw the world: what is liked follows taste, a post's general appeal, and a mild leaning to one's habits."""
    flavour = normal(rng, len(COMPANIES), TASTES)
    posts = _posts(rng)
    people = _users(rng, users)
    vector = np.float32(0.8) * flavour[posts.company] + np.float32(0.6) * normal(rng, POSTS, TASTES)
    taste = normal(rng, users, TASTES) / np.float32(TASTES**0.5)
    utility = np.float32(0.75) * (taste @ vector.T)
    utility += posts.appeal
    utility += np.float32(0.45) * (people.job_type[:, None] == posts.job_type)
    utility += np.float32(0.30) * (people.employment[:, None] == posts.employment)
    return World(posts=posts, users=people, utility=utility, bait=np.zeros(POSTS, dtype=np.float32))


def numbered(name: str, n: int, digits: int) -> pl.Series:
    """Ids such as `post-00123`."""
    return pl.Series([f"{name}-{i:0{digits}d}" for i in range(n)], dtype=pl.String)


def _posts(rng: np.random.Generator) -> Posts:
    # A few large employers: otherwise the cap would have nothing to do.
    share = 1.0 / (10.0 + np.arange(len(COMPANIES), dtype=np.float64))
    company = rng.choice(len(COMPANIES), size=POSTS, p=shares(share))
    job_type = rng.integers(len(JOB_TYPES), size=POSTS)
    is_test = rng.random(POSTS) < TEST_POSTS
    urgent = rng.random(POSTS) < URGENT_POSTS
    opens, closes = _intervals(rng, urgent)
    title = _titles(rng, job_type, company)
    appeal = np.float32(0.45) * normal(rng, POSTS) + np.float32(URGENT_APPEAL) * urgent.astype(np.float32)
    hostile = np.argmax(np.where(_steady(opens, closes) & ~is_test, appeal, -np.inf))
    return Posts(
        company=company,
        job_type=job_type,
        employment=rng.choice(len(EMPLOYMENTS), size=POSTS, p=[0.45, 0.30, 0.15, 0.10]),
        wage=1_100 + 50 * rng.poisson(8.0 + 4.0 * urgent),
        is_test=is_test,
        title=tuple(HOSTILE_TITLE if i == hostile else text for i, text in enumerate(title)),
        appeal=appeal,
        opens=opens,
        closes=closes,
    )


def _intervals(rng: np.random.Generator, urgent: Bools) -> tuple[Ints, Ints]:
    """Opening and closing moments: urgent posts close within days, most within weeks, a few have no end planned."""
    first = rng.integers(clock.WORLD_FROM, clock.WORLD_TO, size=POSTS)
    days = np.where(urgent, rng.uniform(1.5, 6, POSTS), rng.uniform(10, 60, POSTS))
    closes = first + (days * clock.DAY).astype(np.int64)
    fate = rng.random(POSTS)
    again = np.where(fate < 0.08, closes + rng.integers(1, 10, size=POSTS) * clock.DAY, clock.NEVER)
    end = np.where(fate < 0.08, again + rng.integers(5, 30, size=POSTS) * clock.DAY, clock.NEVER)
    closes = np.where((fate > 0.93) & ~urgent, clock.NEVER, closes)
    return np.stack([first, again], axis=1), np.stack([closes, end], axis=1)


def _titles(rng: np.random.Generator, job_type: Ints, company: Ints) -> list[str]:
    pick = rng.integers(5, size=job_type.size)
    roles = [ROLES[JOB_TYPES[kind]][which] for kind, which in zip(job_type, pick, strict=True)]
    return [f"{role} at {COMPANIES[c]}" for role, c in zip(roles, company, strict=True)]


def _steady(opens: Ints, closes: Ints) -> Bools:
    """Posts that are open all through the period: the most liked of them is sure to be shown to somebody."""
    steady: Bools = (opens[:, 0] < clock.PERIOD_FROM) & (closes[:, 0] >= clock.PERIOD_TO)
    return steady


def _users(rng: np.random.Generator, n: int) -> Users:
    tenure = rng.choice(len(TENURES), size=n, p=TENURE_SHARE)
    is_bot = rng.random(n) < BOT_USERS
    is_bot[0] = True  # so that small worlds have one as well
    activity = rng.gamma(1.2, size=n) * np.array([0.8, 1.0, 1.3])[tenure]
    return Users(
        tenure=tenure,
        job_type=rng.integers(len(JOB_TYPES), size=n),
        employment=rng.choice(len(EMPLOYMENTS), size=n, p=[0.45, 0.30, 0.15, 0.10]),
        activity=np.where(is_bot, 2.0, activity).astype(np.float32),
        is_bot=is_bot,
    )
