"""A rule: one anti-pattern, checked on every study. Never "passed" without evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from rankcast import plugins
from rankcast.config.plan import Plan
from rankcast.records import Behaviour, Fidelity, Finding, VariantRow


@dataclass(frozen=True)
class Evidence:
    """What rules may look at. `first_request` is the instant of the first replayed request; None before a run."""

    plan: Plan
    first_request: int | None
    fidelity: Fidelity | None
    has_run: bool
    variants: tuple[VariantRow, ...] = ()
    behaviour: Behaviour | None = None


class Rule(Protocol):
    """A claim about a study, with the page that its docstring is."""

    code: ClassVar[str]
    name: ClassVar[str]
    moment: ClassVar[Literal["plan", "result"]]

    def check(self, evidence: Evidence) -> Finding:
        """Hold the study against the rule."""


def finding(rule: Rule, status: str, severity: str, evidence: str, remedy: str) -> Finding:
    """A finding of a rule."""
    return Finding.model_validate(
        {
            "rule": rule.code,
            "name": rule.name,
            "severity": severity,
            "status": status,
            "evidence": evidence,
            "remedy": remedy,
        }
    )


def check_all(evidence: Evidence) -> tuple[Finding, ...]:
    """Every registered rule whose moment has come, in order of code."""
    rules: list[Rule] = [plugins.load(plugins.RULES, code)() for code in plugins.names(plugins.RULES)]
    return tuple(rule.check(evidence) for rule in rules if rule.moment == "plan" or evidence.has_run)
