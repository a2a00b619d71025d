"""CF02 support-violation."""

from __future__ import annotations

from typing import ClassVar

from rankcast.rules.later import Counterfactual
from rankcast.rules.rule import Moment, Severity


class SupportViolation(Counterfactual):
    """The new policy shows what production never shows; no weight can say what would have come of it.

    Check: mean over requests of the new policy's probability of what production shows with probability 0. Remedy:
    bounds, a model for that part, or another policy. Source: Sachdeva, Su and Joachims, KDD 2020.
    """

    code: ClassVar[str] = "CF02"
    name: ClassVar[str] = "support-violation"
    moment: ClassVar[Moment] = "result"
    severity: ClassVar[Severity] = "error"
    at: ClassVar[tuple[str, ...]] = ("study",)
    good: ClassVar[str] = """
# data: production explores: every candidate has some probability
"""
    bad: ClassVar[str] = """
# data: a tenth of what the new policy shows has no chance under production
"""
