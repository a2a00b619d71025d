"""RP02 replay-fidelity-low."""

from __future__ import annotations

from typing import ClassVar, Literal

from rankcast.records import Finding
from rankcast.rules.rule import Evidence, finding

WARN_BELOW = 0.9


class ReplayFidelityLow:
    """The replayed baseline does not match the lists that users were really shown, so a new model's replay shows lists that
    nobody would have seen either.

    Check: mean overlap of the baseline's slates with the impressions; an error below the study's `fidelity.at_least`, a
    warning below 0.9. Remedy: find the step, batch or time zone in which replay and production differ.
    """

    code: ClassVar[str] = "RP02"
    name: ClassVar[str] = "replay-fidelity-low"
    moment: ClassVar[Literal["plan", "result"]] = "result"

    def check(self, evidence: Evidence) -> Finding:
        fidelity, bar = evidence.fidelity, evidence.plan.study.fidelity.at_least
        if fidelity is None or fidelity.overlap is None:
            return finding(
                self,
                "cannot check",
                "error",
                "no replayed request has an impression",
                "add the lists that were really shown as `tables.impressions` (request_id, item_id, rank)",
            )
        shown = f"mean overlap {fidelity.overlap:.3f} over {fidelity.requests:,} requests, bar {bar:g}"
        if fidelity.overlap >= max(bar, WARN_BELOW):
            return finding(self, "passed", "error", shown, "")
        severity = "error" if fidelity.overlap < bar else "warning"
        remedy = "compare the steps, their order, the batches and the time zone with production's"
        if fidelity.suspects:
            first = fidelity.suspects[0]
            remedy += f"; the replay comes closer {first.what} ({first.before:.3f} to {first.overlap:.3f})"
        return finding(self, "fired", severity, shown, remedy)
