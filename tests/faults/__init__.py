"""What is done to the clean study so that one rule fires, or cannot be checked: one `Fault` a rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clean import Case

Change = Callable[[Case], None]


@dataclass(frozen=True)
class Fault:
    """`inject` does to the data what the rule's `bad` excerpt says in words; `settle` the same for `good`.

    `hide` takes the evidence away; None where it cannot be missing, and `always` says why. `awaits`: no run has the evidence yet,
    so nothing can be injected.
    """

    inject: Change | None = None
    settle: Change | None = None
    hide: Change | None = None
    always: str = ""
    awaits: bool = False
