"""What the pages ask of runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from rankcast.config.difference import difference
from rankcast.errors import RunError, clip
from rankcast.experiment.two_runs import compare_runs
from rankcast.report.charts.trend import Point
from rankcast.report.pages import Against, Shown, Slot
from rankcast.runs.folder import Run, tables
from rankcast.runs.store import Store
from rankcast.runs.summary import Summary
from rankcast.tables import columns as c
from rankcast.text import LONGEST

_FRESH = 5.0  # seconds for which a list of runs is good
MOST_REQUESTS = 10  # of a user
_MOST_PLACES = 50


class NotThereError(RunError):
    """There is no such run, or no such file of it."""


@dataclass
class Runs:
    """The runs of a store, read again when they are no longer fresh."""

    store: Store
    unreadable: int = 0
    _read: tuple[float, list[Summary]] = field(default=(-_FRESH, []), repr=False)

    def all(self) -> list[Summary]:
        """Newest first."""
        now = time.monotonic()
        if now - self._read[0] > _FRESH:
            left_out: list[RunError] = []
            self._read = (now, sorted(self.store.find(left_out.append), key=lambda one: one.started, reverse=True))
            self.unreadable = len(left_out)
        return self._read[1]

    def one(self, study: str, run: str) -> tuple[Summary, Run]:
        """A run, by names that are really there: no name leads out of the store."""
        found = next((one for one in self.all() if (one.study, one.run) == (study, run)), None)
        there = None if found is None else self.store.get(study, run)
        if found is None or there is None:
            raise NotThereError(f"no run {clip(study, 80)}/{clip(run, 40)}")
        return found, there

    def studies(self) -> list[str]:
        """The names of all studies."""
        return sorted({one.study for one in self.all()})

    def metrics(self) -> list[str]:
        """All metrics, those that decide first."""
        primary = {one.primary: None for one in self.all()}
        return list(primary | {row.metric: None for one in self.all() for row in one.changes})


def trend_points(runs: Sequence[Summary], metric: str, study: str) -> list[Point]:
    """Relative differences of decided variants in a metric, oldest first."""
    return [
        Point(one.run, one.study, row.variant, one.started, row.relative, row.relative_low, row.relative_high)
        for one in reversed(runs)
        for row in one.changes
        if row.metric == metric and row.relative is not None and study in ("", one.study)
        if row.variant in one.decision and (row.baseline_value or 0) > 0
    ]


def against(one: Run, other: Run) -> Against:
    """Two runs: plans in words, and numbers where they can be held against each other."""
    try:
        words = difference(_plan(other.manifest), _plan(one.manifest))
        inside, outside = words.of("treatment"), words.of("outside")
    except (KeyError, TypeError):
        inside, outside = [], ["their plans cannot be compared: one is of an earlier version"]
    try:
        found = compare_runs(one, other, anyway=True)
    except RunError as error:
        return Against(inside, outside, (), 0, (), str(error))
    return Against(inside, outside, found.differs, found.requests, found.rows, None)


def _plan(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    plan: Mapping[str, Any] = manifest["plan"]
    return plan


def lists_of(run: Run, wanted: str) -> tuple[list[Shown], bool]:
    """The lists of the request with this id, or of the first requests of the user with this id; whether there are more."""
    if not wanted:
        return [], False
    run.bring("slates")
    try:
        parts = [_rows(pl.scan_parquet(path, glob=False), wanted) for path in tables(run.folder, "slates")]
        rows = pl.concat(parts) if parts else pl.DataFrame()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RunError(f"the lists of {run.id} cannot be read ({type(error).__name__}); run the study again") from error
    if rows.is_empty():
        return [], False
    requests = rows[c.REQUEST_ID].unique(maintain_order=True)
    baseline = run.manifest["plan"]["study"]["baseline"]
    shown = [_shown(rows.filter(pl.col(c.REQUEST_ID) == request), baseline) for request in requests.head(MOST_REQUESTS)]
    return shown, len(requests) > MOST_REQUESTS


def _shown(rows: pl.DataFrame, baseline: str) -> Shown:
    """One request: the baseline's list first."""
    was: dict[Any, int] = {}
    for item, rank in rows.filter(pl.col(c.VARIANT) == baseline).sort(c.RANK).select(c.ITEM_ID, c.RANK).iter_rows():
        was.setdefault(item, rank)
    lists: dict[str, list[Slot]] = {}
    for row in rows.sort(pl.col(c.VARIANT) != baseline, c.VARIANT, c.RANK).iter_rows(named=True):
        item = clip(str(row[c.ITEM_ID]), LONGEST)
        lists.setdefault(row[c.VARIANT], []).append(Slot(row[c.RANK], item, row[c.GRADE], was.get(row[c.ITEM_ID])))
    return Shown(clip(str(rows[c.REQUEST_ID][0]), LONGEST), clip(str(rows[c.USER_ID][0]), LONGEST), baseline, lists)


def _rows(slates: pl.LazyFrame, wanted: str) -> pl.DataFrame:
    is_it = (pl.col(c.REQUEST_ID).cast(pl.String) == wanted) | (pl.col(c.USER_ID).cast(pl.String) == wanted)
    return slates.filter(is_it & (pl.col(c.RANK) <= _MOST_PLACES)).collect(engine="streaming")
