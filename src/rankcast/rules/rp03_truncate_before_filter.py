"""RP03 truncate-before-filter."""

from __future__ import annotations

from typing import ClassVar, Literal

from rankcast.records import Finding
from rankcast.rules.rule import Evidence, finding

MOST = 0.01


class TruncateBeforeFilter:
    """A list that was cut to the top N before production's filters comes out short, although more candidates were known:
    the variant is judged on lists that nobody would have been shown.

    Check: share of requests whose list a step left shorter than `served`, although the baseline's list or the logged one is
    longer, over 1 %. Remedy: score more candidates than are served; filter first, cut last.
    """

    code: ClassVar[str] = "RP03"
    name: ClassVar[str] = "truncate-before-filter"
    moment: ClassVar[Literal["plan", "result"]] = "result"

    def check(self, evidence: Evidence) -> Finding:
        rows = [row for row in evidence.variants if row.requests]
        if not rows:
            return finding(self, "cannot check", "warning", "nothing was replayed", "run the study")
        cut = [row for row in rows if row.cut_short > MOST * row.requests]
        if not cut:
            return finding(self, "passed", "warning", f"at most {MOST:.0%} of any variant's lists are cut short", "")
        shown = ", ".join(f"{row.variant}: {row.cut_short:,} of {row.requests:,} lists" for row in cut)
        return finding(
            self,
            "fired",
            "warning",
            f"shorter than the baseline's or the logged list after steps took items away: {shown}",
            "score more candidates than are served; filter first, cut last",
        )
