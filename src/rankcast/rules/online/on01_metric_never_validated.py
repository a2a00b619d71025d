"""ON01 metric-never-validated."""

from __future__ import annotations

from rankcast.records import Finding
from rankcast.rules.online.linked import OfHistory, Past


class MetricNeverValidated(OfHistory):
    """The offline metric is trusted, and nobody ever held it against an online test.

    Check: past pairs of offline and online differences of this metric on this surface, fewer than the threshold.
    Remedy: replay both arms of past online tests; call the verdict unvalidated until then. Source: Goda (Wantedly),
    2023; Mogenet and others, RecSys 2019.
    """

    code = "ON01"
    name = "metric-never-validated"
    severity = "warning"
    at = ("service", "history")
    good = """
# service.yaml
history: {path: history}
# history: sixteen past tests with this metric
"""
    bad = """
# service.yaml
history: {path: history}
# history: three past tests with it
"""

    def hold(self, past: Past) -> Finding:
        link = past.link
        least, n = int(self.limit(past.plan, "pairs")), len(link.pairs)
        told = f"{n} past tests pair {link.offline} with {link.online}"
        if n >= least:
            return self.passed(f"{told}: {link.says}", count=n)
        return self.fired(
            "warning",
            f"{told}; at least {least} are wanted",
            "replay both arms of past online tests and add them (`rankcast history add`); until then the verdict is unvalidated",
            count=n,
            of=least,
            examples=[f"{one.test}: {one.why}" for one in link.left_out],
        )
