"""Estimates of one variant's metric, and of the difference of two, on every part of the targets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import isnan
from typing import TypeVar

import numpy as np

from rankcast.comparison.measured import TIE, Contrast, Measured, Resampled, Score, Sure
from rankcast.comparison.table import MetricColumn, Part, Terms, ValuesTable, measurable
from rankcast.stats.bootstrap import standard_error, user_replicates
from rankcast.stats.cells import Cells, CellSums, Residuals, Weighing, moments, two_ways
from rankcast.stats.clustered import Estimate, clustered_mean
from rankcast.stats.resampling import sign_flips, studentised
from rankcast.tables.logs import Floats, Ints

Answer = TypeVar("Answer")
MOST_REPLICATES = 10_000_000  # numbers that a bootstrap keeps at a time


@dataclass(frozen=True)
class Grouping:
    """Parts that do not overlap: their numbers, the targets that lie in one, and the clusters of these."""

    parts: tuple[int, ...]
    rows: Ints | None  # None: all targets
    part: Ints
    user: Cells
    other: Cells | None = None
    both: Cells | None = None

    def of(self, values: Floats) -> Floats:
        """The values of the grouping's targets."""
        return values if self.rows is None else values[self.rows]


class Estimator:
    """Estimates for a values table: all parts of a segment column at once, everything once."""

    def __init__(self, table: ValuesTable, terms: Terms) -> None:
        self.table = table
        self.terms = terms
        self._replicates: dict[tuple[str, int, str], Floats] = {}

    @cached_property
    def user(self) -> Ints:
        """Users of the targets as numbers 0, 1, ..."""
        dense: Ints = np.unique(self.table.user, return_inverse=True)[1]
        return dense

    @cached_property
    def groupings(self) -> tuple[Grouping, ...]:
        """All targets, then every segment column."""
        columns: dict[str | None, list[int]] = {}
        for at, part in enumerate(self.table.parts):
            columns.setdefault(None if part.segment is None else part.segment.column, []).append(at)
        return tuple(self._grouping(parts) for parts in columns.values())

    def _grouping(self, parts: Sequence[int]) -> Grouping:
        code = np.full(self.table.n, -1, dtype=np.int64)
        for number, at in enumerate(parts):
            code[self.table.parts[at].mask] = number
        inside = (code >= 0) & (self.table.weight > 0)  # what weighs nothing takes no part
        rows = None if inside.all() else np.flatnonzero(inside)
        part, user = (code, self.user) if rows is None else (code[rows], self.user[rows])
        cells, others = Cells.of(part, user, len(parts)), self.table.others
        if others is None:
            return Grouping(tuple(parts), rows, part, cells)
        other = np.unique(others if rows is None else others[rows], return_inverse=True)[1]
        crossed = np.unique(user * np.int64(len(other) + 1) + other, return_inverse=True)[1]
        return Grouping(
            tuple(parts), rows, part, cells, Cells.of(part, other, len(parts)), Cells.of(part, crossed, len(parts))
        )

    def value(self, metric: MetricColumn, variant: str) -> Estimate:
        """The metric of one variant over the first part, all that is asked for where nothing is compared."""
        if metric.values is None:
            return self._per_variant(metric, 0, (variant,))
        values = metric.of(variant)
        kept = self.table.parts[0].mask & measurable(values) & (self.table.weight > 0)
        return clustered_mean(values[kept], self.table.weight[kept], self.table.user[kept])

    def values(self, metric: MetricColumn, variant: str) -> list[Sure]:
        """The metric of one variant, by part."""
        if metric.values is None:
            return [
                self._sure_by_error(self._per_variant(metric, part, (variant,)))
                for part in range(len(self.table.parts))
            ]
        return self._spread(lambda at, number: self._found[at, metric.name, variant].value.sure(0, number))

    def contrasts(self, metric: MetricColumn, variant: str) -> list[Contrast]:
        """Variant minus baseline, paired by request, by part."""
        if metric.values is None:
            return [self._pooled_contrast(metric, part, variant) for part in range(len(self.table.parts))]

        def contrast(at: int, number: int) -> Contrast:
            found = self._found[at, metric.name, variant]
            if found.contrast is None or found.score is None:
                raise ValueError(f"{variant} is the baseline: it is held against nothing")
            return found.contrast.contrast(number, found.score)

        return self._spread(contrast)

    def _spread(self, of: Callable[[int, int], Answer]) -> list[Answer]:
        """What is known of each part, in the order of parts."""
        answers = {
            part: of(at, number)
            for at, grouping in enumerate(self.groupings)
            for number, part in enumerate(grouping.parts)
        }
        return [answers[part] for part in range(len(self.table.parts))]

    @cached_property
    def _found(self) -> Mapping[tuple[int, str, str], Found]:
        """By grouping, metric and variant, all that is measured: every column of the table is summed up once."""
        found: dict[tuple[int, str, str], Found] = {}
        for at, grouping in enumerate(self.groupings):
            weighing = grouping.user.weighing(grouping.of(self.table.weight))
            pending: Pending = {}
            for metric in self.table.metrics:
                if metric.values is not None:
                    for variant, one in self._metric(grouping, weighing, metric, pending).items():
                        found[at, metric.name, variant] = one
            for several in pending.values():
                self._resample(several)
        return found

    def _metric(
        self, grouping: Grouping, weighing: Weighing, metric: MetricColumn, pending: Pending
    ) -> dict[str, Found]:
        """One metric of all variants in each part of a grouping."""
        baseline = self.table.baseline
        columns = {variant: grouping.of(metric.of(variant)) for variant in self.table.variants}
        base, theirs = list(columns).index(baseline), columns[baseline]
        every: _Every | None = None
        if all(measurable(column).all() for column in columns.values()):
            sums = weighing.sums(list(columns.values()))
            every = _Every(sums, sums.residuals())
        found = {}
        for at, (variant, column) in enumerate(columns.items()):
            value = self._measured(grouping, weighing, [column], every, [(at, None)], pending)
            if variant == baseline:
                found[variant] = Found(value)
                continue
            d = column - theirs
            pairs = [(at, base), (base, None)]
            contrast = self._measured(grouping, weighing, [d, theirs], every, pairs, pending)
            found[variant] = Found(value, contrast, self._score(grouping, d))
        return found

    def _score(self, grouping: Grouping, d: Floats) -> Score:
        """Wins and losses of single requests, and the users that have one."""
        size, wins, losses = len(grouping.parts), np.flatnonzero(d > TIE), np.flatnonzero(d < -TIE)
        cells = grouping.user
        moved = np.bincount(cells.cell[np.concatenate((wins, losses))], minlength=len(cells.part)) > 0
        return Score(
            np.bincount(grouping.part[wins], minlength=size),
            np.bincount(grouping.part[losses], minlength=size),
            cells.by_part(moved.astype(np.float64)).astype(np.int64),
        )

    def _measured(
        self,
        grouping: Grouping,
        weighing: Weighing,
        columns: Sequence[Floats],
        every: _Every | None,
        pairs: Sequence[tuple[int, int | None]],
        pending: Pending,
    ) -> Measured:
        """Means of columns. Where all variants have a value everywhere, they are differences of sums that are there already."""
        resampled = self.terms.method in {"bootstrap", "permutation"}
        kept, sums = None, None
        if every is None:
            present = measurable(*columns)
            kept = None if present.all() else present
            mine = weighing if kept is None else grouping.user.weighing(weighing.weights, kept)
            sums = mine.sums(columns)
            residuals = sums.residuals()
        else:
            residuals = every.residuals.differences(pairs)
            sums = every.sums.differences(pairs) if resampled else None
        measured = self._of(grouping, residuals, columns, weighing.weights)
        if resampled and sums is not None:
            pattern = b"" if kept is None else np.packbits(kept).tobytes()
            pending.setdefault(pattern, []).append((measured, sums.bagged()))
        return measured

    def _of(self, grouping: Grouping, residuals: Residuals, columns: Sequence[Floats], weights: Floats) -> Measured:
        robust = self.terms.method == "robust"
        found = moments(residuals, robust)
        if grouping.other is not None and grouping.both is not None:
            kept = residuals.weighing.kept
            other = moments(grouping.other.weighing(weights, kept).sums(columns).residuals(), robust)
            both = moments(grouping.both.weighing(weights, kept).sums(columns).residuals(), robust)
            found = two_ways(found, other, both)
        return Measured(found, self.terms.confidence, residuals.weighing)

    def _resample(self, several: Sequence[tuple[Measured, CellSums]]) -> None:
        """Draw users for all columns of a grouping that share their weights, so many columns at a time as fit into memory; the
        draws are the same for all of them.
        """
        parts = several[0][1].weighing.cells.parts
        most = max(1, MOST_REPLICATES // (parts * self.terms.replications))
        some: list[tuple[Measured, CellSums]] = []
        for at, one in enumerate(several):
            some.append(one)
            if at + 1 == len(several) or sum(len(sums.values) for _, sums in some) >= most:
                self._draw(some)
                some = []

    def _draw(self, several: Sequence[tuple[Measured, CellSums]]) -> None:
        stacked = several[0][1].beside([sums for _, sums in several[1:]])
        ratio = np.concatenate([measured.ratios() for measured, _ in several])
        if self.terms.method == "bootstrap":
            replicates = studentised(stacked, self.terms.replications, self._generator)
            drawn = Resampled(replicates.reach(self.terms.confidence), replicates.p(ratio))
        else:
            drawn = Resampled(None, sign_flips(stacked, self.terms.replications, self._generator))
        start = 0
        for measured, sums in several:
            measured.resampled.append(drawn.only(slice(start, start + len(sums.values))))
            start += len(sums.values)

    def plain(self, columns: Sequence[Floats], weight: Floats) -> Measured:
        """Weighted means of columns over all targets, where all of them have a value, without resampling."""
        grouping = self.groupings[0]
        inside = [grouping.of(column) for column in columns]
        present = measurable(*inside)
        weights = grouping.of(weight)
        weighing = grouping.user.weighing(weights, None if present.all() else present)
        return self._of(grouping, weighing.sums(inside).residuals(), inside, weights)

    def _generator(self) -> np.random.Generator:
        """The same draws for every metric, variant and part: the same users are drawn, so what is shown together is paired."""
        return np.random.default_rng(self.terms.seed)

    def _sure_by_error(self, estimate: Estimate) -> Sure:
        low, high = estimate.interval(self.terms.confidence)
        return Sure(estimate, low, high, estimate.p())

    def _pooled_contrast(self, metric: MetricColumn, part: int, variant: str) -> Contrast:
        difference = self._per_variant(metric, part, (variant, self.table.baseline))
        base = self._per_variant(metric, part, (self.table.baseline,))
        variances = None
        if difference.error is not None and base.error is not None:
            ours, theirs = (
                self._resampled(metric, part, name, difference.clusters) for name in (variant, self.table.baseline)
            )
            both = np.isfinite(ours) & np.isfinite(theirs)
            covariance = float(np.cov((ours - theirs)[both], theirs[both])[0, 1]) if both.sum() > 1 else 0.0
            variances = (difference.error**2, covariance, base.error**2)
        return Contrast(self._sure_by_error(difference), base.value, variances)

    def _per_variant(self, metric: MetricColumn, part: int, variants: tuple[str, ...]) -> Estimate:
        mask = self.table.parts[part].mask
        n, users = int(mask.sum()), len(np.unique(self.user[mask]))
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
            generator = np.random.default_rng(_entropy(self.terms.seed, metric.name, self.table.parts[part]))
            statistic = partial((metric.pooled or {})[variant].values, part)
            self._replicates[key] = user_replicates(statistic, users, generator)
        return self._replicates[key]


@dataclass(frozen=True)
class _Every:
    """The sums of all variants of a metric, and their residuals."""

    sums: CellSums
    residuals: Residuals


Pending = dict[bytes, list[tuple[Measured, CellSums]]]
"""What is still to be resampled, by which targets have a value."""


@dataclass(frozen=True)
class Found:
    """Of one metric, variant and grouping: the value, and for others than the baseline the difference and its score."""

    value: Measured
    contrast: Measured | None = None
    score: Score | None = None


def _entropy(seed: int, metric: str, part: Part) -> int:
    text = f"{seed}|{metric}|{'' if part.segment is None else part.segment.model_dump_json()}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
