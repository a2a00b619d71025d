"""A builtin variant: a trivial way of scoring candidates, as a reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from rankcast.tables.duration import Duration
from rankcast.tables.logs import Floats, Ints, Logs


@dataclass(frozen=True)
class Setting:
    """What a builtin may know besides the logs: which kinds of event have a grade, the service's zone, the seed."""

    graded: tuple[str, ...]
    timezone: str
    seed: int


class Builtin(Protocol):
    """Scores candidates; ties are ordered by item."""

    name: ClassVar[str]
    takes_within: ClassVar[bool]
    needs: ClassVar[frozenset[str]]
    only_shown: ClassVar[bool]  # knows nothing but what was shown: the impressions are its candidates

    def __init__(self, within: Duration | None) -> None: ...

    def values(self, request: Ints, item: Ints, logs: Logs, setting: Setting) -> Floats:
        """A score for each candidate (request code, item code); higher is better."""
