"""ON02 noisy-axis-correlation."""

from __future__ import annotations

from typing import ClassVar

from rankcast.rules.later import OfHistory
from rankcast.rules.rule import Moment, Severity


class NoisyAxisCorrelation(OfHistory):
    """Both differences are noisy, so their correlation is smaller than that of the true effects, or larger where they share
    an error.

    Check: standard errors missing on an axis, or its reliability below the threshold while only Pearson's correlation
    is shown. Remedy: a correlation that allows for the noise. Source: Bibaut and others, KDD 2024; Tripuraneni and
    others, 2023.
    """

    code: ClassVar[str] = "ON02"
    name: ClassVar[str] = "noisy-axis-correlation"
    moment: ClassVar[Moment] = "history"
    severity: ClassVar[Severity] = "warning"
    at: ClassVar[tuple[str, ...]] = ("study", "online")
    good: ClassVar[str] = """
# history: each test has a standard error
"""
    bad: ClassVar[str] = """
# history: differences without standard errors
"""
