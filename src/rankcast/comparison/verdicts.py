"""Comparisons of every variant with the baseline: difference, interval, adjusted p, verdict; then the decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rankcast.comparison.estimates import Contrast, Estimator, clipped
from rankcast.comparison.table import Family, MetricColumn, Terms, ValuesTable
from rankcast.records import ComparisonRow, Finding, MetricRow, VariantDecision, Verdict
from rankcast.stats.adjust import benjamini_hochberg, holm, unadjusted
from rankcast.text import p_value, relative_interval, signed, signed_share

LEAST_USERS = 30  # a segment with fewer users gets no verdict
CORRECTIONS: dict[str, Callable[[Sequence[float]], list[float]]] = {
    "holm": holm,
    "benjamini_hochberg": benjamini_hochberg,
    "none": unadjusted,
}


def compare(table: ValuesTable, terms: Terms) -> tuple[tuple[MetricRow, ...], tuple[ComparisonRow, ...]]:
    """Every metric of every variant, and every variant against the baseline, over all targets and by segment."""
    estimator = Estimator(table, terms.seed)
    places = [(metric, part) for metric in table.metrics for part in range(len(table.parts))]
    values = [
        _metric_row(estimator, metric, part, variant, terms) for metric, part in places for variant in table.variants
    ]
    rows = [
        (metric, _comparison_row(estimator, metric, part, variant, terms))
        for metric, part in places
        for variant in table.variants
        if variant != table.baseline
    ]
    adjusted = _adjust([row for _, row in rows], terms)
    comparisons = [
        row.model_copy(update={"verdict": _verdict(row, metric, terms)})
        for (metric, _), row in zip(rows, adjusted, strict=True)
    ]
    return tuple(values), tuple(comparisons)


def decide(
    table: ValuesTable, comparisons: Sequence[ComparisonRow], invalid: str | None, findings: Sequence[Finding]
) -> dict[str, VariantDecision]:
    """A decision for every decided variant. `invalid` says why nothing may be concluded, if so."""
    errors = [finding for finding in findings if finding.status == "fired" and finding.severity == "error"]
    reason = invalid or (f"{errors[0].rule} {errors[0].name}: {errors[0].evidence}" if errors else None)
    decisions = {}
    for variant in table.variants:
        if variant in table.decided:
            mine = [row for row in comparisons if row.variant == variant and row.segment is None]
            decided = _decide(mine, {metric.name: metric.higher_is_better for metric in table.metrics})
            decisions[variant] = VariantDecision(decision="invalid", because=reason) if reason else decided
    return decisions


def _certain_harm(row: ComparisonRow, higher_is_better: Mapping[str, bool]) -> bool:
    """A difference without any variation has no p-value, so it cannot be `worse`; it may still be the end of a product."""
    if row.p is not None or not row.difference or row.low != row.high:
        return False
    return (row.difference < 0) == higher_is_better[row.metric]


def _decide(rows: Sequence[ComparisonRow], directions: Mapping[str, bool]) -> VariantDecision:
    primary = next(row for row in rows if row.family == "primary")
    worse = [row for row in rows if row.family == "guardrails" and row.verdict == "worse"]
    because = f"{primary.metric} is {primary.verdict}: {describe(primary)}"
    if all(row.n_requests == 0 for row in rows):
        return VariantDecision(decision="undecided", because="no target is left to judge by; the ledger says why")
    certain = [row for row in rows if row.family == "guardrails" and _certain_harm(row, directions)]
    if certain:
        because += "; " + "; ".join(
            f"guardrail {row.metric} changed by the same {row.difference:+.4g} for every user, which no test can weigh"
            for row in certain
        )
    if worse:
        harm = "; ".join(f"guardrail {row.metric} is worse: {describe(row)}" for row in worse)
        return VariantDecision(decision="no-go", because=f"{harm}; {because}")
    if primary.verdict == "better":
        return VariantDecision(decision="go", because=f"{because}; no guardrail is worse")
    if primary.verdict in {"worse", "equivalent"}:
        return VariantDecision(decision="no-go", because=because)
    if primary.minimum_detectable is not None:
        because += f"; a true difference of {primary.minimum_detectable:.4g} would have been found 4 times in 5"
    return VariantDecision(decision="undecided", because=because)


def describe(row: ComparisonRow) -> str:
    """A difference in words: relative where it can be, with interval and adjusted p.

    A number never travels alone.
    """
    if row.difference is None:
        return "not measurable"
    shown = signed_share(row.relative) if row.relative is not None else signed(row.difference)
    interval = "no interval" if row.low is None else f"interval {relative_interval(row)}"
    p = "" if row.p_adjusted is None else f", adjusted p {p_value(row.p_adjusted)}"
    return f"{shown} ({interval}{p}, {row.n_requests:,} requests of {row.n_users:,} users)"


def _metric_row(estimator: Estimator, metric: MetricColumn, part: int, variant: str, terms: Terms) -> MetricRow:
    estimate = estimator.value(metric, part, variant)
    low, high = estimate.interval(terms.confidence)
    if metric.values is None:
        low, high = clipped(estimate.value, low, high, metric.bounds)
    return MetricRow(
        variant=variant,
        metric=metric.name,
        segment=estimator.table.parts[part].segment,
        value=estimate.value,
        low=low,
        high=high,
        n_requests=estimate.n,
        n_users=estimate.clusters,
        method="clustered" if metric.values is not None else "bootstrap",
    )


def _comparison_row(estimator: Estimator, metric: MetricColumn, part: int, variant: str, terms: Terms) -> ComparisonRow:
    contrast = estimator.contrast(metric, part, variant)
    estimate = contrast.estimate
    low, high = estimate.interval(terms.confidence)
    segment = estimator.table.parts[part].segment
    declared = segment is None and variant in estimator.table.decided
    family: Family = metric.family if declared else "exploration"
    return ComparisonRow(
        variant=variant,
        baseline=estimator.table.baseline,
        metric=metric.name,
        segment=segment,
        difference=estimate.value,
        relative=_relative(contrast),
        baseline_value=contrast.baseline,
        low=low,
        high=high,
        p=estimate.p(),
        p_adjusted=None,
        family=family,
        minimum_detectable=estimate.minimum_detectable(terms.confidence),
        wins=contrast.wins,
        ties=contrast.ties,
        losses=contrast.losses,
        n_requests=estimate.n,
        n_users=estimate.clusters,
        verdict=None,
        method="clustered" if metric.values is not None else "bootstrap",
    )


def _relative(contrast: Contrast) -> float | None:
    if contrast.estimate.value is None or not contrast.baseline:
        return None
    return contrast.estimate.value / contrast.baseline


def _small(row: ComparisonRow) -> bool:
    return row.segment is not None and row.n_users < LEAST_USERS


def _adjust(rows: list[ComparisonRow], terms: Terms) -> list[ComparisonRow]:
    """Adjust within each family: the declared one as the study says, the others after Benjamini and Hochberg."""
    adjusted = list(rows)
    for family, correct in (
        ("primary", CORRECTIONS[terms.correction]),
        ("guardrails", benjamini_hochberg),
        ("exploration", benjamini_hochberg),
    ):
        members = [
            (at, row.p) for at, row in enumerate(rows) if row.family == family and row.p is not None and not _small(row)
        ]
        for (at, _), p in zip(members, correct([p for _, p in members]), strict=True):
            adjusted[at] = rows[at].model_copy(update={"p_adjusted": p})
    return adjusted


def _verdict(row: ComparisonRow, metric: MetricColumn, terms: Terms) -> Verdict | None:
    if _small(row):
        return None
    if row.difference is None or row.low is None or row.high is None:
        return "undecided"
    if row.p_adjusted is not None and row.p_adjusted < 1 - terms.confidence:
        return "better" if (row.difference > 0) == metric.higher_is_better else "worse"
    if terms.smallest_effect is not None and row.relative_bounds is not None:
        low, high = row.relative_bounds
        if -terms.smallest_effect <= low and high <= terms.smallest_effect:
            return "equivalent"
    return "undecided"
