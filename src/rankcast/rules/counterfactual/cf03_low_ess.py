"""CF03 low-ess."""

from __future__ import annotations

from rankcast.rules.later import Counterfactual


class LowEss(Counterfactual):
    """A handful of requests with huge weights decide the estimate.

    Check: effective sample size (sum w)^2 / sum w^2 below the thresholds, or one weight above a twentieth of their
    sum. Remedy: an estimator that assumes more about behaviour, clipping with its curve, a doubly robust one. Source:
    Kong, 1992; Owen, 2013.
    """

    code = "CF03"
    name = "low-ess"
    moment = "result"
    severity = "error"
    at = ("study",)
    good = """
# data: policies that overlap
"""
    bad = """
# data: one request holds a tenth of all weight
"""
