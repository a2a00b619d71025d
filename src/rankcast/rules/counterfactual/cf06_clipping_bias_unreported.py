"""CF06 clipping-bias-unreported."""

from __future__ import annotations

from rankcast.rules.later import Counterfactual


class ClippingBiasUnreported(Counterfactual):
    """Clipping weights trades variance for a bias that nobody sees.

    Check: share of the weights that is clipped, without a curve of the estimate over the limit. Remedy: show that
    curve; normalised clipping or a doubly robust estimator. Source: Bottou and others, JMLR 2013; Gilotte and others,
    WSDM 2018.
    """

    code = "CF06"
    name = "clipping-bias-unreported"
    moment = "result"
    severity = "error"
    at = ("study",)
    good = """
# data: the curve is flat around the limit
"""
    bad = """
# data: the sign of the difference depends on the limit
"""
