"""ON05 pooled-period-correlation."""

from __future__ import annotations

from typing import ClassVar

from rankcast.rules.later import OfHistory
from rankcast.rules.rule import Moment, Severity


class PooledPeriodCorrelation(OfHistory):
    """Put together, three periods with three pipelines show a relation that none of them has, or hide one that each has
    (Simpson).

    Check: more than one version of the pipeline in one correlation, or a pooled correlation outside the interval of
    every period. Remedy: one correlation per period, partly pooled. Source: Goda, a talk on Wantedly's offline
    evaluation, 2023.
    """

    code: ClassVar[str] = "ON05"
    name: ClassVar[str] = "pooled-period-correlation"
    moment: ClassVar[Moment] = "history"
    severity: ClassVar[Severity] = "warning"
    at: ClassVar[tuple[str, ...]] = ("study", "online")
    good: ClassVar[str] = """
# history: one correlation for each version of the pipeline
"""
    bad: ClassVar[str] = """
# history: all tests of four years in one
"""
