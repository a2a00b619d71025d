"""ON02 noisy-axis-correlation."""

from __future__ import annotations

from rankcast.records import Finding
from rankcast.rules.online.linked import FEW, OfHistory, Past


class NoisyAxisCorrelation(OfHistory):
    """Both differences are noisy, so their correlation is smaller than that of the true effects, or larger where they share
    an error.

    Check: standard errors missing on an axis, or its reliability below the threshold while only Pearson's correlation
    is shown. Remedy: a correlation that allows for the noise. Source: Bibaut and others, KDD 2024; Tripuraneni and
    others, 2023.
    """

    code = "ON02"
    name = "noisy-axis-correlation"
    severity = "warning"
    at = ("service", "history")
    good = """
# service.yaml
history: {path: history}
# history: each test has a standard error
"""
    bad = """
# service.yaml
history: {path: history}
# history: differences without standard errors
"""

    def hold(self, past: Past) -> Finding:
        link = past.link
        if len(link.pairs) < FEW:
            return self.too_few(link)
        without = [
            f"{one.test} ({one.variant})" for one in link.pairs if one.offline_error is None or one.online_error is None
        ]
        if without:
            return self.fired(
                "warning",
                f"{len(without)} of {len(link.pairs)} pairs lack a standard error, so only the observed correlation can be shown",
                "add the standard errors of both differences; a run has the offline ones (`rankcast history add`)",
                count=len(without),
                of=len(link.pairs),
                examples=without,
            )
        if link.denoised is None:
            return self.cannot(
                "one of the two numbers does not vary over the past tests", "add tests whose outcomes differ"
            )
        offline, online = link.denoised.reliability_offline.median, link.denoised.reliability_online.median
        told = f"reliability {offline:.2f} offline and {online:.2f} online"
        if min(offline, online) >= self.limit(past.plan, "reliability"):
            return self.passed(told)
        return self.passed(
            f"{told}: the observed correlation {link.pearson.value or 0:+.2f} is not to be read alone; behind the noise it is "
            f"{link.denoised.correlation.median:+.2f}"
        )
