"""ON03 gate-selection-bias."""

from __future__ import annotations

from typing import ClassVar

from rankcast.rules.later import OfHistory
from rankcast.rules.rule import Moment, Severity


class GateSelectionBias(OfHistory):
    """Only offline winners go online, so the scatter shows a narrow range, and a good metric seems to have no relation.

    Check: no launched test had a negative offline difference, or the spread of all studies over that of the launched
    exceeds the threshold. Remedy: launch some that look neutral. Source: Thorndike, 1949.
    """

    code: ClassVar[str] = "ON03"
    name: ClassVar[str] = "gate-selection-bias"
    moment: ClassVar[Moment] = "history"
    severity: ClassVar[Severity] = "warning"
    at: ClassVar[tuple[str, ...]] = ("study", "online")
    good: ClassVar[str] = """
# history: tests on both sides of zero
"""
    bad: ClassVar[str] = """
# history: winners only
"""
