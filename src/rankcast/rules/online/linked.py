"""What rules about past online tests have in common."""

from __future__ import annotations

from dataclasses import dataclass

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.records.history import History, Link
from rankcast.rules.evidence import Evidence
from rankcast.rules.rule import Rule

FEW = 5  # pairs below which a correlation says nothing


@dataclass(frozen=True)
class Past:
    """What there is to look at; `link`: of the primary metric and the online goal."""

    plan: Plan
    history: History
    link: Link


class OfHistory(Rule):
    """Rules about past online tests: each looks at the link of the primary metric and the online goal."""

    moment = "history"

    def check(self, evidence: Evidence) -> Finding:
        if evidence.history is None or not evidence.history.links:
            return self.cannot(
                "service.yaml names no `history:` of past online tests",
                "keep them with `rankcast history add`, and say `history: {path: history}` in service.yaml",
            )
        if len({link.group for link in evidence.history.links}) > 1:
            return self.cannot(
                "past tests are of several groups of users, and none of them is named",
                "say which speaks for studies: `history: {group: ...}`",
            )
        return self.hold(Past(evidence.plan, evidence.history, evidence.history.links[0]))

    def hold(self, past: Past) -> Finding:
        """Hold the link against the rule."""
        raise NotImplementedError

    def too_few(self, link: Link) -> Finding:
        """Where a correlation would say nothing."""
        return self.cannot(
            f"{len(link.pairs)} past tests pair {link.offline} with {link.online}",
            f"{FEW} at least; replay both arms of past online tests and add them with `rankcast history add`",
        )
