"""CF05 ope-self-check-failed."""

from __future__ import annotations

from typing import ClassVar

from rankcast.rules.later import Counterfactual
from rankcast.rules.rule import Moment, Severity


class OpeSelfCheckFailed(Counterfactual):
    """An estimator that cannot reproduce what is known cannot be believed where nothing is known.

    Check: applied to production itself it must give production's mean; applied to the arms of a past online test,
    their values. Remedy: report nothing of a new policy until it does. Source: Gilotte and others, WSDM 2018.
    """

    code: ClassVar[str] = "CF05"
    name: ClassVar[str] = "ope-self-check-failed"
    moment: ClassVar[Moment] = "result"
    severity: ClassVar[Severity] = "error"
    at: ClassVar[tuple[str, ...]] = ("study",)
    good: ClassVar[str] = """
# data: the estimate of production is production's mean
"""
    bad: ClassVar[str] = """
# data: it is off by five standard errors
"""
