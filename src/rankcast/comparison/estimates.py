"""Estimates of one variant's metric, and of the difference of two, on a part of the targets."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from math import isnan

import numpy as np

from rankcast.comparison.table import MetricColumn, Part, ValuesTable, measurable
from rankcast.stats.bootstrap import standard_error, user_replicates
from rankcast.stats.clustered import Estimate, clustered_mean
from rankcast.tables.logs import Floats

TIE = 1e-12


@dataclass(frozen=True)
class Contrast:
    """Variant minus baseline: the estimate, the baseline's value on the same requests, and the score of single requests."""

    estimate: Estimate
    baseline: float | None
    wins: int | None
    ties: int | None
    losses: int | None


class Estimator:
    """Estimates for a values table. Bootstrap replicates are drawn once per metric, part and variant."""

    def __init__(self, table: ValuesTable, seed: int) -> None:
        self.table = table
        self.seed = seed
        self._replicates: dict[tuple[str, int, str], Floats] = {}

    def value(self, metric: MetricColumn, part: int, variant: str) -> Estimate:
        """The metric of one variant."""
        table, mask = self.table, self.table.parts[part].mask
        if metric.values is None:
            return self._per_variant(metric, part, (variant,))
        values = metric.values[variant]
        kept = mask & measurable(values)
        return clustered_mean(values[kept], table.weight[kept], table.user[kept])

    def contrast(self, metric: MetricColumn, part: int, variant: str) -> Contrast:
        """Variant minus baseline, paired by request."""
        table, mask = self.table, self.table.parts[part].mask
        if metric.values is None:
            difference = self._per_variant(metric, part, (variant, table.baseline))
            return Contrast(difference, self.value(metric, part, table.baseline).value, None, None, None)
        ours, theirs = metric.values[variant], metric.values[table.baseline]
        kept = mask & measurable(ours, theirs)
        d = ours[kept] - theirs[kept]
        weight, user = table.weight[kept], table.user[kept]
        wins, losses = int((d > TIE).sum()), int((d < -TIE).sum())
        base = clustered_mean(theirs[kept], weight, user).value
        return Contrast(clustered_mean(d, weight, user), base, wins, len(d) - wins - losses, losses)

    def _per_variant(self, metric: MetricColumn, part: int, variants: tuple[str, ...]) -> Estimate:
        mask = self.table.parts[part].mask
        n, users = int(mask.sum()), len(np.unique(self.table.user[mask]))
        pooled = metric.pooled or {}
        numbers = [float(pooled[name].values(part, np.ones((users, 1)))[0]) for name in variants] if n else [np.nan]
        if np.isnan(numbers).any():
            return Estimate(None, None, n, users)
        value = numbers[0] - numbers[1] if len(numbers) == 2 else numbers[0]
        if users < 2:
            return Estimate(value, None, n, users)
        replicates = [self._resampled(metric, part, name, users) for name in variants]
        spread = replicates[0] - replicates[1] if len(replicates) == 2 else replicates[0]
        error = standard_error(spread)
        return Estimate(value, None if isnan(error) else error, n, users)

    def _resampled(self, metric: MetricColumn, part: int, variant: str, users: int) -> Floats:
        key = (metric.name, part, variant)
        if key not in self._replicates:
            # The same generator for every variant: the same users are drawn, so differences are paired.
            generator = np.random.default_rng(_entropy(self.seed, metric.name, self.table.parts[part]))
            statistic = partial((metric.pooled or {})[variant].values, part)
            self._replicates[key] = user_replicates(statistic, users, generator)
        return self._replicates[key]


def clipped(
    value: float | None, low: float | None, high: float | None, bounds: tuple[float, float]
) -> tuple[float, float] | tuple[None, None]:
    """An interval cut to the range of its metric, which it never leaves its value by."""
    if value is None or low is None or high is None:
        return None, None
    return max(low, min(bounds[0], value)), min(high, max(bounds[1], value))


def _entropy(seed: int, metric: str, part: Part) -> int:
    text = f"{seed}|{metric}|{'' if part.segment is None else part.segment.model_dump_json()}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
