"""A rule: one anti-pattern, checked on every study. Never "passed" without evidence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from rankcast.config.plan import Plan
from rankcast.records import ComparisonRow, Effect, Fidelity, Finding, Suspect
from rankcast.rules.evidence import Difference, Evidence, Found
from rankcast.rules.thresholds import LEAST, Threshold, of

Moment = Literal["plan", "data", "result", "history"]
Severity = Literal["error", "warning"]
MOST_EXAMPLES = 5
WITH_STEP = "with a step"  # how suspects that are a missing step begin


class Rule:
    """Base of all rules. The docstring is the page: what goes wrong, then `Check:`, `Remedy:` and `Source:`.

    `moment`: what the check needs (the plan; the data and what was made of them; results; past online tests). `severity`: the
    most that a finding of it can be. `good` and `bad` are excerpts of service.yaml and study.yaml, as pages show them;
    `awaits` is what no run has yet.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    moment: ClassVar[Moment]
    severity: ClassVar[Severity] = "warning"
    since: ClassVar[str] = "0.1"
    at: ClassVar[tuple[str, ...]] = ("study",)
    good: ClassVar[str] = ""
    bad: ClassVar[str] = ""
    thresholds: ClassVar[Mapping[str, Threshold]] = {}
    waivable: ClassVar[bool] = True
    awaits: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "code" in cls.__dict__ and "thresholds" not in cls.__dict__:
            cls.thresholds = of(cls.code)

    def check(self, evidence: Evidence) -> Finding:
        """Hold the study against the rule."""
        if evidence.found is None:
            return self.cannot("the study was not run", "`rankcast run` it: this rule looks at what a run finds")
        return self.judge(evidence.plan, evidence.found)

    def judge(self, plan: Plan, found: Found) -> Finding:
        """Hold what a run found against the rule; rules of the moment `plan` answer in `check`."""
        raise NotImplementedError

    def limit(self, plan: Plan, name: str) -> float:
        """A threshold, as the service has it, or ours."""
        return plan.service.rules.get(self.code, {}).get(name, self.thresholds[name].value)

    # --- Verdicts ---

    def passed(self, evidence: str, count: int | None = None, of: int | None = None) -> Finding:
        """Held against evidence, and nothing found."""
        return self._finding("passed", self.severity, evidence, "", count=count, of=of)

    def cannot(self, missing: str, how: str) -> Finding:
        """What is missing, and how to provide it."""
        return self._finding("cannot check", self.severity, missing, how, **_place(self.at))

    def fired(
        self,
        severity: Severity,
        evidence: str,
        remedy: str,
        *,
        count: int | None = None,
        of: int | None = None,
        examples: Sequence[object] = (),
        effect: Effect | None = None,
        without: str = "without it",
        at: tuple[str, ...] | None = None,
    ) -> Finding:
        """Something was found. It is an error where the difference without the problem says the opposite."""
        if effect is not None and effect.overturns:
            severity = "error"
            evidence += (
                f"; {without} the difference of {effect.variant} changes sign: {effect.difference:+.4g} to "
                f"{effect.without:+.4g}"
            )
        shown = tuple(str(one)[:100] for one in examples[:MOST_EXAMPLES])
        if shown:
            evidence += f" (such as {', '.join(shown)})"
        found = self._finding("fired", severity, evidence, remedy, count=count, of=of, effect=effect)
        return found.model_copy(update={"examples": shown, **_place(at or self.at)})

    def _finding(self, status: str, severity: Severity, evidence: str, remedy: str, **more: Any) -> Finding:
        return Finding.model_validate(
            {
                "rule": self.code,
                "name": self.name,
                "severity": severity,
                "status": status,
                "evidence": singular(evidence),
                "remedy": remedy,
                "moment": self.moment,
                **more,
            }
        )


def _place(at: tuple[str, ...]) -> dict[str, str | None]:
    return {"file": at[0], "key": ".".join(at[1:]) or None}


_ONE = re.compile(r"(?<![\w.,@])1 ((?:relevant |logged )?[a-z]{3,}?)s\b")


_ONE_IS = re.compile(r"(?<![\w.,@])1 ((?:[a-z]+ )?[a-z]+) are\b")


def singular(text: str) -> str:
    """One thing is no plural.

    >>> singular("1 days of 21 days, 1 relevant items are, 0.1 requests, 1,001 users")
    '1 day of 21 days, 1 relevant item is, 0.1 requests, 1,001 users'
    """
    return _ONE_IS.sub(r"1 \1 is", _ONE.sub(r"1 \1", text))


def graver(share: float, error: float, base: int) -> Severity:
    """An error above a share, where it is a share of enough.

    >>> graver(0.3, 0.2, 1000), graver(0.3, 0.2, 50), graver(0.1, 0.2, 1000)
    ('error', 'warning', 'warning')
    """
    return "error" if share > error and base >= LEAST else "warning"


def gain_over_all(suspect: Suspect, fidelity: Fidelity) -> float:
    """About how much more overlap a suspected change brings over all requests: it is tried on some of those that differ."""
    explained = (suspect.overlap - suspect.before) / max(1 - suspect.before, 1e-9)
    return explained * (1 - (fidelity.overlap or 0.0))


def primary_rows(plan: Plan, found: Found, variants: Sequence[str]) -> list[ComparisonRow]:
    """The primary metric of some variants over all targets."""
    primary, rows = str(plan.metrics[0].metric), found.results.comparisons
    return [row for row in rows if row.metric == primary and row.segment is None and row.variant in variants]


def effect_of(found: Found, variant: str, again: Difference | None) -> Effect | None:
    """The primary difference of a variant beside what it is without a problem."""
    rows = found.results.comparisons
    whole = next(
        (row for row in rows if row.variant == variant and row.family == "primary" and row.segment is None), None
    )
    if whole is None or whole.difference is None or again is None:
        return None
    return Effect(
        variant=variant,
        metric=whole.metric,
        difference=whole.difference,
        without=again.value,
        low=again.low,
        high=again.high,
        requests=again.requests,
        overturns=whole.difference * again.value < 0 and again.sure,
    )


def strongest(effects: Sequence[Effect | None]) -> Effect | None:
    """The effect that overturns, or else the largest change."""
    known = [one for one in effects if one is not None and one.difference is not None and one.without is not None]
    return max(known, key=lambda one: (one.overturns, abs((one.without or 0) - (one.difference or 0))), default=None)


def decided_of(plan: Plan) -> list[str]:
    """The variants that are decided."""
    return [variant.name for variant in plan.variants if variant.decided and variant.name != plan.study.baseline]


def compared_of(plan: Plan) -> list[str]:
    """The variants that are decided; where none is, all that are held against the baseline."""
    return decided_of(plan) or [one.name for one in plan.variants if one.name != plan.study.baseline]


def judged_of(plan: Plan) -> set[str]:
    """The variants whose lists matter: the baseline and those that are decided."""
    return {*decided_of(plan), plan.study.baseline}
