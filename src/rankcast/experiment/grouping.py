"""By what targets are told apart and weighed: segments, averages, clusters, covariates; from the plan to arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite

import numpy as np
import polars as pl

from rankcast.comparison.table import Average, Covariate, Part
from rankcast.config.comparing import DAY, HISTORY, Axis, SegmentBy
from rankcast.config.plan import Plan
from rankcast.errors import DataError, show
from rankcast.evaluate.truth.targets import weights
from rankcast.experiment.assembly import place_of, request_column
from rankcast.records import Count, Segment, Value
from rankcast.tables.logs import Floats, Ints, Logs
from rankcast.tables.valuesets import group_codes

MOST_SEGMENTS = 100  # values of a segment column that are compared; the rest is counted
MOST_ROWS = 200_000  # comparisons of all segments, variants and metrics; of more, columns have fewer values
MOST_DAYS = 62  # that are told apart; of longer periods, weeks are
_EXAMPLES = 3


@dataclass(frozen=True)
class Columns:
    """Columns of requests, of their users, of their first relevant item (`first_item`, by request code; -1: none)."""

    plan: Plan
    logs: Logs
    first_item: Ints

    def of(self, name: str, requests: Ints) -> pl.Series:
        """Values of `request.<column>`, `user.<column>`, `item.<column>`, `user.history` or `day` for some requests (codes)."""
        scope, _, column = name.partition(".")
        if name == DAY:
            return self._days(requests)
        if name == HISTORY and column not in self.logs.users.frame.columns:
            return pl.Series(self._history[requests])
        if scope == "item":
            item = pl.Series(self.first_item[requests])
            return self.logs.items.frame[column].gather(item.set(item < 0, None))
        return request_column(self.logs, scope, column, requests)

    def _days(self, requests: Ints) -> pl.Series:
        times = pl.Series(self.logs.requests.time[requests]).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        return times.dt.convert_time_zone(self.plan.service.timezone).dt.date().cast(pl.String)

    @cached_property
    def _history(self) -> Ints:
        """How many events each request's user had strictly before it."""
        events, requests = self.logs.events, self.logs.requests
        times, event_time = np.unique(events.time, return_inverse=True)
        size = np.int64(len(times) + 1)
        keys = np.sort(events.user * size + event_time)
        asked = np.searchsorted(times, requests.time, side="left")  # events at the request's own time do not count
        before = np.searchsorted(keys, requests.user * size + asked, side="left")
        answer: Ints = before - np.searchsorted(keys, requests.user * size, side="left")
        return answer


@dataclass(frozen=True)
class JudgedBy:
    """Everything by which targets are told apart and weighed."""

    parts: tuple[Part, ...]
    averages: tuple[Average, ...]
    others: Ints | None
    mixes: Mapping[str, Mapping[Value, float]]
    covariate: Covariate | None
    replayed_parts: tuple[Part, ...]
    counts: tuple[Count, ...]
    days: tuple[Part, ...]


def judged_by(columns: Columns, targets: Ints, replayed: Ints) -> JudgedBy:
    """For some targets (codes) of the replayed requests."""
    parts, counts = parts_of(columns, targets)
    everywhere, _ = parts_of(columns, replayed)
    named = {segment.name for segment in columns.plan.study.segments}
    return JudgedBy(
        tuple(parts),
        averages_of(columns, targets),
        clusters_of(columns, targets),
        mixes_of(columns, everywhere, replayed),
        covariate_of(columns, targets, replayed),
        (*everywhere, *(() if DAY in named else days_of(columns, replayed))),
        tuple(counts),
        tuple(days_of(columns, targets, MOST_DAYS)),
    )


def parts_of(columns: Columns, requests: Ints) -> tuple[list[Part], list[Count]]:
    """All of some requests, then each value of each segment column (null last); the most frequent values where there are many."""
    parts = [Part(None, np.ones(len(requests), dtype=bool))]
    counts = []
    study, columns_asked = columns.plan.study, len(columns.plan.study.segments)
    rows = max(1, columns_asked * len(study.variants) * len(columns.plan.metrics))
    most = min(MOST_SEGMENTS, max(2, MOST_ROWS // rows))
    for at, segment in enumerate(columns.plan.study.segments):
        with place_of(columns.plan, columns.plan.study_file, "segments", at).blamed():
            codes, values = _coded(columns, segment, requests)
        present, sizes = np.unique(codes, return_counts=True)
        kept = np.sort(np.argsort(-sizes, kind="stable")[:most])
        if len(present) > most:
            counts.append(
                Count(
                    table="segments",
                    what=f"values of {segment.name} beyond the {most} most frequent",
                    count=len(present) - most,
                    of=len(present),
                )
            )
        for one in sorted(kept, key=lambda one: (present[one] < 0, present[one])):
            code = int(present[one])
            parts.append(Part(Segment(column=segment.name, value=values[code]), codes == code))
    return parts, counts


def days_of(columns: Columns, requests: Ints, most: int | None = None) -> list[Part]:
    """Each day of some requests, in the service's time zone; each week, as its Monday, where there are more days than `most`."""
    days = columns.of(DAY, requests)
    if most is not None and days.n_unique() > most:
        days = days.str.to_date().dt.truncate("1w").cast(pl.String)
    return [Part(Segment(column=DAY, value=day), (days == day).to_numpy()) for day in days.unique().sort().to_list()]


def _coded(columns: Columns, segment: SegmentBy, requests: Ints) -> tuple[Ints, Mapping[int, Value]]:
    """A code of each request's value, in the values' order (-1: null), and the value of each code."""
    axes = [_axis(columns, axis, requests) for axis in segment.axes]
    if len(axes) == 1:
        return axes[0]
    (one, first), (other, second) = axes
    last = int(max(other.max(initial=-1), 0)) + 1  # where null stands
    size = np.int64(last + 1)
    outer = np.where(one < 0, one.max(initial=-1) + 1, one)
    codes = outer * size + np.where(other < 0, last, other)
    _, at = np.unique(codes, return_index=True)
    return codes, {int(codes[row]): f"{_word(first[int(one[row])])}, {_word(second[int(other[row])])}" for row in at}


def _axis(columns: Columns, axis: Axis, requests: Ints) -> tuple[Ints, Mapping[int, Value]]:
    column = columns.of(axis.column, requests).alias(axis.column)
    if axis.bins:
        if not column.dtype.is_numeric() and column.dtype != pl.Null:
            raise DataError(f"`{axis.column}` holds {column.dtype}, which has no ranges; expected numbers")
        numbers = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
        codes = np.full(len(numbers), -1, dtype=np.int64)
        for number, one in enumerate(axis.bins):
            codes[(one.low <= numbers) & (numbers <= one.high)] = number
        return codes, {-1: None, **{number: one.name for number, one in enumerate(axis.bins)}}
    codes = group_codes(column)
    present, first = np.unique(codes, return_index=True)
    return codes, {-1: None, **{int(code): _plain(column[int(at)]) for code, at in zip(present, first, strict=True)}}


def _word(value: Value) -> str:
    """A value as one of two; quoted where it would not be told from two."""
    if isinstance(value, str) and ("," in value or value == "null"):
        return json.dumps(value, ensure_ascii=False)
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _plain(value: object) -> Value:
    finite = not isinstance(value, float) or isfinite(value)
    return value if value is None or (isinstance(value, str | int | float | bool) and finite) else str(value)


def averages_of(columns: Columns, requests: Ints) -> tuple[Average, ...]:
    """Every way to weigh some requests, the deciding one first."""
    own = _own_weights(columns, requests)
    return tuple(
        Average(name, weights(_groups(columns, name, requests), len(requests), own))
        for name in columns.plan.service.targets.average
    )


def _groups(columns: Columns, average: str, requests: Ints) -> Ints | None:
    """The group of each request whose members share a weight; None when every request weighs the same."""
    if average == "request":
        return None
    if average == "user":
        return columns.logs.requests.user[requests]
    with place_of(columns.plan, columns.plan.service_file, "targets", "average").blamed():
        return group_codes(columns.of(average, requests).alias(average))


def _own_weights(columns: Columns, requests: Ints) -> Floats | None:
    name = columns.plan.service.targets.weight
    if name is None:
        return None
    with place_of(columns.plan, columns.plan.service_file, "targets", "weight").blamed():
        found = _numbers(columns, name, requests)
        odd = np.isnan(found) | (found < 0) | np.isinf(found)
        if odd.any():
            ids = columns.logs.ids.requests.gather(requests[odd][:_EXAMPLES]).to_list()
            values = columns.of(name, requests[odd][:_EXAMPLES]).to_list()
            shown = "; ".join(f"request {one}: {show(value)}" for one, value in zip(ids, values, strict=True))
            raise DataError(
                f"`{name}`: {int(odd.sum()):,} of {len(odd):,} weights are null, negative or infinite, such as {shown}; expected "
                "how much each request counts, 0 or more"
            )
        return found


def _numbers(columns: Columns, name: str, requests: Ints) -> Floats:
    column = columns.of(name, requests)
    if not column.dtype.is_numeric() and column.dtype not in (pl.Boolean, pl.Null):
        raise DataError(f"`{name}` holds {column.dtype}; expected numbers")
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def clusters_of(columns: Columns, targets: Ints) -> Ints | None:
    """What targets have in common besides their user: a code; a target without a value shares it with nobody."""
    named = columns.plan.study.compare.cluster[1:]
    if not named:
        return None
    with place_of(columns.plan, columns.plan.study_file, "compare", "cluster").blamed():
        codes = group_codes(columns.of(named[0], targets).alias(named[0]))
    alone = codes < 0
    return np.where(alone, codes.max(initial=-1) + 1 + np.arange(len(codes)), codes)


def covariate_of(columns: Columns, targets: Ints, replayed: Ints) -> Covariate | None:
    """What was known of requests before, of the targets and of all that were replayed."""
    name = columns.plan.study.compare.cuped
    if name is None:
        return None
    with place_of(columns.plan, columns.plan.study_file, "compare", "cuped").blamed():
        found, everywhere = _numbers(columns, name, targets), _numbers(columns, name, replayed)
    weight = averages_of(columns, replayed)[0].weight
    return Covariate(name, found, everywhere, columns.logs.requests.user[replayed], weight)


def mixes_of(columns: Columns, parts: Sequence[Part], replayed: Ints) -> Mapping[str, Mapping[Value, float]]:
    """Of each segment column the share of every value among the replayed requests, under the deciding average. A first relevant
    item is known of labelled requests alone.
    """
    weight = averages_of(columns, replayed)[0].weight
    total = float(weight.sum())
    known = {
        one.name for one in columns.plan.study.segments if not any(axis.column.startswith("item.") for axis in one.axes)
    }
    mixes: dict[str, dict[Value, float]] = {}
    for part in parts:
        if part.segment is not None and part.segment.column in known and total > 0:
            mixes.setdefault(part.segment.column, {})[part.segment.value] = float(weight[part.mask].sum()) / total
    return mixes
