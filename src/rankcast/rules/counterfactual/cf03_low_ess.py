"""CF03 low-ess."""

from __future__ import annotations

from typing import ClassVar

from rankcast.rules.later import Counterfactual
from rankcast.rules.rule import Moment, Severity


class LowEss(Counterfactual):
    """A handful of requests with huge weights decide the estimate.

    Check: effective sample size (sum w)^2 / sum w^2 below the thresholds, or one weight above a twentieth of their
    sum. Remedy: an estimator that assumes more about behaviour, clipping with its curve, a doubly robust one. Source:
    Kong, 1992; Owen, 2013.
    """

    code: ClassVar[str] = "CF03"
    name: ClassVar[str] = "low-ess"
    moment: ClassVar[Moment] = "result"
    severity: ClassVar[Severity] = "error"
    at: ClassVar[tuple[str, ...]] = ("study",)
    good: ClassVar[str] = """
# data: policies that overlap
"""
    bad: ClassVar[str] = """
# data: one request holds a tenth of all weight
"""
