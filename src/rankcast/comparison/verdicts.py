"""Comparisons of every variant with the baseline: difference, interval, adjusted p, verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil, sqrt
from typing import NamedTuple

from rankcast.comparison.estimates import Estimator
from rankcast.comparison.measured import TIE, Contrast, Sure, clipped
from rankcast.comparison.table import Family, MetricColumn, Terms, ValuesTable
from rankcast.records import ComparisonRow, MetricRow, Verdict
from rankcast.stats.adjust import benjamini_hochberg, holm, unadjusted
from rankcast.stats.clustered import Estimate

MOST_USERS = 10**12  # where more were needed, none would do
CORRECTIONS: dict[str, Callable[[Sequence[float]], list[float]]] = {
    "holm": holm,
    "benjamini_hochberg": benjamini_hochberg,
    "none": unadjusted,
}


class Compared(NamedTuple):
    """Every metric of every variant, and every variant against the baseline, over all targets and by segment."""

    metrics: tuple[MetricRow, ...]
    comparisons: tuple[ComparisonRow, ...]


Judged = tuple[MetricColumn, ComparisonRow]
"""A difference and its metric."""


def compare(table: ValuesTable, terms: Terms, estimator: Estimator | None = None) -> Compared:
    """Estimates, intervals, adjusted p-values and verdicts."""
    estimator = estimator or Estimator(table, terms)
    values: list[MetricRow] = []
    rows: list[Judged] = []
    for metric in table.metrics:
        found = {variant: estimator.values(metric, variant) for variant in table.variants}
        values += [
            _metric_row(estimator, metric, part, variant, found[variant][part])
            for part in range(len(table.parts))
            for variant in table.variants
        ]
        rows += differences(estimator, metric)
    return Compared(tuple(values), with_verdicts(rows, terms))


def differences(estimator: Estimator, metric: MetricColumn) -> list[Judged]:
    """Every variant against the baseline in every part, without what depends on all rows together."""
    table = estimator.table
    others = [variant for variant in table.variants if variant != table.baseline]
    contrasts = {variant: estimator.contrasts(metric, variant) for variant in others}
    return [
        (metric, _comparison_row(estimator, metric, part, variant, contrasts[variant][part]))
        for part in range(len(table.parts))
        for variant in others
    ]


def with_verdicts(rows: Sequence[Judged], terms: Terms) -> tuple[ComparisonRow, ...]:
    """With p adjusted within each family, and the verdict that follows."""
    adjusted = _adjust([row for _, row in rows], terms)
    return tuple(
        row.model_copy(update={"verdict": _verdict(row, metric, terms)})
        for (metric, _), row in zip(rows, adjusted, strict=True)
    )


def _metric_row(estimator: Estimator, metric: MetricColumn, part: int, variant: str, sure: Sure) -> MetricRow:
    estimate, low, high = sure.estimate, sure.low, sure.high
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
        method=estimator.terms.method if metric.values is not None else "bootstrap",
    )


def _comparison_row(
    estimator: Estimator, metric: MetricColumn, part: int, variant: str, contrast: Contrast
) -> ComparisonRow:
    sure, terms = contrast.sure, estimator.terms
    estimate, base = sure.estimate, contrast.baseline
    segment = estimator.table.parts[part].segment
    declared = segment is None and variant in estimator.table.decided
    family: Family = metric.family if declared else "exploration"
    margin = metric.at_most_worse if family == "guardrails" else None
    worse = noninferior_p(contrast, margin, metric.higher_is_better)
    least = estimate.minimum_detectable(terms.confidence)
    goal = _goal(estimate, base, terms)
    bounds = contrast.relative_bounds(terms.confidence)
    return ComparisonRow(
        variant=variant,
        baseline=estimator.table.baseline,
        metric=metric.name,
        segment=segment,
        difference=estimate.value,
        relative=contrast.relative,
        baseline_value=base,
        low=sure.low,
        high=sure.high,
        p=sure.p,
        p_adjusted=None,
        family=family,
        minimum_detectable=least,
        wins=contrast.wins,
        ties=contrast.ties,
        losses=contrast.losses,
        n_requests=estimate.n,
        n_users=estimate.clusters,
        verdict=None,
        method=terms.method if metric.values is not None else "bootstrap",
        relative_low=None if bounds is None else bounds[0],
        relative_high=None if bounds is None else bounds[1],
        degrees_of_freedom=contrast.satterthwaite,
        effective_users=contrast.effective,
        users_touched=contrast.touched,
        at_most_worse=margin,
        p_noninferior=worse,
        noninferior=None
        if worse is None
        else ruled_out(contrast, margin, metric.higher_is_better, worse, terms.confidence),
        p_equivalent=equivalent_p(contrast, terms.smallest_effect),
        users_needed=None if least is None or goal is None else _users(estimate.clusters, least, goal),
        needed_for=goal,
    )


def noninferior_p(contrast: Contrast, margin: float | None, higher_is_better: bool) -> float | None:
    """One-sided p of a relative loss of at least `margin`. A difference that is the same for all and no loss leaves no doubt."""
    if margin is None:
        return None
    estimate = contrast.sure.estimate
    if estimate.constant and (estimate.value or 0.0) * (1 if higher_is_better else -1) >= 0:
        return None if estimate.value is None else 0.0
    return _p_beyond(contrast, -margin) if higher_is_better else _p_below(contrast, margin)


def ruled_out(contrast: Contrast, margin: float | None, higher_is_better: bool, p: float, confidence: float) -> bool:
    """Whether a loss of `margin` is ruled out: by its p, or where resampling says how far an interval reaches, by that."""
    if contrast.reach is None or margin is None or contrast.sure.estimate.constant:
        return p < (1 - confidence) / 2
    shifted = _shifted(contrast, -margin if higher_is_better else margin)
    if shifted is None or shifted.value is None or shifted.error is None:
        return False
    return (shifted.value if higher_is_better else -shifted.value) > contrast.reach * shifted.error


def equivalent_p(contrast: Contrast, smallest: float | None) -> float | None:
    """p of two one-sided tests (Schuirmann, 1987): the larger one, against a relative difference of +-smallest."""
    if smallest is None:
        return None
    above, below = _p_beyond(contrast, -smallest), _p_below(contrast, smallest)
    return None if above is None or below is None else max(above, below)


def _p_beyond(contrast: Contrast, margin: float) -> float | None:
    """One-sided p of "the difference is at most margin * |baseline|": the baseline's value has an error too, so the test is of
    d - margin * |b| against 0, with the variance of that.
    """
    shifted = _shifted(contrast, margin)
    return None if shifted is None else shifted.p_above(0.0)


def _p_below(contrast: Contrast, margin: float) -> float | None:
    shifted = _shifted(contrast, margin)
    return None if shifted is None else shifted.p_below(0.0)


def _shifted(contrast: Contrast, margin: float) -> Estimate | None:
    """d - margin * |b|, with its error."""
    estimate, base = contrast.sure.estimate, contrast.baseline
    if estimate.value is None or base is None:
        return None
    slope = margin if base >= 0 else -margin
    error = estimate.error
    if contrast.variances is not None and error is not None:
        var_d, both, var_b = contrast.variances
        error = sqrt(max(0.0, var_d - 2 * slope * both + slope**2 * var_b))
    return replace(estimate, value=estimate.value - slope * base, error=error)


def _goal(estimate: Estimate, baseline: float | None, terms: Terms) -> float | None:
    """The difference that is to be found: the smallest that matters, or else the one that is seen."""
    seen = estimate.value if terms.smallest_effect is None or baseline is None else terms.smallest_effect * baseline
    return None if seen is None or abs(seen) <= TIE else abs(seen)


def _users(users: int, least: float, goal: float) -> int | None:
    needed = users * (least / goal) ** 2
    return ceil(needed) if needed < MOST_USERS else None


def _small(row: ComparisonRow, terms: Terms) -> bool:
    return row.segment is not None and row.n_users < terms.least_users


def _adjust(rows: list[ComparisonRow], terms: Terms) -> list[ComparisonRow]:
    """Adjust within each family: the declared one as the study says, the others after Benjamini and Hochberg."""
    adjusted = list(rows)
    for family, correct in (
        ("primary", CORRECTIONS[terms.correction]),
        ("guardrails", benjamini_hochberg),
        ("exploration", benjamini_hochberg),
    ):
        members = [
            (at, row.p)
            for at, row in enumerate(rows)
            if row.family == family and row.p is not None and not _small(row, terms)
        ]
        for (at, _), p in zip(members, correct([p for _, p in members]), strict=True):
            adjusted[at] = rows[at].model_copy(update={"p_adjusted": p})
    return adjusted


def _verdict(row: ComparisonRow, metric: MetricColumn, terms: Terms) -> Verdict | None:
    if _small(row, terms):
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
