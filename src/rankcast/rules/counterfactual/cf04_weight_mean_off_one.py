"""CF04 weight-mean-off-one."""

from __future__ import annotations

from rankcast.rules.later import Counterfactual


class WeightMeanOffOne(Counterfactual):
    """The mean of importance weights is 1. Where it is not, propensities or their join are wrong.

    Check: distance of the mean weight from 1 in its standard errors. Remedy: look at when propensities are written,
    and what is filtered after the draw. Source: Li, Chen, Kleban and Gupta, WWW 2015 companion; London and Joachims,
    2022.
    """

    code = "CF04"
    name = "weight-mean-off-one"
    moment = "result"
    severity = "error"
    at = ("study",)
    good = """
# data: propensities of the lists that were served
"""
    bad = """
# data: propensities from before the filters
"""
