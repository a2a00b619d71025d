"""ON05 pooled-period-correlation."""

from __future__ import annotations

from rankcast.rules.later import OfHistory


class PooledPeriodCorrelation(OfHistory):
    """Put together, three periods with three pipelines show a relation that none of them has, or hide one that each has
    (Simpson).

    Check: more than one version of the pipeline in one correlation, or a pooled correlation outside the interval of
    every period. Remedy: one correlation per period, partly pooled. Source: Goda, a talk on Wantedly's offline
    evaluation, 2023.
    """

    code = "ON05"
    name = "pooled-period-correlation"
    moment = "history"
    severity = "warning"
    at = ("study", "online")
    good = """
# history: one correlation for each version of the pipeline
"""
    bad = """
# history: all tests of four years in one
"""
