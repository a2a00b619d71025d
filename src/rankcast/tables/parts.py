"""Tables that are too wide to be held whole: a part at a time, all rows of some users."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from rankcast.tables.logs import Ints, Scores


@runtime_checkable
class ScoreParts(Protocol):
    """A score file, by part."""

    def read(self, part: int) -> Scores:
        """The rows of one part."""


class PoolParts(Protocol):
    """A candidates table, by part."""

    def read(self, part: int) -> tuple[Ints, Ints]:
        """(request, item) codes of one part, sorted by request."""
