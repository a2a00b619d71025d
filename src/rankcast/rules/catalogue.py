"""The catalogue at work: every rule on one study, then what `allow` waives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import ClassVar

from rankcast import plugins
from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Evidence
from rankcast.rules.rule import Rule

STUDY, SERVICE = "study", "service"


def check_all(evidence: Evidence) -> tuple[Finding, ...]:
    """Every registered rule whose moment has come, in order of code; before a run, those that need only the plan."""
    rules: list[Rule] = [plugins.load(plugins.RULES, code)() for code in plugins.names(plugins.RULES)]
    due = [rule for rule in rules if rule.moment == "plan" or evidence.found is not None]
    checked = [rule.check(evidence) for rule in due if not isinstance(rule, OfWaivers)]
    about = [rule.of_waivers(evidence, checked) for rule in due if isinstance(rule, OfWaivers)]
    waived = [_waived(one, evidence) for one in checked]
    return tuple(_placed(one, evidence.plan) for one in sorted([*waived, *about], key=lambda one: one.rule))


class OfWaivers(Rule):
    """A rule about `allow` itself: it sees what all others found, and cannot be waived."""

    waivable: ClassVar[bool] = False

    def of_waivers(self, evidence: Evidence, findings: Sequence[Finding]) -> Finding:
        """Hold `allow` against what was found."""
        raise NotImplementedError


def holds(plan: Plan, code: str, today: date) -> bool:
    """Whether a waiver of a rule is still in force on a day."""
    waiver = plan.study.allow.get(code)
    return waiver is not None and today <= datetime.fromisoformat(waiver.until).date()


def _waived(one: Finding, evidence: Evidence) -> Finding:
    if one.status != "fired" or not holds(evidence.plan, one.rule, evidence.day):
        return one
    waiver = evidence.plan.study.allow[one.rule]
    return one.model_copy(update={"status": "waived", "waived": f"{waiver.reason} (until {waiver.until})"})


def _placed(one: Finding, plan: Plan) -> Finding:
    """A finding at its line: `file` and `key` are where the rule says that the study or the service speaks of it."""
    file = plan.service_file if one.file == SERVICE else plan.study_file
    return one.model_copy(update={"file": one.file or STUDY, "line": _line(plan, file, one.key or "")})


def _line(plan: Plan, file: str, key: str) -> int:
    """The line of a key, or of what it stands in; names may hold dots."""
    lines = {".".join(map(str, place)): line for place, line in plan.lines.get(file, {}).items()}
    while key not in lines and "." in key:
        key = key.rpartition(".")[0]
    return lines.get(key, 1)
