"""Rules whose evidence no run produces yet: they say so, and what is missing."""

from __future__ import annotations

from typing import ClassVar

from rankcast.records import Finding
from rankcast.rules.evidence import Evidence
from rankcast.rules.rule import Rule


class Awaiting(Rule):
    """A rule that waits for a part of Rankcast: its page teaches, its check says `cannot check`."""

    meanwhile: ClassVar[str]

    def check(self, evidence: Evidence) -> Finding:
        del evidence
        return self.cannot(self.awaits, self.meanwhile)


class Counterfactual(Awaiting):
    """Rules about estimates of what would have happened under another policy."""

    severity = "error"
    awaits = "this version makes no counterfactual estimates"
    meanwhile = "nothing in this study rests on them; keep logging the propensity of every impression"
