"""A builtin variant: a trivial way of scoring candidates, as a reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from rankcast.replay.lists import Lists, ordered
from rankcast.tables.duration import Duration
from rankcast.tables.logs import Floats, Ints, Logs


@dataclass(frozen=True)
class Setting:
    """What a scorer may know besides the logs: which kinds of event have a grade, the service's zone, the seed."""

    graded: tuple[str, ...]
    timezone: str
    seed: int


Pool = tuple[Ints, Ints]
"""Candidates as (position of the request, item code)."""


class Scorer(Protocol):
    """Whatever ranks candidates while a study runs."""

    def lists(self, requests: Ints, pool: Callable[[], Pool], logs: Logs, setting: Setting) -> Lists:
        """Ranked candidates for some requests (codes)."""


class Builtin(Scorer, Protocol):
    """What a builtin variant is."""

    name: ClassVar[str]
    takes_within: ClassVar[bool]
    needs: ClassVar[frozenset[str]]

    def __init__(self, within: Duration | None) -> None: ...


class Scoring:
    """A builtin that orders a pool by a score of its own; ties are ordered by item."""

    def values(self, request: Ints, item: Ints, logs: Logs, setting: Setting) -> Floats:
        """A score for each candidate (request code, item code); higher is better."""
        raise NotImplementedError

    def lists(self, requests: Ints, pool: Callable[[], Pool], logs: Logs, setting: Setting) -> Lists:
        """The pool, best first."""
        position, item = pool()
        return ordered(requests, position, item, self.values(requests[position], item, logs, setting))
