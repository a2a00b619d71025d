"""CF02 support-violation."""

from __future__ import annotations

from rankcast.rules.later import Counterfactual


class SupportViolation(Counterfactual):
    """The new policy shows what production never shows; no weight can say what would have come of it.

    Check: mean over requests of the new policy's probability of what production shows with probability 0. Remedy:
    bounds, a model for that part, or another policy. Source: Sachdeva, Su and Joachims, KDD 2020.
    """

    code = "CF02"
    name = "support-violation"
    moment = "result"
    severity = "error"
    at = ("study",)
    good = """
# data: production explores: every candidate has some probability
"""
    bad = """
# data: a tenth of what the new policy shows has no chance under production
"""
