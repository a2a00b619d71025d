"""What `score` answers: a value per metric with its interval, values per request, and what was counted on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rankcast.comparison.table import ValuesTable
from rankcast.display import html_table
from rankcast.errors import RunError
from rankcast.evaluate.matching import Truth
from rankcast.records import ComparisonRow
from rankcast.scoring.settings import Settings
from rankcast.tables import columns as c
from rankcast.text import number, p_value, signed, signed_share

SLATES = "slates"  # the one variant of a values table of scores


@dataclass(frozen=True)
class Score:
    """One metric: its weighted mean over requests (or its one value over all lists) with its interval.

    None is not measurable. `n_requests` took part.
    """

    value: float | None
    low: float | None
    high: float | None
    n_requests: int


@dataclass(frozen=True)
class Counts:
    """What came in: requests with labels, those of them without a slate and without a relevant label; slates of requests
    without labels, which are not scored; rows of slates, and those whose score equals another's in their list.
    """

    requests: int
    without_slate: int
    without_relevant: int
    slates_without_labels: int
    rows: int
    tied_rows: int

    def notes(self, missing: str, without_labels: str) -> list[str]:
        """What a reader must know, in sentences."""
        fate = {"zero": "count as 0", "exclude": "are left out"}
        notes = []
        if self.without_slate:
            notes.append(f"{self.without_slate:,} of {self.requests:,} requests have no slate: they {fate[missing]}")
        if self.without_relevant:
            notes.append(
                f"{self.without_relevant:,} of {self.requests:,} requests have no relevant label: they {fate[without_labels]}"
            )
        if self.slates_without_labels:
            notes.append(f"{self.slates_without_labels:,} slates of requests without labels are not scored")
        if self.tied_rows:
            notes.append(
                f"{self.tied_rows:,} of {self.rows:,} rows have the score (or rank) of another row of their list"
            )
        return notes


@dataclass(frozen=True)
class Scores:
    """Metrics by their canonical string, in the order asked.

    `values` has a row per request with labels: request_id, and a column per metric that has a value per request; null is
    not measurable. `table`, `settings` and the labels' `truth` are what comparisons are made of.
    """

    scores: Mapping[str, Score]
    counts: Counts
    notes: tuple[str, ...]
    values: pl.DataFrame
    table: ValuesTable
    settings: Settings
    truth: Truth
    confidence: float

    def __getitem__(self, metric: str) -> Score:
        return self.scores[metric]

    def __iter__(self) -> Iterator[str]:
        return iter(self.scores)

    def __contains__(self, metric: object) -> bool:
        return metric in self.scores

    def write_values(self, path: str | Path) -> None:
        """Write `values` to a parquet or csv file, by its ending; it is there whole or not at all."""
        path = Path(path)
        if path.suffix not in {".parquet", ".csv"}:
            raise RunError(f"{path}: expected a name ending in .parquet or .csv")
        part = path.with_name(f".{path.name}.part")
        try:
            if path.suffix == ".csv":
                self.values.write_csv(part)
            else:
                self.values.write_parquet(part)
            part.replace(path)
        except OSError as error:
            raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error
        finally:
            part.unlink(missing_ok=True)

    def document(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "metrics": {name: asdict(score) for name, score in self.scores.items()},
            "counts": asdict(self.counts),
            "notes": list(self.notes),
            "confidence": self.confidence,
        }

    def to_frame(self) -> pl.DataFrame:
        """A row per metric."""
        rows = [{"metric": name, **asdict(score)} for name, score in self.scores.items()]
        kinds = {"value": pl.Float64, "low": pl.Float64, "high": pl.Float64, "n_requests": pl.Int64}
        return pl.DataFrame(rows, schema={"metric": pl.String, **kinds})

    def lines(self) -> list[tuple[str, ...]]:
        """Metric, value, interval and n, as people read them."""
        return [
            (name, number(score.value), interval(score.low, score.high), f"{score.n_requests:,}")
            for name, score in self.scores.items()
        ]

    def __repr__(self) -> str:
        return "\n".join(
            [*(f"{name} = {value} ({bounds}, {n} requests)" for name, value, bounds, n in self.lines()), *self.notes]
        )

    def _repr_html_(self) -> str:
        head = ("metric", "value", f"{self.confidence * 100:g} % interval", "requests")
        return html_table(head, self.lines(), self.notes)


@dataclass(frozen=True)
class Comparison:
    """One set of slates against another, metric by metric, on the same requests: difference = variant - baseline."""

    rows: tuple[ComparisonRow, ...]
    confidence: float

    def __getitem__(self, metric: str) -> ComparisonRow:
        return {row.metric: row for row in self.rows}[metric]

    def to_frame(self) -> pl.DataFrame:
        """A row per metric."""
        return pl.DataFrame([row.model_dump(exclude={"variant", "baseline", "segment", "family"}) for row in self.rows])

    def lines(self) -> list[tuple[str, ...]]:
        """Metric, baseline, difference, relative difference, interval, adjusted p and verdict, as people read them."""
        return [
            (
                row.metric,
                number(row.baseline_value),
                signed(row.difference),
                signed_share(row.relative),
                interval(row.low, row.high),
                p_value(row.p_adjusted),
                str(row.verdict),
            )
            for row in self.rows
        ]

    def __repr__(self) -> str:
        return "\n".join(
            f"{metric}: {difference} ({relative}), interval {bounds}, adjusted p {p}: {verdict}"
            for metric, _, difference, relative, bounds, p, verdict in self.lines()
        )

    def _repr_html_(self) -> str:
        bounds = f"{self.confidence * 100:g} % interval"
        return html_table(
            ("metric", "baseline", "difference", "relative", bounds, "adjusted p", "verdict"), self.lines(), ()
        )


def interval(low: float | None, high: float | None) -> str:
    """Bounds as people read them."""
    return "–" if low is None or high is None else f"{number(low)} to {number(high)}"


def values_frame(requests: pl.Series, columns: Mapping[str, np.ndarray]) -> pl.DataFrame:
    """A row per request, a column per metric; null where it is not measurable."""
    return pl.DataFrame(
        {c.REQUEST_ID: requests, **{name: pl.Series(column, nan_to_null=True) for name, column in columns.items()}}
    )


def finite(value: float | None) -> float | None:
    """A number that JSON can hold."""
    return None if value is None or not isfinite(value) else value
