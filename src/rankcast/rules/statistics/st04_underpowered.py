"""ST04 underpowered."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, compared_of, primary_rows


class Underpowered(Rule):
    """A study that could not have found an effect of the size that matters finds nothing, and that is read as "no
    difference".

    Check: the difference that would have been found 4 times in 5 exceeds `smallest_effect` (for a variant that is
    undecided). It is told too where the verdict is `equivalent` although neither end of the interval was ruled out
    (p_equivalent above the level). Without `smallest_effect` nobody can tell. Remedy: a longer period, `method:
    bootstrap` or `cuped`, or "undecided". Source: Sakai, 2018.
    """

    code = "ST04"
    name = "underpowered"
    moment = "result"
    severity = "warning"
    at = ("study", "compare", "smallest_effect")
    good = """
# study.yaml
compare: {smallest_effect: 5%}      # what would change a launch, agreed before the run
"""
    bad = """
# study.yaml
compare: {smallest_effect: 1%}
# data: about fifty users
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        rows = primary_rows(plan, found, compared_of(plan))
        measured = [row for row in rows if row.minimum_detectable is not None and row.baseline_value]
        if not measured:
            return self.cannot(
                "there is no difference with an interval", "it takes a variant, targets and two users at least"
            )
        worst = max(measured, key=lambda row: abs((row.minimum_detectable or 0) / (row.baseline_value or 1)))
        found_at = abs((worst.minimum_detectable or 0) / (worst.baseline_value or 1))
        told = (
            f"{worst.variant}: a true difference of {found_at:.2%} would have been found 4 times in 5, with "
            f"{worst.n_users:,} users"
        )
        smallest = plan.study.compare.smallest_effect
        if smallest is None:
            return self.cannot(f"{told}; nobody says which difference matters", "say `compare: {smallest_effect: 1%}`")
        level = 1 - plan.study.compare.confidence
        claimed = [
            row
            for row in measured
            if row.verdict == "equivalent" and (row.p_equivalent is None or row.p_equivalent > level)
        ]
        if claimed:
            first = claimed[0]
            return self.fired(
                "warning",
                f"{first.variant} is called equivalent, but a difference of {smallest:.2%} is not ruled out (p "
                f"{first.p_equivalent or 1.0:.3f})",
                "say undecided, or take a longer period",
                at=("study", "compare"),
            )
        open_ones = [row for row in measured if row.verdict == "undecided"]
        if not open_ones:
            return self.passed(
                "every variant has a verdict: " + ", ".join(f"{row.variant} {row.verdict}" for row in measured)
            )
        if found_at <= smallest:
            return self.passed(f"{told}; {smallest:.2%} matters", worst.n_users)
        needed = next((row.users_needed for row in open_ones if row.users_needed), None)
        return self.fired(
            "warning",
            f"{told}, but {smallest:.2%} matters",
            "take a longer period" + (f": about {needed:,} users are needed" if needed else "") + ", or say undecided",
            count=worst.n_users,
            of=needed,
        )
