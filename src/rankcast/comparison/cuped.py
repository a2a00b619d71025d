"""A difference adjusted by what was known before: the covariate's mean over all replayed requests is known better than over the
targets.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from rankcast.comparison.estimates import Estimator
from rankcast.comparison.table import Covariate, measurable
from rankcast.records import CupedRow
from rankcast.stats.cells import Cells, Moments, moments
from rankcast.stats.clustered import Estimate


def cuped(estimator: Estimator) -> tuple[CupedRow, ...]:
    """A row per decided variant: two-phase regression estimate of the primary difference.

    theta = cov(d, x) / var(x) of the means, clustered by user; adjusted = d - theta (x - X), X the covariate's mean over all
    replayed requests; variance = var(d) - 2 theta cov(d, x) + theta^2 var(x) + theta^2 var(X). In a paired comparison nothing is
    won where the targets are all that was replayed: the last term gives back what the others take (Deng, Xu, Kohavi and Walker,
    2013; Cochran, 1977, chapter 12).
    """
    table, covariate = estimator.table, estimator.table.covariate
    primary = next(metric for metric in table.metrics if metric.family == "primary")
    if primary.values is None or covariate is None:
        return ()
    known = _mean(covariate)
    rows = []
    for variant in (name for name in table.variants if name in table.decided):
        grouping = estimator.groupings[0]
        d, x = grouping.of(primary.of(variant) - primary.of(table.baseline)), grouping.of(covariate.values)
        kept = measurable(d, x)
        weighing = grouping.user.weighing(grouping.of(table.weight), None if kept.all() else kept)
        found = moments(weighing.sums([d, x]).residuals())
        rows.append(_row(estimator, variant, primary.name, covariate.name, found, known))
    return tuple(rows)


def _mean(covariate: Covariate) -> tuple[float, float]:
    """Mean over all replayed requests, and its clustered variance."""
    kept = measurable(covariate.replayed)
    user = np.unique(covariate.user, return_inverse=True)[1]
    cells = Cells.of(np.zeros(len(user), dtype=np.int64), user, 1)
    found = moments(cells.weighing(covariate.weight, kept).sums([covariate.replayed]).residuals())
    return float(found.means[0, 0]), float(found.covariance[0, 0, 0])


def _row(
    estimator: Estimator, variant: str, metric: str, covariate: str, found: Moments, known: tuple[float, float]
) -> CupedRow:
    confidence = estimator.terms.confidence
    difference = float(found.means[0, 0])
    var_d, both, var_x = (float(found.covariance[i, j, 0]) for i, j in ((0, 0), (0, 1), (1, 1)))
    about = {"variant": variant, "metric": metric, "covariate": covariate}
    if not var_x > 0 or not var_d > 0 or np.isnan(known).any():
        value = None if np.isnan(difference) else difference
        return CupedRow(**about, correlation=None, difference=value, adjusted=None, low=None, high=None, narrower=None)
    theta = both / var_x
    variance = var_d - theta * both + theta**2 * known[1]
    n, clusters = int(found.n[0]), int(found.clusters[0])
    adjusted = Estimate(
        difference - theta * (float(found.means[1, 0]) - known[0]), sqrt(max(variance, 0.0)), n, clusters
    )
    low, high = adjusted.interval(confidence)
    return CupedRow(
        **about,
        correlation=both / sqrt(var_d * var_x),
        difference=difference,
        adjusted=adjusted.value,
        low=low,
        high=high,
        narrower=1 - sqrt(max(variance, 0.0) / var_d),
    )
