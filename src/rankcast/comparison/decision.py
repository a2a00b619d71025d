"""The decision, with its arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rankcast.comparison.table import ValuesTable
from rankcast.records import AverageRow, ComparisonRow, Fidelity, Finding, LateRow, VariantDecision
from rankcast.text import change, p_value, relative_interval, share

FEW_EFFECTIVE, FEW_TOUCHED = 50.0, 40  # below, a plain interval may be too narrow (measured: docs/guide/statistics.md)
_CORRECTIONS = {"holm": "after Holm", "benjamini_hochberg": "after Benjamini and Hochberg", "none": "not adjusted"}


def decide(
    table: ValuesTable,
    comparisons: Sequence[ComparisonRow],
    invalid: str | None,
    findings: Sequence[Finding],
    correction: str = "holm",
    beside: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, VariantDecision]:
    """A decision for every decided variant. `invalid` says why nothing may be concluded, if so; `beside` what else belongs to the
    arithmetic of a variant.
    """
    errors = [finding for finding in findings if finding.status == "fired" and finding.severity == "error"]
    warnings = sum(finding.status == "fired" and finding.severity == "warning" for finding in findings)
    reason = invalid or (f"{errors[0].rule} {errors[0].name}: {errors[0].evidence}" if errors else None)
    directions = {metric.name: metric.higher_is_better for metric in table.metrics}
    tests = sum(row.family == "primary" and row.p is not None for row in comparisons)
    decisions = {}
    for variant in table.variants:
        if variant not in table.decided:
            continue
        if reason:
            decisions[variant] = VariantDecision(decision="invalid", because=reason)
            continue
        mine = [row for row in comparisons if row.variant == variant and row.segment is None]
        decided = _decide(mine, directions, f"{_CORRECTIONS[correction]} over {tests}")
        further = [*(beside or {}).get(variant, ())]
        if warnings:
            further.append(f"{warnings} warning{'s' if warnings > 1 else ''}")
        decisions[variant] = decided.model_copy(update={"because": "; ".join([decided.because, *further])})
    return decisions


def besides(
    table: ValuesTable,
    fidelity: Fidelity | None,
    weighed: Sequence[AverageRow],
    comparisons: Sequence[ComparisonRow],
    waiting: Sequence[LateRow] = (),
) -> dict[str, list[str]]:
    """What else belongs to the arithmetic of each decided variant: averages that say otherwise, few users, events that are
    still to come (`waiting`, where such requests are kept), fidelity.
    """
    told: dict[str, list[str]] = {}
    for variant in table.decided:
        primary = next((row for row in comparisons if row.variant == variant and row.family == "primary"), None)
        mine = told.setdefault(variant, [])
        mine += [
            f"AVERAGED BY {row.average} THE SIGN CHANGES: {change(row)}"
            for row in weighed
            if row.changes_sign and row.variant == variant and primary is not None and row.metric == primary.metric
        ]
        if primary is not None and few_users(primary):
            mine.append(
                f"FEW USERS CARRY THIS: {primary.users_touched:,} have a difference, and all {primary.n_users:,} are worth "
                f"{primary.effective_users or 0:.0f} of equal weight; the interval may be too narrow, "
                "`compare: {method: bootstrap}` allows for it"
            )
        mine += [_late(row) for row in waiting if row.requests]
        if fidelity is not None and fidelity.overlap is not None:
            mine.append(f"fidelity {fidelity.overlap:.2f}")
    return told


def _late(row: LateRow) -> str:
    told = "nobody can tell how many" if row.missing is None else f"about {share(row.share_missing)}"
    return f"{told} {row.event} events are still to come"


def few_users(row: ComparisonRow) -> bool:
    """Whether the plain interval is known to be too narrow: few users, few of equal weight, or few with a difference."""
    if row.effective_users is None or row.users_touched is None or row.method != "clustered" or not row.difference:
        return False
    return row.effective_users < FEW_EFFECTIVE or row.users_touched < FEW_TOUCHED


def describe(row: ComparisonRow, family: str = "") -> str:
    """A difference in words: relative where it can be, with interval and adjusted p. A number never travels alone."""
    if row.difference is None:
        return "not measurable"
    shown = change(row)
    interval = "no interval" if row.low is None else f"interval {relative_interval(row)}"
    p = "" if row.p_adjusted is None else f", p {p_value(row.p_adjusted)}{f' {family}' if family else ' adjusted'}"
    return f"{shown} ({interval}{p}, {row.n_requests:,} requests of {row.n_users:,} users)"


def _decide(rows: Sequence[ComparisonRow], directions: Mapping[str, bool], family: str) -> VariantDecision:
    primary = next(row for row in rows if row.family == "primary")
    because = f"{primary.metric} is {primary.verdict}: {describe(primary, family)}"
    if all(row.n_requests == 0 for row in rows):
        return VariantDecision(decision="undecided", because="no target is left to judge by; the ledger says why")
    guardrails = [row for row in rows if row.family == "guardrails"]
    for row in guardrails:
        if _certain_harm(row, directions):
            because += f"; guardrail {row.metric} changed by the same {row.difference:+.4g} for all users: no test can weigh that"
    harmed = [row for row in guardrails if row.verdict == "worse" and not row.noninferior]
    if harmed:
        harm = "; ".join(f"guardrail {row.metric} is worse: {describe(row)}" for row in harmed)
        return VariantDecision(decision="no-go", because=f"{harm}; {because}")
    because = "; ".join([because, *(_held(row) for row in guardrails if row.at_most_worse is not None)])
    if primary.verdict in {"worse", "equivalent"}:
        return VariantDecision(decision="no-go", because=because)
    open_ones = [row.metric for row in guardrails if row.at_most_worse is not None and not row.noninferior]
    if primary.verdict == "better" and not open_ones:
        return VariantDecision(decision="go", because=f"{because}; no guardrail is worse" if guardrails else because)
    if primary.verdict == "better":
        return VariantDecision(decision="undecided", because=because)
    return VariantDecision(decision="undecided", because=because + _power(primary))


def _held(row: ComparisonRow) -> str:
    """What a guardrail with a margin came to."""
    margin = share(row.at_most_worse)
    if row.noninferior:
        return f"guardrail {row.metric} {describe(row)} is within {margin}"
    return f"guardrail {row.metric} {describe(row)}: a loss of {margin} is not ruled out"


def _power(primary: ComparisonRow) -> str:
    """What such data could have found, and how many users it would take."""
    if not primary.minimum_detectable:
        return ""
    text = f"; a true difference of {primary.minimum_detectable:.4g} would have been found 4 times in 5"
    needed = primary.users_needed
    if needed is not None and needed > primary.n_users and primary.needed_for is not None and primary.baseline_value:
        wanted = share(abs(primary.needed_for / primary.baseline_value))
        text += f"; to find one of {wanted} it takes about {needed:,} users (here {primary.n_users:,})"
    return text


def _certain_harm(row: ComparisonRow, higher_is_better: Mapping[str, bool]) -> bool:
    """A difference without any variation has no p-value, so it cannot be `worse`; it may still be the end of a product."""
    if row.p is not None or not row.difference or row.low != row.high:
        return False
    return (row.difference < 0) == higher_is_better[row.metric]
