"""ON03 gate-selection-bias."""

from __future__ import annotations

from rankcast.rules.later import OfHistory


class GateSelectionBias(OfHistory):
    """Only offline winners go online, so the scatter shows a narrow range, and a good metric seems to have no relation.

    Check: no launched test had a negative offline difference, or the spread of all studies over that of the launched
    exceeds the threshold. Remedy: launch some that look neutral. Source: Thorndike, 1949.
    """

    code = "ON03"
    name = "gate-selection-bias"
    moment = "history"
    severity = "warning"
    at = ("study", "online")
    good = """
# history: tests on both sides of zero
"""
    bad = """
# history: winners only
"""
