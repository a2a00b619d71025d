"""Instants: whatever a log holds becomes UTC with microseconds."""

from __future__ import annotations

import polars as pl

UTC = pl.Datetime("us", "UTC")
_LOCAL = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M")
_ZONED = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z", "%Y-%m-%d %H:%M%#z")
_PER_DAY = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
_FIRST_DAY, _LAST_DAY = -719_161, 2_932_895  # from 1970-01-01: 0001-01-02 and 9999-12-30, so that zones cannot leave it
_I64 = 2**63 - 1
_GAP = pl.duration(hours=3)  # longer than any clock change


def to_utc(values: pl.Series, timezone: str) -> pl.Series | None:
    """Time stamps in UTC; what cannot be read becomes null; None when the type holds no time at all.

    A date is its midnight, a time stamp without zone is a reading of the clock in `timezone`. Where a clock change repeats a
    reading the first one counts; a reading that it skips is taken with the offset before the change (PEP 495, fold=0).

    >>> to_utc(pl.Series(["2023-10-02", "2023-10-02T09:00:00Z", "x"]), "Asia/Tokyo").dt.to_string().to_list()
    ['2023-10-01 15:00:00.000000+00:00', '2023-10-02 09:00:00.000000+00:00', None]
    """
    if values.dtype == pl.String:
        return _parse(values, timezone)
    if values.dtype == pl.Date:
        return _localise(_within_calendar(values, 1).cast(pl.Datetime("us")), timezone)
    if isinstance(values.dtype, pl.Datetime):
        micros = _within_calendar(values, _PER_DAY[values.dtype.time_unit]).dt.cast_time_unit("us")
        return _localise(micros, timezone) if values.dtype.time_zone is None else micros.dt.convert_time_zone("UTC")
    if values.dtype == pl.Null:
        return values.cast(UTC)
    return None


def _within_calendar(values: pl.Series, per_day: int) -> pl.Series:
    """Values from the year 1 to 9999; what lies outside, as broken epochs do, becomes null."""
    physical = values.to_physical()
    first, last = max(_FIRST_DAY * per_day, -_I64), min(_LAST_DAY * per_day, _I64)
    inside = (physical >= first) & (physical <= last)
    return (
        pl.select(pl.when(inside.fill_null(value=True)).then(physical))
        .to_series()
        .cast(values.dtype)
        .alias(values.name)
    )


def _parse(values: pl.Series, timezone: str) -> pl.Series:
    text = values.str.strip_chars().str.replace(r"[zZ]$", "+00:00")
    zoned = pl.coalesce(
        *(pl.col("t").str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False) for form in _ZONED)
    )
    local = pl.coalesce(
        *(pl.col("t").str.to_datetime(form, time_unit="us", strict=False) for form in _LOCAL),
        pl.col("t").str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")),
    )
    frame = pl.DataFrame({"t": text}).select(zoned=zoned, local=local)
    return pl.select(pl.coalesce(frame["zoned"], _localise(frame["local"], timezone))).to_series()


def _localise(values: pl.Series, timezone: str) -> pl.Series:
    def at(reading: pl.Expr) -> pl.Expr:
        zoned = reading.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
        return zoned.dt.convert_time_zone("UTC")

    reading = pl.col("t")
    frame = pl.DataFrame({"t": values})
    return frame.select(pl.coalesce(at(reading), at(reading - _GAP) + _GAP)).to_series()
