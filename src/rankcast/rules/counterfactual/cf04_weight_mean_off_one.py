"""CF04 weight-mean-off-one."""

from __future__ import annotations

from typing import ClassVar

from rankcast.rules.later import Counterfactual
from rankcast.rules.rule import Moment, Severity


class WeightMeanOffOne(Counterfactual):
    """The mean of importance weights is 1. Where it is not, propensities or their join are wrong.

    Check: distance of the mean weight from 1 in its standard errors. Remedy: look at when propensities are written,
    and what is filtered after the draw. Source: Li, Chen, Kleban and Gupta, WWW 2015 companion; London and Joachims,
    2022.
    """

    code: ClassVar[str] = "CF04"
    name: ClassVar[str] = "weight-mean-off-one"
    moment: ClassVar[Moment] = "result"
    severity: ClassVar[Severity] = "error"
    at: ClassVar[tuple[str, ...]] = ("study",)
    good: ClassVar[str] = """
# data: propensities of the lists that were served
"""
    bad: ClassVar[str] = """
# data: propensities from before the filters
"""
