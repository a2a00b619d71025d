"""`score`, top to bottom: slates and labels from anywhere, values per request, means with intervals; and two of them compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from rankcast.comparison.estimates import Estimator
from rankcast.comparison.measured import clipped
from rankcast.comparison.table import MetricColumn, Part, ValuesTable
from rankcast.comparison.table import Terms as Rules
from rankcast.errors import ConfigError, DataError, nearest
from rankcast.evaluate.catalogue import Catalogue
from rankcast.evaluate.exposure import Pool, Shown
from rankcast.evaluate.grammar import default_level, parse
from rankcast.evaluate.metric import Metric, RequestMetric, VariantMetric, read, values
from rankcast.evaluate.ordering import Ties
from rankcast.evaluate.truth.targets import weights
from rankcast.scoring.given import Given
from rankcast.scoring.judging import Piece, Terms, judged_nothing, pieces, refuse_repeats
from rankcast.scoring.keys import CollisionError, Keys
from rankcast.scoring.labels import Labels
from rankcast.scoring.scores import SLATES, Counts, Score, Scores, finite, values_frame
from rankcast.scoring.settings import Fate, Settings, check_confidence
from rankcast.tables import columns as c
from rankcast.tables.logs import Bools, Floats, Ints
from rankcast.tables.valuesets import group_codes

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
    asked = _metrics(metrics)
    settings = Settings(level, ties, missing, without_labels, average)
    settings.check()
    check_confidence(confidence)
    given = Given.open(slates, labels, _columns(columns), items, history)
    given.check_needs(asked)
    for attempt in range(_SEEDS):
        try:
            judged = _judge(given, [default_level(metric, level) for metric in asked], ties, level or 0.0, attempt)
            break
        except CollisionError:
            continue
    else:
        raise DataError("ids cannot be told apart by their hashes; map them to integers")
    return _scores(judged, asked, settings, confidence, seed)


def _metrics(given: Iterable[str | Metric] | str | Metric) -> list[Metric]:
    one = isinstance(given, str | Metric)
    if not one and not isinstance(given, Iterable):
        raise ConfigError(f"metrics: expected strings such as `ndcg@10`, found {type(given).__name__}")
    found = {}
    for text in [given] if one else given:  # type: ignore[union-attr]
        if not isinstance(text, str | Metric):
            raise ConfigError(f"metrics: expected strings such as `ndcg@10`, found {type(text).__name__} {text}")
        metric = parse(text) if isinstance(text, str) else text
        found[str(metric)] = metric
    if not found:
        raise ConfigError("no metric is asked for; expected some, such as `ndcg@10`")
    return list(found.values())


def _columns(given: Mapping[str, str] | None) -> Mapping[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(one, str) for pair in given.items() for one in pair):
        raise ConfigError("columns: expected a mapping ours: theirs, such as {'request_id': 'query'}")
    return given


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
    batches = given.slates.batches()
    request_keys = Keys(given.label_rows[c.REQUEST_ID].dtype == pl.String, seed)
    item_keys = Keys(given.label_rows[c.ITEM_ID].dtype == pl.String, seed)
    labels = Labels.of(given.labels, given.label_rows, request_keys, item_keys)
    catalogue = given.catalogue(item_keys)
    if catalogue is not None:
        for metric in metrics:
            metric.check(catalogue)
    terms = Terms(metrics, ties, catalogue, level)
    done = pieces(given.slates, batches, labels, terms, given.check)
    refuse_repeats(done, given.slates)
    return _joined(done, labels, terms)


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


def _scores(judged: _Judged, asked: list[Metric], settings: Settings, confidence: float, seed: int) -> Scores:
    """Means with intervals, over the requests that count."""
    labels = judged.labels
    user = _users(labels)
    counted = np.ones(labels.n, dtype=bool)
    if settings.missing == "exclude":
        counted &= judged.has_slate
    if settings.without_labels == "exclude":
        counted &= judged.has_relevant
    columns: list[MetricColumn] = []
    for metric in asked:
        column = partial(MetricColumn, str(metric), "primary", metric.higher_is_better, bounds=metric.bounds)
        if isinstance(metric, VariantMetric):
            shown = metric.add(metric.create(), judged.shown or Shown.create())
            pool = Pool(partial(read, metric), shown, user, (counted,), (judged.catalogue,))
            columns.append(column(values=None, pooled={SLATES: pool}))
            continue
        value = judged.columns[str(default_level(metric, settings.level))]
        if metric.needs_labels and settings.without_labels == "zero":
            value = np.nan_to_num(value, nan=0.0)
        columns.append(column(values={SLATES: np.where(counted, value, np.nan)}))
    table = ValuesTable(
        baseline=SLATES,
        variants=(SLATES,),
        decided=frozenset(),
        user=user,
        weight=_weights(judged, settings.average, user, counted),
        parts=(Part(None, counted),),
        metrics=tuple(columns),
    )
    estimator = Estimator(table, Rules(confidence, None, "holm", seed))
    per_request = {one.name: one.values[SLATES] for one in columns if one.values is not None}
    return Scores(
        scores={column.name: _score(estimator, column, confidence) for column in columns},
        counts=judged.counts,
        notes=tuple(judged.counts.notes(settings.missing, settings.without_labels)),
        values=values_frame(labels.requests, per_request),
        table=table,
        settings=settings,
        truth=labels.truth,
        confidence=confidence,
    )


def _score(estimator: Estimator, column: MetricColumn, confidence: float) -> Score:
    estimate = estimator.value(column, SLATES)
    low, high = estimate.interval(confidence)
    if column.values is None:
        low, high = clipped(estimate.value, low, high, column.bounds)
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


def _weights(judged: _Judged, average: str, user: Ints, counted: Bools) -> Floats:
    """Weight of each request: members of a group share one among the requests that count."""
    if average == "request":
        return np.ones(len(counted))
    groups = _groups(judged, average, user)
    weight = np.ones(len(counted))
    weight[counted] = weights(groups[counted], int(counted.sum()))
    return weight


def _groups(judged: _Judged, average: str, user: Ints) -> Ints:
    """The group of each request whose members share a weight."""
    about = judged.labels.about
    if average == "user":
        if c.USER_ID not in about.columns and not judged.labels.by_user:
            raise ConfigError("average: user needs a column `user_id` in the labels; join it to them, or map it")
        return user
    name = average.removeprefix("request.")
    known = [column for column in about.columns if column != c.REQUEST_ID]
    if name not in known:
        raise ConfigError(
            f"average: no column `{name}` in labels{nearest(name, [*known, 'request', 'user'])}; expected request, user or a "
            "column of the labels"
        )
    return group_codes(judged.labels.per_request(name))
