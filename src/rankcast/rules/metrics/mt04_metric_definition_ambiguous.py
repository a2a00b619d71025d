"""MT04 metric-definition-ambiguous."""

from __future__ import annotations

import inspect

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule

_SHORTEST = 20  # characters of a docstring that says anything


class MetricDefinitionAmbiguous(Rule):
    """Libraries give one name to several formulas. A number whose formula is not fixed cannot be compared with anything, not
    even with itself a year later.

    Check: every metric prints back as one string, with a version, bounds and a page; a private metric
    (`package.module:Name`) without a docstring and a source that say what it computes is told. Remedy: write the
    formula, its range and its source into the metric's class. Source: Tamm, Damdinov and Vasilev, RecSys 2021: of
    eight libraries' metrics only precision agreed.
    """

    code = "MT04"
    name = "metric-definition-ambiguous"
    moment = "data"
    severity = "warning"
    at = ("study", "metrics")
    good = """
# study.yaml
metrics: {primary: dcg@10}
"""
    bad = """
# study.yaml
metrics: {primary: dcg@10, also: ["shop_metrics:Happiness"]}      # nobody can say what it computes
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        del found
        vague = [
            str(one.metric)
            for one in plan.metrics
            if ":" in one.metric.name and not (one.metric.source and _says_something(type(one.metric)))
        ]
        if vague:
            return self.fired(
                "warning",
                f"{', '.join(vague)}: no docstring with its formula, or no `source`",
                "say in the class what it computes, between which bounds, and by whom it is defined",
                count=len(vague),
                of=len(plan.metrics),
            )
        told = ", ".join(f"{one.metric} (version {one.metric.version})" for one in plan.metrics)
        return self.passed(f"every metric has one definition: {told}", 0, len(plan.metrics))


def _says_something(cls: type) -> bool:
    """Whether a class has a docstring of its own: a dataclass without one gets its signature."""
    text = inspect.cleandoc(cls.__doc__ or "")
    return len(text) >= _SHORTEST and not text.startswith(f"{cls.__name__}(")
