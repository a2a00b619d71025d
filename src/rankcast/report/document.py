"""What a report shows: one document in, the same HTML and Markdown out. Reports compute no statistics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from rankcast.errors import clip
from rankcast.records import AverageRow, ComparisonRow, Finding, LedgerRow, MetricRow, Result
from rankcast.tables import columns as c
from rankcast.text import LONGEST

SAMPLE = 6  # requests shown side by side
SHOWN = 10  # items of each list
PLAN_CHARACTERS = 100_000
SEGMENT_ROWS = 40  # of each segment column; all are in result.json
METHODS = {
    "clustered": "linearised and clustered",
    "robust": "clustered, robust for few and unequal users",
    "bootstrap": "bootstrap over users",
    "permutation": "clustered; p by sign flips",
}
_TITLES = ("title", "name", "label", "headline", "description")


@dataclass(frozen=True)
class SlateItem:
    """One line of a list: `was` is its rank in the baseline's list, None if it was not there."""

    rank: int
    item: str
    title: str | None
    grade: float | None
    was: int | None


@dataclass(frozen=True)
class SlateSample:
    """One request: every variant's list."""

    request: str
    user: str
    lists: dict[str, tuple[SlateItem, ...]]


@dataclass(frozen=True)
class SegmentTable:
    """The rows of one segment column that are shown, and how many are not."""

    rows: list[ComparisonRow]
    left_out: int

    @classmethod
    def largest(cls, rows: list[ComparisonRow]) -> SegmentTable:
        """All rows in their order, or the largest segments first where there are too many."""
        if len(rows) <= SEGMENT_ROWS:
            return cls(rows, 0)
        return cls(sorted(rows, key=lambda row: -row.n_requests)[:SEGMENT_ROWS], len(rows) - SEGMENT_ROWS)


def _names(findings: list[Finding]) -> str:
    if len(findings) == 1:
        return f"{findings[0].rule} {findings[0].name}"
    return ", ".join(one.rule for one in findings)


@dataclass(frozen=True)
class Report:
    """Everything that is shown: the result, the manifest, some lists."""

    result: Result
    manifest: dict[str, Any]
    sample: tuple[SlateSample, ...]

    @property
    def study(self) -> dict[str, Any]:
        """The resolved study."""
        study: dict[str, Any] = self.manifest["plan"]["study"]
        return study

    @property
    def confidence(self) -> str:
        """The confidence of all intervals, as people say it."""
        return f"{self.study['compare']['confidence'] * 100:g} %"

    @property
    def fired(self) -> list[Finding]:
        """Rules that fired, errors first."""
        return sorted(self._with("fired"), key=lambda one: (one.severity != "error", one.rule))

    @property
    def waived(self) -> list[Finding]:
        """Rules that fired and may."""
        return self._with("waived")

    @property
    def blind(self) -> list[Finding]:
        """Rules whose evidence is missing."""
        return self._with("cannot check")

    @property
    def missing(self) -> list[tuple[str, str, str]]:
        """Of rules that cannot be checked: their names, together where the same is missing; what; how to provide it."""
        together: dict[tuple[str, str], list[Finding]] = {}
        for one in self.blind:
            together.setdefault((one.evidence, one.remedy), []).append(one)
        return [(_names(of), *text) for text, of in together.items()]

    @property
    def passed(self) -> list[Finding]:
        """Rules that found nothing."""
        return self._with("passed")

    def _with(self, status: str) -> list[Finding]:
        return [one for one in self.result.findings if one.status == status]

    @property
    def overall(self) -> list[ComparisonRow]:
        """Comparisons over all targets: what decides first, references last."""
        order = {"primary": 0, "guardrails": 1, "exploration": 2}
        rows = [row for row in self.result.results.comparisons if row.segment is None]
        decided = list(self.result.decision)
        return sorted(rows, key=lambda row: (row.variant not in decided, order[self.role(row.metric)]))

    @property
    def drawn(self) -> list[ComparisonRow]:
        """The comparisons that are drawn: of decided variants, or of references where there is nothing to decide."""
        return self.only_drawn(self.overall)

    @property
    def references(self) -> list[ComparisonRow]:
        """The comparisons of references, where there is something to decide."""
        return [row for row in self.overall if self.result.decision and row.variant not in self.result.decision]

    def only_drawn(self, rows: list[ComparisonRow]) -> list[ComparisonRow]:
        """The rows of decided variants; all where there is nothing to decide."""
        return [row for row in rows if row.variant in self.result.decision or not self.result.decision]

    def role(self, metric: str) -> str:
        """What a metric is for in this study."""
        metrics = self.study["metrics"]
        return (
            "primary"
            if metric == metrics["primary"]
            else "guardrails"
            if metric in [next(iter(one)) if isinstance(one, dict) else one for one in metrics["guardrails"]]
            else "exploration"
        )

    @property
    def segments(self) -> dict[str, SegmentTable]:
        """Comparisons of the primary metric by segment column, of what is drawn; the largest segments where there are many."""
        grouped: dict[str, list[ComparisonRow]] = {}
        for row in self.only_drawn(list(self.result.results.comparisons)):
            if row.segment is not None and row.metric == self.study["metrics"]["primary"]:
                grouped.setdefault(row.segment.column, []).append(row)
        return {column: SegmentTable.largest(rows) for column, rows in grouped.items()}

    @property
    def plan_text(self) -> str:
        """The resolved plan, cut where it is very long: manifest.json has it whole."""
        return clip(json.dumps(self.manifest["plan"], indent=1, ensure_ascii=False), PLAN_CHARACTERS)

    @property
    def fit(self) -> bool:
        """Whether verdicts may be read at all: not when a decision is invalid."""
        return all(one.decision != "invalid" for one in self.result.decision.values())

    @property
    def requests(self) -> list[LedgerRow]:
        """The ledger of requests."""
        return [row for row in self.result.results.targets if row.scope == "requests"]

    @property
    def average(self) -> str:
        """The average that decides."""
        written = self.manifest["plan"]["service"]["targets"]["average"]
        return str(written[0] if isinstance(written, list) else written)

    @property
    def averages(self) -> list[AverageRow]:
        """The primary metric under every average, where there are several."""
        rows = [row for row in self.result.results.averages if row.metric == self.study["metrics"]["primary"]]
        return rows if len({row.average for row in rows}) > 1 else []

    @property
    def guarded(self) -> list[ComparisonRow]:
        """Guardrails that must rule out a loss."""
        return [row for row in self.overall if row.at_most_worse is not None]

    @property
    def method(self) -> str:
        """How intervals are made, in words."""
        declared = self.study["compare"]
        return f"{METHODS[declared['method']]}, by {' and '.join(declared['cluster'])}"

    @property
    def levels(self) -> list[MetricRow]:
        """Every metric of every variant over all targets."""
        return [row for row in self.result.results.metrics if row.segment is None]


def sample_slates(
    slates: Sequence[Path], variants: list[str], items: pl.DataFrame, first: Sequence[str | int] = ()
) -> tuple[SlateSample, ...]:
    """A few target requests: those that come `first`, then those whose lists differ most between the first variant (the baseline)
    and the second, labelled ones first. `slates` are files that hold whole requests: one is looked at after the other.
    """
    baseline, other = variants[0], variants[min(1, len(variants) - 1)]
    changed = pl.concat([_most_changed(pl.scan_parquet(path, glob=False), baseline, other) for path in slates])
    found = changed.sort(*_FIRST, descending=[True, True, True, False]).head(SAMPLE)[c.REQUEST_ID]
    chosen = pl.concat([pl.Series(c.REQUEST_ID, list(first), dtype=found.dtype), found]).unique(maintain_order=True)
    wanted = pl.col(c.REQUEST_ID).is_in(chosen.implode()) & (pl.col(c.RANK) <= SHOWN)
    rows = pl.concat([pl.scan_parquet(path, glob=False).filter(wanted).collect(engine="streaming") for path in slates])
    titles = _titles(items)
    return tuple(
        _sample(rows.filter(pl.col(c.REQUEST_ID) == request), request, baseline, variants, titles)
        for request in chosen.to_list()
    )


_FIRST = ("long", "labelled", "moved", c.REQUEST_ID)


def _most_changed(slates: pl.LazyFrame, baseline: str, other: str) -> pl.DataFrame:
    """The requests of one file that come first."""
    target = slates.filter(pl.col("target"))
    ours = target.filter(pl.col(c.VARIANT) == other).select(c.REQUEST_ID, c.ITEM_ID, c.GRADE, mine=c.RANK)
    base = target.filter(pl.col(c.VARIANT) == baseline).select(c.REQUEST_ID, c.ITEM_ID, theirs=c.RANK)
    return (
        ours.join(base, on=[c.REQUEST_ID, c.ITEM_ID], how="left")
        .group_by(c.REQUEST_ID)
        .agg(
            moved=(pl.col("mine") - pl.col("theirs").fill_null(pl.col("mine") + SHOWN)).abs().sum(),
            labelled=pl.col(c.GRADE).is_not_null().any(),
            long=pl.len() >= 3,
        )
        .sort(*_FIRST, descending=[True, True, True, False])
        .head(SAMPLE)
        .collect()
    )


def _sample(
    rows: pl.DataFrame, request: Any, baseline: str, variants: list[str], titles: dict[Any, str]
) -> SlateSample:
    ranks = {row[c.ITEM_ID]: row[c.RANK] for row in rows.filter(pl.col(c.VARIANT) == baseline).iter_rows(named=True)}
    lists = {
        variant: tuple(
            SlateItem(
                row[c.RANK],
                clip(str(row[c.ITEM_ID]), LONGEST),
                titles.get(row[c.ITEM_ID]),
                row[c.GRADE],
                ranks.get(row[c.ITEM_ID]),
            )
            for row in rows.filter(pl.col(c.VARIANT) == variant).sort(c.RANK).iter_rows(named=True)
        )
        for variant in variants
    }
    user = clip(str(rows[c.USER_ID][0]), LONGEST) if len(rows) else ""
    return SlateSample(clip(str(request), LONGEST), user, lists)


def _titles(items: pl.DataFrame) -> dict[Any, str]:
    name = next((name for name in _TITLES if name in items.columns and items[name].dtype == pl.String), None)
    if name is None:
        return {}
    filled = items.select(c.ITEM_ID, name).drop_nulls()
    return {key: clip(title, LONGEST) for key, title in filled.iter_rows()}
