"""Estimates of one variant's metric, and of the difference of two, on a part of the targets."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial

import numpy as np

from rankcast.compare.table import MetricColumn, Part, Shown, ValuesTable, measurable
from rankcast.stats.bootstrap import Bools, presence_replicates, standard_error
from rankcast.stats.clustered import Estimate, clustered_mean
from rankcast.tables.logs import Floats, Ints

TIE = 1e-12
_ALWAYS = 25  # an item shown to so many users is absent from a resample with probability e^-25


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
        size = int((metric.catalogue or {})[part].sum())
        if not size or not n:
            return Estimate(None, None, n, users)
        shares = [_distinct(self._rows(metric, part, name).item) / size for name in variants]
        value = shares[0] - shares[1] if len(shares) == 2 else shares[0]
        if users < 2:
            return Estimate(value, None, n, users)
        replicates = [self._resampled(metric, part, name) / size for name in variants]
        spread = replicates[0] - replicates[1] if len(replicates) == 2 else replicates[0]
        return Estimate(value, standard_error(spread), n, users)

    def _rows(self, metric: MetricColumn, part: int, variant: str) -> Shown:
        shown = (metric.shown or {})[variant]
        kept = self.table.parts[part].mask[shown.target] & (metric.catalogue or {})[part][shown.item]
        return Shown(shown.target[kept], shown.item[kept])

    def _resampled(self, metric: MetricColumn, part: int, variant: str) -> Floats:
        key = (metric.name, part, variant)
        if key not in self._replicates:
            users, member = np.unique(self.table.user[self.table.parts[part].mask], return_inverse=True)
            code = np.full(self.table.n, -1, dtype=np.int64)
            code[self.table.parts[part].mask] = member
            rows = self._rows(metric, part, variant)
            count = _item_counter(code[rows.target], rows.item)
            # The same generator for every variant: the same users are drawn, so differences are paired.
            generator = np.random.default_rng(_entropy(self.seed, metric.name, self.table.parts[part]))
            self._replicates[key] = presence_replicates(count, len(users), generator)
        return self._replicates[key]


def _item_counter(user: Ints, item: Ints) -> partial[float]:
    """A function of who is present: how many items they were shown. Each (item, user) counts once."""
    users = int(user.max(initial=0)) + 1
    pairs = np.unique(item * users + user)
    _, sizes = np.unique(pairs // users, return_counts=True)
    rare = sizes < _ALWAYS
    starts = np.cumsum(sizes[rare]) - sizes[rare]
    return partial(_count_items, (pairs % users)[np.repeat(rare, sizes)], starts, int((~rare).sum()))


def _count_items(users: Ints, starts: Ints, always: int, present: Bools) -> float:
    seen = int(np.logical_or.reduceat(present[users], starts).sum()) if len(starts) else 0
    return float(always + seen)


def _distinct(items: Ints) -> int:
    return len(np.unique(items))


def _entropy(seed: int, metric: str, part: Part) -> int:
    text = f"{seed}|{metric}|{'' if part.segment is None else part.segment.model_dump_json()}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
