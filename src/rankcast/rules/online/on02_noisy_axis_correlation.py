"""ON02 noisy-axis-correlation."""

from __future__ import annotations

from rankcast.rules.later import OfHistory


class NoisyAxisCorrelation(OfHistory):
    """Both differences are noisy, so their correlation is smaller than that of the true effects, or larger where they share
    an error.

    Check: standard errors missing on an axis, or its reliability below the threshold while only Pearson's correlation
    is shown. Remedy: a correlation that allows for the noise. Source: Bibaut and others, KDD 2024; Tripuraneni and
    others, 2023.
    """

    code = "ON02"
    name = "noisy-axis-correlation"
    moment = "history"
    severity = "warning"
    at = ("study", "online")
    good = """
# history: each test has a standard error
"""
    bad = """
# history: differences without standard errors
"""
