"""ON04 pair-misaligned."""

from __future__ import annotations

from typing import ClassVar

from rankcast.rules.later import OfHistory
from rankcast.rules.rule import Moment, Severity


class PairMisaligned(OfHistory):
    """The offline number and the online number describe two different things.

    Check: model, goal, population or version of the pipeline differ; the periods lie further apart than the
    threshold; the sample ratio of the online test is off. Remedy: run the study again for what was shipped; leave
    such tests out. Source: Fabijan and others, KDD 2019.
    """

    code: ClassVar[str] = "ON04"
    name: ClassVar[str] = "pair-misaligned"
    moment: ClassVar[Moment] = "history"
    severity: ClassVar[Severity] = "error"
    at: ClassVar[tuple[str, ...]] = ("study", "online")
    good: ClassVar[str] = """
# history: the run's model is the one that was shipped
"""
    bad: ClassVar[str] = """
# history: the shipped model was trained again, months later
"""
