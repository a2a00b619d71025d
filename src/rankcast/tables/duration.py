"""Durations as people write them: 30m, 24h, 7d, 4w."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rankcast.errors import show

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_FORM = re.compile(r"^([1-9][0-9]{0,6})([mhdw])$")


@dataclass(frozen=True)
class Duration:
    """A span of exact length (a day is 24 hours), in microseconds.

    >>> Duration.parse("7d").micros == 7 * 24 * 3600 * 10**6, str(Duration.parse("7d"))
    (True, '7d')
    """

    micros: int
    text: str

    @classmethod
    def parse(cls, text: object) -> Duration:
        """ValueError says what a duration looks like."""
        form = _FORM.match(text) if isinstance(text, str) else None
        if form is None:
            raise ValueError(f"expected a duration such as 30m, 24h, 7d or 4w, found {show(text)}")
        return cls(int(form[1]) * _UNITS[form[2]] * 1_000_000, str(text))

    def __str__(self) -> str:
        return self.text
