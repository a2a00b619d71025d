"""What may be said of a link or a forecast, in words."""

from __future__ import annotations

from rankcast.records.history import Link
from rankcast.text import p_value


def of_link(link: Link) -> str:
    """A sentence or two: how far the metric can be trusted, and what that hangs on."""
    n = len(link.pairs)
    pairs = f"{n} pair{'' if n == 1 else 's'}"
    if link.standing == "too few":
        return f"Nothing can be said: {pairs} of {link.offline} and {link.online}. A correlation of so few may be anything."
    if link.pearson.value is None:
        return f"Nothing can be said: over {pairs}, one of the two numbers does not vary."
    told = [_correlation(link, pairs), _looks(link)]
    if link.standing == "earned":
        told.append(f"{link.offline} has earned the right to decide.")
    else:
        told.append(f"{link.offline} is not proven: {_wanting(link)}.")
    return " ".join(one for one in told if one)


def _correlation(link: Link, pairs: str) -> str:
    sure = f"{link.confidence * 100:g} %"
    if link.denoised is None:
        seen = link.pearson
        bounds = "" if seen.low is None or seen.high is None else f" ({seen.low:+.2f} to {seen.high:+.2f}, {sure})"
        return f"Over {pairs}, {link.offline} and {link.online} correlate at {seen.value:+.2f}{bounds}, noise and all."
    behind = link.denoised
    median = behind.correlation.median
    drawn = "" if behind.allowed_low <= median <= behind.allowed_high else ", drawn in by its prior"
    return (
        f"Over {pairs}, the correlation behind the noise is {median:+.2f}{drawn}; the pairs rule out what lies outside "
        f"{behind.allowed_low:+.2f} to {behind.allowed_high:+.2f} ({sure})."
    )


def _looks(link: Link) -> str:
    if link.looks < 2 or link.p_adjusted is None:
        return ""
    return f"Corrected for having looked at {link.looks} links, p {p_value(link.p_adjusted)}."


def _wanting(link: Link) -> str:
    if link.tests < 8:
        return "fewer than 8 pairs" if link.tests == len(link.pairs) else f"{link.tests} tests, fewer than 8"
    low = link.pearson.low if link.denoised is None else link.denoised.allowed_low
    high = link.pearson.high if link.denoised is None else link.denoised.allowed_high
    if high is not None and high < 0:
        return "it points the other way: where it rises, the online metric falls"
    if low is None or low <= 0:
        return "a correlation of 0, or below, is not ruled out"
    if link.low_by_test is None or link.low_by_test <= 0:
        return f"with one pair for each of its {link.tests} tests, a correlation of 0, or below, is not ruled out"
    if link.driver is not None and link.driver.overturns:
        return f"without {link.driver.test} ({link.driver.variant}) a correlation of 0 would not be ruled out"
    return "among so many looks, chance would do as well"
