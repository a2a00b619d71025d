"""CM04 config-drift-beyond-treatment."""

from __future__ import annotations

from typing import Any

from rankcast.config.plan import PlannedVariant
from rankcast.records import Finding
from rankcast.rules.evidence import Evidence
from rankcast.rules.rule import Rule, decided_of


class ConfigDriftBeyondTreatment(Rule):
    """Two things changed, so nobody knows which of them made the difference.

    Check: a variant differs from the baseline in scores, candidates, steps or length of the list, and `treatment`
    does not name it (an error; own steps, candidates and lengths that are not named are refused before); or its model
    was trained on later data than the baseline's (a warning). Remedy: change one thing, or declare both. Source: the
    talk.
    """

    code = "CM04"
    name = "config-drift-beyond-treatment"
    moment = "plan"
    severity = "error"
    at = ("study", "variants")
    good = """
# study.yaml
treatment: [scores]
variants:
  production: {trained_until: 2023-09-29}
  two_tower: {trained_until: 2023-09-29}
"""
    bad = """
# study.yaml
treatment: [steps]            # but two_tower brings its own scores
"""

    def check(self, evidence: Evidence) -> Finding:
        plan = evidence.plan
        base = next(one for one in plan.variants if one.name == plan.study.baseline)
        mine = [one for one in plan.variants if one.name in decided_of(plan)]
        if not mine:
            return self.cannot(
                "there is no variant besides the baseline and references", "add the variant that the study is about"
            )
        said = {name: _scores(one) for name, one in ((one.name, one) for one in (base, *mine))}
        drifting = [
            one.name for one in mine if "scores" not in plan.study.treatment and said[one.name] != said[base.name]
        ]
        if drifting:
            return self.fired(
                "error",
                f"{', '.join(drifting)} has other scores than {base.name}, and the treatment is "
                f"{', '.join(plan.study.treatment)}",
                "give both the same scores, or say `treatment: [scores, ...]`",
                count=len(drifting),
                of=len(mine),
                at=("study", "variants", drifting[0]),
            )
        changed = {one.name: changes for one in mine for changes in [_changed(one, base, said)] if changes}
        until = base.spec.trained_until
        other = [
            one.name
            for one in mine
            if until is not None
            and one.spec.trained_until is not None
            and plan.instant(one.spec.trained_until) != plan.instant(until)
        ]
        if other:
            return self.fired(
                "warning",
                f"{', '.join(other)} was trained on data until another day than {base.name} ({until})",
                "train both on data until the same day: else the age of the data is part of the difference",
                count=len(other),
                of=len(mine),
                at=("study", "variants", other[0], "trained_until"),
            )
        told = (
            "; ".join(f"{name} changes {', '.join(changes)}" for name, changes in changed.items())
            or "no variant changes anything"
        )
        return self.passed(f"{told}; declared: {', '.join(plan.study.treatment)}", 0, len(mine))


def _scores(variant: PlannedVariant) -> dict[str, Any]:
    """Where a variant's scores come from, as the file says it."""
    return variant.spec.model_dump(
        mode="json", include={"scores", "builtin", "within", "python", "http", "mlflow"}, exclude_none=True
    )


def _changed(variant: PlannedVariant, base: PlannedVariant, said: dict[str, dict[str, Any]]) -> list[str]:
    steps = [(one.kind, one.argument) for one in variant.steps] != [(one.kind, one.argument) for one in base.steps]
    differs = {
        "scores": said[variant.name] != said[base.name],
        "candidates": variant.candidates != base.candidates,
        "steps": steps,
        "served": variant.served != base.served,
    }
    return [name for name, is_other in differs.items() if is_other]
