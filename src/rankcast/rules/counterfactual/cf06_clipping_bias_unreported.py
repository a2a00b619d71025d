"""CF06 clipping-bias-unreported."""

from __future__ import annotations

from typing import ClassVar

from rankcast.rules.later import Counterfactual
from rankcast.rules.rule import Moment, Severity


class ClippingBiasUnreported(Counterfactual):
    """Clipping weights trades variance for a bias that nobody sees.

    Check: share of the weights that is clipped, without a curve of the estimate over the limit. Remedy: show that
    curve; normalised clipping or a doubly robust estimator. Source: Bottou and others, JMLR 2013; Gilotte and others,
    WSDM 2018.
    """

    code: ClassVar[str] = "CF06"
    name: ClassVar[str] = "clipping-bias-unreported"
    moment: ClassVar[Moment] = "result"
    severity: ClassVar[Severity] = "error"
    at: ClassVar[tuple[str, ...]] = ("study",)
    good: ClassVar[str] = """
# data: the curve is flat around the limit
"""
    bad: ClassVar[str] = """
# data: the sign of the difference depends on the limit
"""
