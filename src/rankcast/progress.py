"""What a long job says while it works. The library is silent; the command line shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Progress:
    """A listener that ignores everything; override to show it."""

    def note(self, stage: str, text: str) -> None:
        """A stage has something to tell: counts, mostly."""

    def track(self, stage: str, items: Iterable[Item], total: int) -> Iterator[Item]:
        """Pass items through; each one that is done is progress."""
        del stage, total
        yield from items
