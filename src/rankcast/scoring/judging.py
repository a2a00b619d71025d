"""From rows of slates to values: one pure function judges a batch of whole lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import polars as pl

from rankcast.errors import DataError, RankcastError
from rankcast.evaluate.catalogue import Catalogue
from rankcast.evaluate.exposure import Shown
from rankcast.evaluate.judged import Judged, Rows
from rankcast.evaluate.matching import Batch, Matched, match
from rankcast.evaluate.metric import Metric, RequestMetric, VariantMetric, deepest, values
from rankcast.evaluate.ordering import Ties
from rankcast.scoring.keys import check_repeats
from rankcast.scoring.labels import Labels
from rankcast.scoring.stream import whole_lists
from rankcast.sources import border
from rankcast.sources.rankings import Table
from rankcast.tables import columns as c
from rankcast.tables.logs import Floats, Ints
from rankcast.tables.ragged import spans

PART_ROWS = 8_000_000  # rows that are sorted at a time where the rows of lists are scattered


@dataclass(frozen=True)
class Terms:
    """What is measured, and how: metrics with their levels, the order of ties, what is known of items."""

    metrics: Sequence[Metric]
    ties: Ties
    catalogue: Catalogue | None
    level: float = 0.0

    @property
    def rows_needed(self) -> bool:
        """Whether any metric looks at the rows of lists."""
        return any(isinstance(metric, RequestMetric) and metric.needs_rows for metric in self.metrics)

    @property
    def pooled(self) -> list[VariantMetric]:
        """Metrics with one value over all lists."""
        return [metric for metric in self.metrics if isinstance(metric, VariantMetric)]


@dataclass(frozen=True)
class Piece:
    """What came of a batch: `request` numbers the labelled lists, `values` are theirs by metric.

    `stranger` are the keys of lists without labels, `repeats` says which rows repeat an item, at most a few of `repeated`.
    """

    request: Ints
    values: dict[str, Floats]
    shown: Shown | None
    stranger: Ints
    rows: int
    tied: int
    repeated: int
    repeats: pl.DataFrame | None


class ScatteredError(RankcastError):
    """A list's rows do not stand together."""


def pieces(
    table: Table,
    batches: Iterable[pl.DataFrame],
    labels: Labels,
    terms: Terms,
    check: Callable[[pl.DataFrame], pl.DataFrame],
) -> list[Piece]:
    """Every list judged once. `batches` are all rows of the table; `check` puts raw rows under our names.

    Rows are taken as they come while those of a list stand together, which is how lists are written; where they do not,
    the file is read again in parts of its requests, each sorted in memory.
    """
    try:
        return _all(labels, terms, _checked(batches, check))
    except ScatteredError:
        parts = max(1, ceil(table.count() / PART_ROWS))
        sorted_parts = (
            pl.concat([check(rows) for rows in table.part(number, parts, c.REQUEST_ID)], how="vertical_relaxed").sort(
                c.REQUEST_ID, maintain_order=True
            )
            for number in range(parts)
        )
        return _all(labels, terms, sorted_parts)


def _checked(batches: Iterable[pl.DataFrame], check: Callable[[pl.DataFrame], pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Rows under our names; what is wrong with them is told with the place of the batch, since counts are of it alone."""
    first = 0
    for batch in batches:
        try:
            yield check(batch)
        except DataError as error:
            place = f" (of rows {first + 1:,} to {first + len(batch):,})" if first else ""
            raise DataError(replace(one, message=one.message + place) for one in error.problems) from error
        first += len(batch)


def _all(labels: Labels, terms: Terms, frames: Iterable[pl.DataFrame]) -> list[Piece]:
    seen = np.zeros(labels.n, dtype=bool)
    done = []
    for frame in whole_lists(frames):
        piece = judge_batch(frame, labels, terms)
        if seen[piece.request].any():
            raise ScatteredError("a list's rows do not stand together")
        seen[piece.request] = True
        done.append(piece)
    return done


def judge_batch(frame: pl.DataFrame, labels: Labels, terms: Terms) -> Piece:
    """Judge the lists of a batch: request_id, item_id, and score or rank. Depends on nothing but its arguments."""
    items = frame[c.ITEM_ID]
    owner = labels.request_keys.of(frame[c.REQUEST_ID])
    value = frame[c.SCORE].to_numpy() if c.SCORE in frame.columns else -frame[c.RANK].to_numpy()
    batch = Batch.of(owner, labels.item_keys.of(items), value, labels.truth)
    if batch.scattered():
        raise ScatteredError("a list's rows do not stand together")
    found = match(batch, labels.truth, terms.ties, lambda rows: _comparable(items, rows))
    lists = np.flatnonzero(found.request >= 0)
    request = found.request[lists]
    _check_texts(frame, found, lists, labels)
    repeated = _of_labelled(found, found.repeated)
    judged = judged_lists(found, lists, labels, terms)
    return Piece(
        request=request,
        values=values(judged, terms.metrics, unlabelled_as_zero=False),
        shown=_shown(found, lists, terms),
        stranger=np.unique(owner[found.start[:-1][found.request < 0]]),
        rows=len(frame),
        tied=found.tied,
        repeated=len(repeated),
        repeats=_repeats(frame, repeated, labels),
    )


def judged_lists(found: Matched, lists: Ints, labels: Labels, terms: Terms) -> Judged:
    """What metrics need to know of the labelled lists of a batch."""
    truth = labels.truth
    request = found.request[lists]
    number = np.full(len(found.request), -1, dtype=np.int64)
    number[lists] = np.arange(len(lists))
    label_target, label = truth.labels_of(request)
    rows = None
    if terms.rows_needed:
        cuts = [one for one in terms.metrics if isinstance(one, RequestMetric) and one.needs_rows]
        rows = _rows(found, lists, deepest(cuts))
    return Judged(
        n=len(lists),
        length=np.diff(found.start)[lists],
        hit_target=number[found.hit_list],
        hit_item=truth.item[found.hit_label],
        hit_rank=found.hit_rank,
        hit_grade=truth.grade[found.hit_label],
        label_target=label_target,
        label_grade=truth.grade[label],
        rows=rows,
        catalogue=terms.catalogue,
    )


def judged_nothing(requests: Ints, labels: Labels, terms: Terms) -> Judged:
    """Some requests with an empty list each."""
    nothing = np.zeros(0, dtype=np.int64)
    label_target, label = labels.truth.labels_of(requests)
    return Judged(
        n=len(requests),
        length=np.zeros(len(requests), dtype=np.int64),
        hit_target=nothing,
        hit_item=nothing,
        hit_rank=nothing,
        hit_grade=np.zeros(0),
        label_target=label_target,
        label_grade=labels.truth.grade[label],
        rows=Rows(nothing, nothing, nothing),
        catalogue=terms.catalogue,
    )


def refuse_repeats(done: Sequence[Piece], table: Table) -> None:
    """DataError where a list holds an item twice."""
    repeated = sum(piece.repeated for piece in done)
    if repeated:
        examples = border.rows(pl.concat([piece.repeats for piece in done if piece.repeats is not None]))
        raise DataError(
            table.source.data_problem(
                f"{repeated} rows repeat a ({c.REQUEST_ID}, {c.ITEM_ID}) that is already there, such as {examples}; a list shows "
                "an item once: leave out the worse of its places",
                c.ITEM_ID,
            )
        )


def _of_labelled(found: Matched, rows: Ints) -> Ints:
    """Of some rows those whose list has labels: the lists of others are counted, never refused."""
    return rows[found.request[np.searchsorted(found.start, rows, side="right") - 1] >= 0]


def _repeats(frame: pl.DataFrame, repeated: Ints, labels: Labels) -> pl.DataFrame | None:
    """A few of the rows that repeat an item of their list."""
    if not len(repeated):
        return None
    pairs = frame.select(c.REQUEST_ID, c.ITEM_ID)
    check_repeats(pairs, len(repeated), labels.request_keys, labels.item_keys)
    return pairs[repeated[:3]]


def _rows(found: Matched, lists: Ints, k: int | None) -> Rows:
    """The first k rows of the labelled lists."""
    start = found.start[lists]
    length = found.start[lists + 1] - start
    target, at = spans(start, length if k is None else np.minimum(length, k))
    return Rows(target, found.item[at], at - start[target] + 1)


def _shown(found: Matched, lists: Ints, terms: Terms) -> Shown | None:
    if not terms.pooled:
        return None
    rows = _rows(found, lists, deepest(terms.pooled))
    return Shown(found.request[lists][rows.target], rows.item, rows.rank)


def _comparable(items: pl.Series, rows: Ints) -> Ints:
    """Numbers that are ordered as the ids of some rows: integers by number, text by code point."""
    some = items.gather(rows)
    return some.to_numpy() if some.dtype == pl.Int64 else some.rank("dense").cast(pl.Int64).to_numpy()


def _check_texts(frame: pl.DataFrame, found: Matched, lists: Ints, labels: Labels) -> None:
    """Text that was found by its hash is compared as it is: lists with their requests, hits with their labels."""
    if labels.request_keys.text:
        requests = labels.requests.gather(found.request[lists])
        for end in (found.start[:-1][lists], found.start[1:][lists] - 1):
            labels.request_keys.check_same(frame[c.REQUEST_ID].gather(end), requests)
    if labels.item_keys.text:
        row = found.start[found.hit_list] + found.hit_rank - 1
        row = row if found.order is None else found.order[row]
        labels.item_keys.check_same(frame[c.ITEM_ID].gather(row), labels.items.gather(found.hit_label))
