"""How numbers are written, in reports and in the terminal alike."""

from __future__ import annotations

import re
from math import exp, expm1
from typing import Protocol

from rankcast.errors import clip
from rankcast.records import AverageRow, ComparisonRow, Segment
from rankcast.records.history import Scale

LONGEST = 120  # characters of an id, a title or a segment's value
_FORBIDDEN = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


def printable(text: str) -> str:
    """Text without the characters that no XML document may hold (control characters, non-characters)."""
    return _FORBIDDEN.sub("\ufffd", text)


def number(value: float | None, digits: int = 4) -> str:
    """A number, or a dash where nothing is measurable.

    >>> number(0.31234), number(None), number(12345)
    ('0.3123', '–', '12,345')
    """
    if value is None:
        return "–"
    if float(value).is_integer() and abs(value) >= 1:
        return f"{int(value):,}"
    return f"{value:.{digits}f}"


def share(value: float | None) -> str:
    """A share as a percentage.

    >>> share(0.0312)
    '3.1 %'
    """
    return "–" if value is None else f"{value * 100:.1f} %"


def signed_share(value: float | None) -> str:
    """A relative change.

    >>> signed_share(-0.0312)
    '−3.12 %'
    """
    if value is None:
        return "–"
    return "0 %" if value == 0 else f"{value * 100:+.2f} %".replace("-", "−")


def signed(value: float | None, digits: int = 4) -> str:
    """A difference."""
    return "–" if value is None else "0" if value == 0 else f"{value:+.{digits}f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """A p-value.

    >>> p_value(0.00001), p_value(0.25)
    ('< 0.001', '0.250')
    """
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def change(row: ComparisonRow | AverageRow) -> str:
    """A difference, relative to the baseline where it can be."""
    below = row.baseline_value is not None and row.baseline_value < 0  # a share of that would turn the sign
    return signed(row.difference) if row.relative is None or below else signed_share(row.relative)


class Bounded(Protocol):
    """A difference with its interval."""

    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def baseline_value(self) -> float | None: ...
    @property
    def shown_bounds(self) -> tuple[float, float] | None: ...


def relative_interval(row: Bounded) -> str:
    """The interval of a difference, relative to the baseline where it can be."""
    if row.shown_bounds is not None and (row.baseline_value or 0) > 0:
        low, high = row.shown_bounds
        return f"{signed_share(low)} to {signed_share(high)}"
    return "–" if row.low is None else f"{signed(row.low)} to {signed(row.high)}"


COMPARED = ("variant", "metric", "baseline", "difference", "interval", "p adjusted", "verdict")


def compared(row: ComparisonRow) -> tuple[str, ...]:
    """A difference as the cells of `COMPARED`."""
    numbers = (number(row.baseline_value), change(row), relative_interval(row), p_value(row.p_adjusted))
    return (row.variant, row.metric, *numbers, row.verdict or "too few users")


def average_interval(row: AverageRow) -> str:
    """The interval of a difference under an average, relative to the baseline where `change` is."""
    if row.low is None or row.high is None:
        return "–"
    if row.relative_low is None or row.relative_high is None or (row.baseline_value or 0) < 0:
        return f"{signed(row.low)} to {signed(row.high)}"
    return f"{signed_share(row.relative_low)} to {signed_share(row.relative_high)}"


def segment_name(segment: Segment | None) -> str:
    """A segment's value as text; null is said."""
    if segment is None:
        return "all"
    return "(null)" if segment.value is None else clip(str(segment.value), LONGEST)


def effect_error(value: float, error: float | None, scale: Scale) -> str:
    """The standard error beside an effect: of a log-ratio, as the relative change has it.

    >>> effect_error(0.0, 0.0123, "relative"), effect_error(0.5, 0.25, "absolute"), effect_error(0.5, None, "level")
    ('1.2%', '0.25', '–')
    """
    if error is None:
        return "–"
    return f"{exp(min(value, 700.0)) * error:.1%}" if scale == "relative" else f"{error:.2g}"


def effect(value: float | None, scale: Scale, digits: int = 1) -> str:
    """A number of past tests as people read it: log-ratios as relative changes.

    >>> effect(0.0198, "relative"), effect(-0.5, "absolute"), effect(0.25, "level"), effect(None, "level")
    ('+2.0%', '-0.5', '0.25', 'not known')
    """
    if value is None:
        return "not known"
    if scale == "relative":
        return f"{expm1(min(value, 700.0)):+.{digits}%}"
    return f"{value:+.4g}" if scale == "absolute" else f"{value:.4g}"
