"""Two scores held against each other."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import overload

import numpy as np

from rankcast.comparison.table import MetricColumn, Part, ValuesTable
from rankcast.comparison.table import Terms as Rules
from rankcast.comparison.verdicts import compare as compare_all
from rankcast.errors import DataError, show
from rankcast.evaluate.exposure import Pool
from rankcast.experiment.two_runs import TwoRuns, compare_runs
from rankcast.runs.folder import Run
from rankcast.scoring.scores import SLATES, Comparison, Scores
from rankcast.scoring.settings import check_confidence, check_smallest_effect
from rankcast.tables import columns as c
from rankcast.tables.logs import Bools


@overload
def compare(
    variant: Scores, baseline: Scores, confidence: float = 0.95, smallest_effect: float | None = None
) -> Comparison: ...


@overload
def compare(variant: Run, baseline: Run, *, anyway: bool = False) -> TwoRuns: ...


def compare(
    variant: Scores | Run,
    baseline: Scores | Run,
    confidence: float = 0.95,
    smallest_effect: float | None = None,
    anyway: bool = False,
) -> Comparison | TwoRuns:
    """One set of slates against another on the same labels, or one run against another of the same service: differences paired by
    request, with intervals and verdicts.

    Two runs: RunError names what differs beyond the treatment, unless `anyway`. Two scores: DataError where the two were not
    scored against the same labels in the same way; all metrics that both have form one family, adjusted after Holm. Difference is
    variant - baseline.
    """
    if isinstance(variant, Run) and isinstance(baseline, Run):
        return compare_runs(variant, baseline, anyway)
    if isinstance(variant, Run) or isinstance(baseline, Run):
        raise DataError("a run can only be compared with another run; expected two runs or two scores")
    return _compare_scores(variant, baseline, confidence, smallest_effect)


def _compare_scores(variant: Scores, baseline: Scores, confidence: float, smallest_effect: float | None) -> Comparison:
    """One set of slates against another on the same labels."""
    check_confidence(confidence)
    check_smallest_effect(smallest_effect)
    one, other = variant.table, baseline.table
    if not variant.values[c.REQUEST_ID].equals(baseline.values[c.REQUEST_ID]):
        raise DataError(
            f"the two were scored on different requests ({len(variant.values):,} and {len(baseline.values):,}); score both "
            "against the same labels"
        )
    _check_alike(variant, baseline)
    names = [metric.name for metric in one.metrics if metric.name in baseline]
    if not names:
        raise DataError("the two have no metric in common")
    columns = {metric.name: metric for metric in other.metrics}
    mask = one.parts[0].mask & other.parts[0].mask
    both = ValuesTable(
        baseline="baseline",
        variants=("baseline", "variant"),
        decided=frozenset({"variant"}),
        user=one.user,
        weight=one.weight,
        parts=(Part(None, mask),),
        metrics=tuple(_paired(metric, columns[metric.name], mask) for metric in one.metrics if metric.name in names),
    )
    rules = Rules(confidence, smallest_effect, "holm", 0)
    return Comparison(compare_all(both, rules)[1], confidence)


def _check_alike(variant: Scores, baseline: Scores) -> None:
    """DataError where labels or settings differ: the difference would be theirs."""
    one, other = variant.truth, baseline.truth
    if not np.array_equal(one.start, other.start) or not np.array_equal(one.grade, other.grade):
        raise DataError("the two were scored against different labels; score both against the same ones")
    ours, theirs = asdict(variant.settings), asdict(baseline.settings)
    for name, value in ours.items():
        if value != theirs[name]:
            raise DataError(
                f"the two were scored with different settings: {name} {show(value)} and {show(theirs[name])}"
            )


def _paired(variant: MetricColumn, baseline: MetricColumn, mask: Bools) -> MetricColumn:
    """One column of both, over the requests that count for both."""
    if variant.values is not None and baseline.values is not None:
        return replace(variant, values={"baseline": baseline.values[SLATES], "variant": variant.values[SLATES]})
    pools = {"baseline": (baseline.pooled or {})[SLATES], "variant": (variant.pooled or {})[SLATES]}
    pooled = {name: pool.over(mask) for name, pool in pools.items() if isinstance(pool, Pool)}
    return replace(variant, pooled=pooled)
