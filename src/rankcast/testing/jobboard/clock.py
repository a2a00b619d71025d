"""The calendar of the simulation: whole seconds on the service's local wall clock.

Inside the simulation a moment is the number of seconds since 1970 that a local clock would show. Only at the border
does it become a naive local time (requests and events, as many services log them) or UTC (scores, availability).
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rankcast.testing.jobboard.arrays import Ints, shares

TIMEZONE = "Asia/Tokyo"
DAY = 86_400
HOUR = 3_600
NEVER = 2**40
"""Later than every moment of the simulation; becomes null at the border."""


def local(day: str) -> int:
    """The moment of an ISO date or date-time on the local clock."""
    return int(np.datetime64(day, "s").astype(np.int64))


WORLD_FROM, WORLD_TO = local("2023-07-15"), local("2023-11-05")
HISTORY_FROM = local("2023-08-20")
TRAFFIC_FROM = local("2023-09-29")
PERIOD_FROM, PERIOD_TO = local("2023-10-02"), local("2023-10-16")
EVENTS_TO = local("2023-10-26")
"""Users are watched ten days longer than the period, so that a horizon of a week has passed for every request."""

BATCHES: Ints = np.arange(local("2023-09-29T03:00"), PERIOD_TO, 3 * DAY, dtype=np.int64)
"""When the models score all users: every third night at three."""

_BY_HOUR = np.array([2, 1, 1, 1, 1, 2, 4, 7, 8, 6, 5, 5, 8, 7, 5, 5, 5, 6, 8, 9, 10, 11, 9, 5], dtype=np.float64)
_BY_WEEKDAY = np.array([1.1, 1.1, 1.0, 1.0, 0.9, 0.8, 0.9])
_MONDAY = local("2023-10-02") // DAY


def moments(rng: np.random.Generator, n: int, span: tuple[int, int]) -> Ints:
    """`n` random moments of the days in `span`, busy at lunch and in the evening, a little quieter at weekends."""
    days = np.arange(span[0] // DAY, span[1] // DAY)
    weight = _BY_WEEKDAY[(days - _MONDAY) % 7]
    day = rng.choice(days, size=n, p=shares(weight))
    hour = rng.choice(24, size=n, p=shares(_BY_HOUR))
    result: Ints = day * DAY + hour * HOUR + rng.integers(HOUR, size=n)
    return result


def naive_local(moment: Ints) -> pl.Series:
    """Moments as datetimes without a zone, as the service logs them."""
    known = pl.Series(moment * 1_000_000).cast(pl.Datetime("us"))
    if not (moment >= NEVER).any():
        return known
    return pl.select(pl.when(pl.Series(moment < NEVER)).then(known)).to_series()


def utc(moment: Ints) -> pl.Series:
    """Moments as zone-aware instants in UTC."""
    return naive_local(moment).dt.replace_time_zone(TIMEZONE).dt.convert_time_zone("UTC")
