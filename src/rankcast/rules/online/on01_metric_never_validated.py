"""ON01 metric-never-validated."""

from __future__ import annotations

from rankcast.rules.later import OfHistory


class MetricNeverValidated(OfHistory):
    """The offline metric is trusted, and nobody ever held it against an online test.

    Check: past pairs of offline and online differences of this metric on this surface, fewer than the threshold.
    Remedy: replay both arms of past online tests; call the verdict unvalidated until then. Source: Goda (Wantedly),
    2023; Mogenet and others, RecSys 2019.
    """

    code = "ON01"
    name = "metric-never-validated"
    moment = "history"
    severity = "warning"
    at = ("study", "online")
    good = """
# study.yaml
online: {metric: applications_per_user}
# history: ten past tests with this metric
"""
    bad = """
# study.yaml
online: {metric: applications_per_user}
# history: none
"""
