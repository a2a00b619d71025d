"""CF05 ope-self-check-failed."""

from __future__ import annotations

from rankcast.rules.later import Counterfactual


class OpeSelfCheckFailed(Counterfactual):
    """An estimator that cannot reproduce what is known cannot be believed where nothing is known.

    Check: applied to production itself it must give production's mean; applied to the arms of a past online test,
    their values. Remedy: report nothing of a new policy until it does. Source: Gilotte and others, WSDM 2018.
    """

    code = "CF05"
    name = "ope-self-check-failed"
    moment = "result"
    severity = "error"
    at = ("study",)
    good = """
# data: the estimate of production is production's mean
"""
    bad = """
# data: it is off by five standard errors
"""
