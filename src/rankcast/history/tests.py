"""One online test, as the record has it, whatever it was written in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from math import log1p

from rankcast.stats.arms import MISMATCH


@dataclass(frozen=True)
class Bar:
    """What a test must hold against: most days between the offline period and the test, and the least p of its sample ratio."""

    days: float = 60
    p: float = MISMATCH


BAR = Bar()


@dataclass(frozen=True)
class Change:
    """An effect against the control with its standard error, as a difference and, where it is known, as a log-ratio.

    A level is no effect: a value of a variant that has no control.
    """

    difference: float | None = None
    error: float | None = None
    log_ratio: float | None = None
    error_log_ratio: float | None = None
    level: bool = False

    @staticmethod
    def of_relative(relative: float, error: float | None, difference: float | None = None) -> Change:
        """From a relative change, above -1: ln(1 + r), whose error is that of r over 1 + r; none where that is above 1.

        >>> Change.of_relative(0.0, 0.01).error_log_ratio
        0.01
        """
        if error is not None and error > 1.0 + relative:
            return Change(difference)
        return Change(difference, None, log1p(relative), None if error is None else error / (1.0 + relative))

    def negated(self) -> Change:
        """Of a metric of which less is better."""
        return Change(
            None if self.difference is None else -self.difference,
            self.error,
            None if self.log_ratio is None else -self.log_ratio,
            self.error_log_ratio,
            self.level,
        )


@dataclass(frozen=True)
class OnlineTest:
    """An online test and the offline numbers that preceded it. `offline`: variant -> metric; `online`: metric -> variant."""

    name: str
    offline: Mapping[str, Mapping[str, Change]]
    online: Mapping[str, Mapping[str, Change]]
    control: str | None = None
    study: str | None = None
    run: str | None = None
    start: str | None = None
    end: str | None = None
    offline_start: str | None = None
    offline_end: str | None = None
    era: str | None = None
    pipeline: str | None = None
    group: str | None = None
    launched: frozenset[str] | None = None
    sample_ratio_p: float | None = None
    unlike: tuple[str, ...] = ()
    excluded: str | None = None
    kinds: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    why: str | None = None
    notes: str | None = None
    place: str = ""

    @property
    def period(self) -> str | None:
        """The era that it belongs to: as it says, or its year."""
        return self.era or (None if self.start is None else self.start[:4])

    def misaligned(self, bar: Bar) -> tuple[str, ...]:
        """Why its two numbers may describe different things."""
        told = list(self.unlike)
        if self.sample_ratio_p is not None and self.sample_ratio_p < bar.p:
            told.append(f"users were not split as intended (sample ratio, p {self.sample_ratio_p:.2g})")
        days = self.days_apart
        if days is not None and days > bar.days:
            told.append(f"{days} days lie between the offline period and the online test")
        return tuple(told)

    @property
    def days_apart(self) -> int | None:
        """Days between the offline period and the online test; 0 where they overlap."""
        if None in (self.start, self.end, self.offline_start, self.offline_end):
            return None
        start, end, before, after = (
            date.fromisoformat(str(one)[:10]) for one in (self.start, self.end, self.offline_start, self.offline_end)
        )
        return max(0, (start - after).days, (before - end).days)
