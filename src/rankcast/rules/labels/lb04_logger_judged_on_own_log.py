"""LB04 logger-judged-on-own-log."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule
from rankcast.rules.thresholds import FEW


class LoggerJudgedOnOwnLog(Rule):
    """The baseline wrote the log that judges it. Where every relevant item was shown by it, whatever another model would
    have shown instead cannot be relevant.

    Check: the replayed baseline reproduces the log (fidelity at its bar or above), and nearly all positives of the
    targets are items that their own list showed. Remedy: count what users did elsewhere too (search, e-mail) with
    `last_request` or `any_request`; show a slice of lists at random. Source: Jadidinejad, Macdonald and Ounis, TOIS
    2021; Gilotte and others, WSDM 2018.
    """

    code = "LB04"
    name = "logger-judged-on-own-log"
    moment = "data"
    severity = "warning"
    at = ("service", "labels")
    good = """
# service.yaml
labels: {attribute: last_request}
"""
    bad = """
# service.yaml
labels: {attribute: last_shown}
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        fidelity = found.results.fidelity
        if fidelity is None or fidelity.overlap is None or not len(found.positives.item):
            return self.cannot(
                "nobody can tell whether the labels come from lists of the baseline",
                "add `tables.impressions`, and look at the ledger",
            )
        count, size = int(found.positives.shown.sum()), len(found.positives.item)
        if size < FEW:
            return self.cannot(f"{size:,} relevant items are too few", "take a longer period")
        told = f"{count:,} of {size:,} relevant items ({count / size:.1%}) are items that the list itself showed"
        if fidelity.overlap < plan.study.fidelity.at_least:
            return self.cannot(
                f"{told}, but the replayed baseline is not who chose them (overlap {fidelity.overlap:.3f})",
                "see rule RP02",
            )
        if count <= self.limit(plan, "share") * size:
            return self.passed(told, count, size)
        return self.fired(
            "warning",
            f"{told}, which the baseline chose",
            "count what users did elsewhere too (`attribute: last_request` or `any_request`), or show a slice of lists at random",
            count=count,
            of=size,
            at=("service", "labels", "attribute"),
        )
