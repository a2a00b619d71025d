"""`score`, top to bottom: slates and labels from anywhere, values per request, means with intervals; and two of them compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import polars as pl

from rankcast.comparison.estimates import Estimator
from rankcast.comparison.table import MetricColumn, Part, ValuesTable
from rankcast.comparison.table import Terms as Rules
from rankcast.comparison.verdicts import compare as compare_all
from rankcast.errors import ConfigError, DataError, nearest
from rankcast.evaluate.catalogue import Catalogue
from rankcast.evaluate.exposure import Pool, Shown
from rankcast.evaluate.grammar import default_level, parse
from rankcast.evaluate.metric import Metric, RequestMetric, VariantMetric, values
from rankcast.evaluate.ordering import Ties
from rankcast.evaluate.targets import weights
from rankcast.scoring.given import Given, catalogue_of
from rankcast.scoring.judging import Piece, Terms, judged_nothing, pieces, refuse_repeats
from rankcast.scoring.keys import CollisionError, Keys
from rankcast.scoring.labels import Labels
from rankcast.scoring.scores import SLATES, Comparison, Counts, Score, Scores, finite, values_frame
from rankcast.tables import columns as c
from rankcast.tables import schema
from rankcast.tables.logs import Bools, Floats, Ints
from rankcast.tables.valuesets import group_codes

Fate = Literal["zero", "exclude"]
METRICS = ("ndcg@10", "recall@10", "precision@10", "rr@10", "hit@10")
_SEEDS = 5  # hashes that are tried until no two ids share one


def score(
    slates: Any,
    labels: Any,
    metrics: Iterable[str] | str = METRICS,
    *,
    level: float | None = None,
    ties: Ties = "item_id",
    missing: Fate = "zero",
    without_labels: Fate = "zero",
    average: str = "request",
    columns: Mapping[str, str] | None = None,
    items: Any = None,
    history: Any = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Scores:
    """Metrics of slates against labels. Every request in the labels counts.

    `slates` (request_id, item_id, and score or rank) and `labels` (request_id, item_id, grade) are files (parquet, csv, ndjson,
    TREC run and qrels), frames (pandas, Polars, PyArrow, DuckDB) or dicts `{request: {item: number}}`; `user_id` serves where
    there is no request_id. A score wins over a rank; ties are ordered by `ties`.

    `level`: the least grade that is relevant. `missing`: requests without a slate are worth 0, or left out; `without_labels`:
    so are requests without a relevant label. `average`: every request weighs the same, or every `user`, or every value of a
    column of the labels. `columns` maps our names to theirs. `items` (item_id and attributes) and `history` (user_id, item_id)
    are for metrics beyond accuracy. Intervals are at `confidence`, clustered by user where the labels name users.

    >>> scores = score({"q": {"a": 2.0, "b": 1.0}}, {"q": {"b": 1}}, ["rr@10"])
    >>> scores["rr@10"].value
    0.5
    """
    asked = _metrics([metrics] if isinstance(metrics, str) else metrics)
    _check_options(ties, missing, without_labels, confidence, level)
    given = Given.open(slates, labels, dict(columns or {}), items, history)
    given.check_needs(asked)
    for attempt in range(_SEEDS):
        try:
            judged = _judge(given, [default_level(metric, level) for metric in asked], ties, level or 0.0, attempt)
            break
        except CollisionError:
            continue
    else:
        raise DataError("ids cannot be told apart by their hashes; map them to integers")
    return _scores(judged, asked, level, (missing, without_labels), average, confidence, seed)


def compare(
    variant: Scores, baseline: Scores, confidence: float = 0.95, smallest_effect: float | None = None
) -> Comparison:
    """One set of slates against another on the same labels: differences paired by request, with intervals and verdicts.

    All metrics that both have form one family, adjusted after Holm. Difference is variant - baseline. DataError where the
    two were not scored on the same requests.
    """
    one, other = variant.table, baseline.table
    if not variant.values[c.REQUEST_ID].equals(baseline.values[c.REQUEST_ID]):
        raise DataError(
            f"the two were scored on different requests ({len(variant.values):,} and {len(baseline.values):,}); score both "
            "against the same labels"
        )
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


def _paired(variant: MetricColumn, baseline: MetricColumn, mask: Bools) -> MetricColumn:
    """One column of both, over the requests that count for both."""
    if variant.values is not None and baseline.values is not None:
        return replace(variant, values={"baseline": baseline.values[SLATES], "variant": variant.values[SLATES]})
    pools = {"baseline": (baseline.pooled or {})[SLATES], "variant": (variant.pooled or {})[SLATES]}
    pooled = {name: pool.over(mask) for name, pool in pools.items() if isinstance(pool, Pool)}
    return replace(variant, pooled=pooled)


def _metrics(texts: Iterable[str]) -> list[Metric]:
    found = {str(metric): metric for metric in map(parse, texts)}
    if not found:
        raise ConfigError("no metric is asked for; expected some, such as `ndcg@10`")
    return list(found.values())


def _check_options(ties: str, missing: str, without_labels: str, confidence: float, level: float | None) -> None:
    for name, value, choices in (
        ("ties", ties, get_args(Ties)),
        ("missing", missing, get_args(Fate)),
        ("without_labels", without_labels, get_args(Fate)),
    ):
        if value not in choices:
            raise ConfigError(f"{name}: expected {' or '.join(choices)}, found `{value}`")
    if not 0.5 <= confidence < 1:
        raise ConfigError(f"confidence: expected a number from 0.5 to below 1, found {confidence:g}")
    if level is not None and not 0 < level < float("inf"):
        raise ConfigError(f"level: expected a grade above 0, found {level:g}")


@dataclass(frozen=True)
class _Judged:
    labels: Labels
    columns: dict[str, Floats]
    shown: Shown | None
    has_slate: Bools
    has_relevant: Bools
    counts: Counts
    catalogue: Catalogue | None


def _judge(given: Given, metrics: list[Metric], ties: Ties, level: float, seed: int) -> _Judged:
    request_keys = Keys(given.label_rows[c.REQUEST_ID].dtype == pl.String, seed)
    item_keys = Keys(given.label_rows[c.ITEM_ID].dtype == pl.String, seed)
    labels = Labels.of(given.labels, given.label_rows, request_keys, item_keys)
    catalogue = catalogue_of(given, item_keys)
    if catalogue is not None:
        for metric in metrics:
            metric.check(catalogue)
    terms = Terms(metrics, ties, catalogue, level)
    slates, rows = given.slates, given.slate_rows
    if rows is not None:
        done = pieces(replace(slates, whole=rows, source=replace(slates.source, columns={})), labels, terms, _as_it_is)
    else:
        done = pieces(slates, labels, terms, partial(slates.check, schema=schema.SLATES))
    refuse_repeats(done, slates)
    return _joined(done, labels, terms)


def _as_it_is(frame: pl.DataFrame) -> pl.DataFrame:
    return frame


def _joined(done: list[Piece], labels: Labels, terms: Terms) -> _Judged:
    has_slate = np.zeros(labels.n, dtype=bool)
    columns = {str(metric): np.full(labels.n, np.nan) for metric in terms.metrics if isinstance(metric, RequestMetric)}
    for piece in done:
        has_slate[piece.request] = True
        for name, column in piece.values.items():
            columns[name][piece.request] = column
    nobody = np.flatnonzero(~has_slate)
    for name, column in values(judged_nothing(nobody, labels, terms), terms.metrics, unlabelled_as_zero=False).items():
        columns[name][nobody] = column
    has_relevant = labels.has_relevant(terms.level)
    shown = [piece.shown for piece in done if piece.shown is not None]
    strangers = np.concatenate([piece.stranger for piece in done]) if done else np.zeros(0, dtype=np.int64)
    counts = Counts(
        requests=labels.n,
        without_slate=len(nobody),
        without_relevant=int((~has_relevant).sum()),
        slates_without_labels=len(np.unique(strangers)),
        rows=sum(piece.rows for piece in done),
        tied_rows=sum(piece.tied for piece in done),
    )
    whole = Shown.create().merge(*shown) if terms.pooled else None
    return _Judged(labels, columns, whole, has_slate, has_relevant, counts, terms.catalogue)


def _scores(
    judged: _Judged,
    asked: list[Metric],
    level: float | None,
    fates: tuple[Fate, Fate],
    average: str,
    confidence: float,
    seed: int,
) -> Scores:
    """Means with intervals. `fates` are those of requests without a slate, and of requests without a relevant label."""
    missing, without_labels = fates
    labels = judged.labels
    user = _users(labels)
    mask = judged.has_slate if missing == "exclude" else np.ones(labels.n, dtype=bool)
    columns: list[MetricColumn] = []
    for metric in asked:
        column = partial(MetricColumn, str(metric), "primary", metric.higher_is_better, bounds=metric.bounds)
        if isinstance(metric, VariantMetric):
            shown = metric.add(metric.create(), judged.shown or Shown.create())
            pool = Pool(metric.result, shown, user, (mask,), (judged.catalogue,))
            columns.append(column(values=None, pooled={SLATES: pool}))
            continue
        value = judged.columns[str(default_level(metric, level))]
        if metric.needs_labels and without_labels == "zero":
            value = np.nan_to_num(value, nan=0.0)
        elif metric.needs_labels:
            value = np.where(judged.has_relevant, value, np.nan)
        columns.append(column(values={SLATES: np.where(mask, value, np.nan)}))
    table = ValuesTable(
        baseline=SLATES,
        variants=(SLATES,),
        decided=frozenset(),
        user=user,
        weight=weights(_groups(labels, average, user), labels.n),
        parts=(Part(None, mask),),
        metrics=tuple(columns),
    )
    estimator = Estimator(table, seed)
    return Scores(
        scores={column.name: _score(estimator, column, confidence) for column in columns},
        counts=judged.counts,
        notes=tuple(judged.counts.notes(missing, without_labels)),
        values=values_frame(
            labels.requests, {one.name: one.values[SLATES] for one in columns if one.values is not None}
        ),
        table=table,
        confidence=confidence,
    )


def _score(estimator: Estimator, column: MetricColumn, confidence: float) -> Score:
    estimate = estimator.value(column, 0, SLATES)
    low, high = estimate.interval(confidence)
    if column.values is None and low is not None and high is not None:
        low, high = max(low, column.bounds[0]), min(high, column.bounds[1])
    return Score(finite(estimate.value), finite(low), finite(high), estimate.n)


def _users(labels: Labels) -> Ints:
    """A code of each request's user; of the request itself where the labels name no users."""
    if c.USER_ID not in labels.about.columns:
        return np.arange(labels.n)
    users = labels.per_request(c.USER_ID)
    if users.null_count():
        raise DataError(
            f"labels: {users.null_count()} requests have no {c.USER_ID}; give anonymous visitors an id of their own"
        )
    return group_codes(users)


def _groups(labels: Labels, average: str, user: Ints) -> Ints | None:
    """The group of each request whose members share a weight; None where every request weighs the same."""
    if average == "request":
        return None
    if average == "user":
        return user
    name = average.removeprefix("request.")
    known = [column for column in labels.about.columns if column != c.REQUEST_ID]
    if name not in known:
        raise ConfigError(
            f"average: no column `{name}` in labels{nearest(name, [*known, 'request', 'user'])}; expected request, user or a "
            "column of the labels"
        )
    return group_codes(labels.per_request(name))
