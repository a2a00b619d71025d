"""ON03 gate-selection-bias."""

from __future__ import annotations

from rankcast.records import Finding
from rankcast.rules.online.linked import FEW, OfHistory, Past


class GateSelectionBias(OfHistory):
    """Only offline winners go online, so the scatter shows a narrow range, and a good metric seems to have no relation.

    Check: no launched test had a negative offline difference, or the spread of all studies over that of the launched
    exceeds the threshold. Remedy: launch some that look neutral. Source: Thorndike, 1949.
    """

    code = "ON03"
    name = "gate-selection-bias"
    severity = "warning"
    at = ("service", "history")
    good = """
# service.yaml
history: {path: history}
# history: tests on both sides of zero
"""
    bad = """
# service.yaml
history: {path: history}
# history: winners only
"""

    def hold(self, past: Past) -> Finding:
        link = past.link
        if len(link.pairs) < FEW:
            return self.too_few(link)
        if "level" in (link.scale_offline, link.scale_online):
            return self.cannot("the past has levels, not differences", "name the `control:` they are held against")
        least, spread = min(one.offline for one in link.pairs), link.restriction
        ratio = None if spread is None else spread.ratio
        most = self.limit(past.plan, "ratio")
        remedy = "launch some that look neutral or worse: without them the link is seen through a gap"
        if least > 0:
            return self.fired(
                "warning",
                f"none of {len(link.pairs)} tests had an offline difference below 0 (the least is {least:+.4g})",
                remedy,
            )
        if ratio is not None and spread is not None and ratio > most:
            return self.fired(
                "warning",
                f"what was evaluated ({spread.evaluated}) spreads {ratio:.2f} times as wide as what was tested ({spread.tested})",
                remedy,
            )
        told = (
            "" if ratio is None else f", and what was evaluated spreads {ratio:.2f} times as wide as what went online"
        )
        return self.passed(f"tests lie on both sides of 0{told}")
