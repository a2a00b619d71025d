"""CF01 propensity-unusable."""

from __future__ import annotations

from rankcast.rules.later import Counterfactual


class PropensityUnusable(Counterfactual):
    """Inverse propensities mean nothing where propensities were not logged, are no probabilities, or are all 1: a
    deterministic ranking never tries the other list.

    Check: propensities missing, outside (0, 1], not adding up to 1 in a slot, or 1 for nearly all impressions.
    Remedy: log the propensity when the list is served; serve a slice at random. Source: Bottou and others, JMLR 2013.
    """

    code = "CF01"
    name = "propensity-unusable"
    moment = "result"
    severity = "error"
    at = ("study",)
    good = """
# service.yaml
tables: {impressions: {path: data/impressions.parquet}}
# data: impressions have a propensity below 1, written when the list was served
"""
    bad = """
# service.yaml
tables: {impressions: {path: data/impressions.parquet}}
# data: every propensity is 1: the same list for everybody
"""
