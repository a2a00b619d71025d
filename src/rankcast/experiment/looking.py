"""How far users look, over all shards: a position-based model of the clicks on the lists that were shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from rankcast.config.plan import Plan
from rankcast.errors import DataError
from rankcast.evaluate.behaviour.clicks import clicked
from rankcast.evaluate.behaviour.diagnostics import perplexity, rank_only, rates
from rankcast.evaluate.behaviour.position_based import PositionBased, fit
from rankcast.evaluate.metric import EXAMINATION
from rankcast.experiment.assembly import place_of, request_column
from rankcast.experiment.shard import Outcome
from rankcast.records import Behaviour, Examined
from rankcast.tables.logs import Bools, Floats, Ints, Logs
from rankcast.tables.valuesets import group_codes

MOST_REQUESTS = 100_000  # whose lists are looked at
LEAST_SHOWN, LEAST_CLICKS = 50, 50  # at a rank, and in all
MOST_RANKS = 100
MOST_ROWS = 200_000  # where items are told apart one by one
SCORE = "score"
_BINS = 10  # of the score that ordered the list
_ITERATIONS, _FEWER = 1000, 300  # of scores, and of items


@dataclass(frozen=True)
class Looking:
    """What is told of it, and how likely each rank is looked at, relative to the first: what `discount=examined` takes."""

    record: Behaviour
    examination: Floats


@dataclass(frozen=True)
class _Rows:
    """Impressions that are looked at: the request, the code of what attracts, the rank, whether it was clicked."""

    request: Ints
    unit: Ints
    rank: Ints
    click: Bools

    def only(self, kept: Bools) -> _Rows:
        return _Rows(self.request[kept], self.unit[kept], self.rank[kept], self.click[kept])


def asked_for(plan: Plan) -> bool:
    """Whether a metric discounts by how far users look."""
    return any(EXAMINATION in planned.metric.needs() for planned in plan.metrics)


def some_of(replayed: Ints, size: int) -> Bools:
    """The requests (a mask of `size`) whose lists are looked at."""
    chosen = np.zeros(size, dtype=bool)
    chosen[replayed[:: max(1, -(-len(replayed) // MOST_REQUESTS))]] = True
    return chosen


def looking(plan: Plan, logs: Logs, done: Sequence[Outcome]) -> Looking | None:
    """Fit to what was shown; None where there are no lists or too few clicks.

    What attracts is the score that ordered the list, in tenths: of two items that the ranking took to be as good as each other,
    the one at the better rank gets more clicks only because it is looked at. Where there is no score, the item.
    """
    at = np.concatenate([outcome.looked[0] for outcome in done])
    score = np.concatenate([outcome.looked[1] for outcome in done])
    order = np.argsort(at, kind="stable")
    return _fitted(plan, logs, _seen(plan, logs, at[order]), score[order])


def check(plan: Plan, logs: Logs, chosen: Bools) -> None:
    """DataError where a metric discounts by how far users look and that cannot be told: before anything is replayed."""
    behaviour = plan.service.behaviour
    if behaviour is not None and behaviour.depth is not None:
        with place_of(plan, plan.service_file, "behaviour", "depth").blamed():
            name = behaviour.depth.partition(".")[2]
            _check_depth(request_column(logs, "request", name, np.flatnonzero(chosen)), behaviour.depth)
    if asked_for(plan):
        seen = _seen(plan, logs, np.flatnonzero(chosen[logs.impressions.request] & ~logs.impressions.repeated))
        if seen.ranks < 2 or seen.clicks < LEAST_CLICKS:
            with place_of(plan, plan.study_file, "metrics").blamed():
                raise DataError(
                    f"discount=examined: how far users look cannot be estimated; it takes at least {LEAST_CLICKS} clicks "
                    f"({', '.join(_kinds(plan))}) on the lists of replayed requests, at two ranks or more that are shown "
                    f"{LEAST_SHOWN} times each; found {seen.clicks} clicks at {seen.ranks} such ranks"
                )


def _kinds(plan: Plan) -> tuple[str, ...]:
    """The events that are clicks: as declared, or `click`, or else the least that is graded."""
    if plan.service.behaviour is not None:
        return plan.service.behaviour.clicks
    grades = {kind: one.grade for kind, one in plan.service.labels.grades.items() if one.grade > 0}
    return ("click",) if "click" in grades or not grades else (min(grades, key=lambda kind: (grades[kind], kind)),)


@dataclass(frozen=True)
class _Seen:
    """Impressions (rows `at`): their ranks, which were clicked; down to which rank there are enough, and how many clicks."""

    at: Ints
    rank: Ints
    click: Bools
    ranks: int
    clicks: int


def _seen(plan: Plan, logs: Logs, at: Ints) -> _Seen:
    rank, labels = logs.impressions.rank[at], plan.service.labels
    click = clicked(logs, _kinds(plan), labels.horizon, labels.attribute)[at]
    ranks = _last_rank(rank)
    return _Seen(at, rank, click, ranks, int(click[rank <= ranks].sum()))


def _fitted(plan: Plan, logs: Logs, seen: _Seen, score: Floats) -> Looking | None:
    at, rank, click, ranks, kinds = seen.at, seen.rank, seen.click, seen.ranks, _kinds(plan)
    if ranks < 2 or seen.clicks < LEAST_CLICKS:
        return None
    unit, named = _units(plan, logs, at, score)
    rows = _Rows(logs.impressions.request[at], unit, rank, click).only((rank <= ranks) & (unit >= 0))
    if (
        named != SCORE and len(rows.rank) > MOST_ROWS
    ):  # with so many units every row is its own: a pass costs as much as all rows
        rows = rows.only(rows.request % -(-len(rows.rank) // MOST_ROWS) == 0)
    model = _model(rows)
    depth = _depth(plan, logs, rows, ranks)
    test = logs.requests.user[rows.request] % 2 == 1
    held_out, trained = rows.only(test), rows.only(~test)
    foretold = _model(trained, int(unit.max()) + 1) if len(trained.rank) and len(held_out.rank) else None
    examination = falling(model.relative)
    record = _record(kinds, named, rows, examination, depth, held_out, foretold, trained)
    return Looking(record, examination if depth is None else falling(depth / max(depth[0], 1e-12)))


def falling(examination: Floats) -> Floats:
    """Nobody looks at a rank more often than at the one above: where it seems so, that is noise.

    >>> falling(np.array([1.0, 0.4, 0.5])).tolist()
    [1.0, 0.4, 0.4]
    """
    return np.minimum.accumulate(examination)


def _last_rank(rank: Ints) -> int:
    """The last rank down to which every one is shown often enough."""
    shown = np.bincount(rank[rank <= MOST_RANKS], minlength=2)[1:]
    few = np.flatnonzero(shown < LEAST_SHOWN)
    return int(few[0]) if len(few) else len(shown)


def _units(plan: Plan, logs: Logs, at: Ints, score: Floats) -> tuple[Ints, str]:
    """What attracts in each impression, as codes (-1: not known), and its name."""
    item, request = logs.impressions.item[at], logs.impressions.request[at]
    behaviour = plan.service.behaviour
    if behaviour is not None and behaviour.by is not None:
        with place_of(plan, plan.service_file, "behaviour", "by").blamed():
            value = group_codes(
                request_column(logs, "request", behaviour.by.partition(".")[2], request).alias(behaviour.by)
            )
        pair = (value + 1) * np.int64(len(logs.ids.items) + 1) + item
        return np.unique(pair, return_inverse=True)[1].astype(np.int64), f"item and {behaviour.by}"
    known = np.isfinite(score)
    scored = score[known]
    if known.mean() < 0.5 or ((scored == np.floor(scored)).all() and (scored < 0).all()):  # an order, and no scores
        return np.unique(item, return_inverse=True)[1].astype(np.int64), "item"
    edges = np.unique(np.quantile(scored, np.arange(1, _BINS) / _BINS))
    unit = np.full(len(score), -1, dtype=np.int64)
    unit[known] = np.searchsorted(edges, scored, side="right")
    return unit, SCORE


def _model(rows: _Rows, units: int | None = None) -> PositionBased:
    first = rows.rank == 1
    often = float(np.clip(rows.click[first].mean() if first.any() else 0.5, 0.001, 0.999))
    iterations = _ITERATIONS if int(rows.unit.max()) < _BINS else _FEWER
    return fit(rows.unit, rows.rank, rows.click, iterations, (2 * often, 2.0), units)


def _depth(plan: Plan, logs: Logs, rows: _Rows, ranks: int) -> Floats | None:
    """Share of the lists that hold each rank of which the user had it on the screen; None where that is not logged."""
    behaviour = plan.service.behaviour
    if behaviour is None or behaviour.depth is None:
        return None
    column = request_column(logs, "request", behaviour.depth.partition(".")[2], rows.request)
    depth = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    known = ~np.isnan(depth)
    return np.nan_to_num(rates(rows.rank[known], depth[known] >= rows.rank[known], ranks))


def _check_depth(column: pl.Series, name: str) -> None:
    if not column.dtype.is_numeric() and column.dtype != pl.Null:
        raise DataError(f"`{name}` holds {column.dtype}; expected how many ranks the user had on the screen")
    if not (column.cast(pl.Float64) >= 1).any():
        raise DataError(
            f"`{name}`: no replayed request has rank 1 on the screen; expected how many ranks each user had there"
        )


def _record(
    kinds: tuple[str, ...],
    unit: str,
    rows: _Rows,
    seen: Floats,
    depth: Floats | None,
    held_out: _Rows,
    foretold: PositionBased | None,
    trained: _Rows,
) -> Behaviour:
    ranks = len(seen)
    shown, clicks = np.bincount(rows.rank - 1, minlength=ranks), np.bincount(rows.rank - 1, rows.click, ranks)
    observed = rates(held_out.rank, held_out.click, ranks)
    predicted, fits, trivial = np.full(ranks, np.nan), None, None
    if foretold is not None:
        chance = foretold.predict(held_out.unit, held_out.rank)
        predicted = rates(held_out.rank, chance, ranks)
        fits = perplexity(chance, held_out.click, held_out.rank)
        by_rank = rank_only(trained.rank, trained.click, ranks)
        trivial = perplexity(by_rank[held_out.rank - 1], held_out.click, held_out.rank)

    def known(value: float) -> float | None:
        return None if np.isnan(value) else float(value)

    return Behaviour(
        source="clicks" if depth is None else "depth",
        clicks=kinds,
        unit=unit,
        requests=len(np.unique(rows.request)),
        perplexity=fits,
        perplexity_of_ranks=trivial,
        ranks=tuple(
            Examined(
                rank=at + 1,
                shown=int(shown[at]),
                held_out=int((held_out.rank == at + 1).sum()),
                clicks=int(clicks[at]),
                examination=float(seen[at]),
                depth=None if depth is None else float(depth[at]),
                observed=known(observed[at]),
                predicted=known(predicted[at]),
            )
            for at in range(ranks)
        ),
    )
