"""What a report shows: one document in, the same HTML and Markdown out. Reports compute no statistics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Generic, TypeVar

from rankcast.errors import clip
from rankcast.records import (
    AverageRow,
    ComparisonRow,
    DayRow,
    DistributionRow,
    Finding,
    ItemRow,
    LedgerRow,
    MetricRow,
    Result,
    StepRow,
    VariantDecision,
)
from rankcast.report.lists import ListSample

Row = TypeVar("Row")
METHODS = {
    "clustered": "linearised and clustered",
    "robust": "clustered, robust for few and unequal users",
    "bootstrap": "bootstrap over users",
    "permutation": "clustered; p by sign flips",
}


@dataclass(frozen=True)
class Limits:
    """How much a page shows: rows of a table, rows of a segment column, such columns, bytes of lists, characters of the plan."""

    rows: int
    segments: int
    columns: int
    lists: int
    plan: int


FULL = Limits(rows=200, segments=40, columns=12, lists=300_000, plan=60_000)
LESS = Limits(rows=60, segments=20, columns=6, lists=120_000, plan=20_000)
LEAST = Limits(rows=20, segments=8, columns=2, lists=40_000, plan=5_000)
BARE = Limits(rows=10, segments=5, columns=1, lists=0, plan=2_000)


@dataclass(frozen=True)
class Cut(Generic[Row]):
    """The rows of a table that are shown, and how many are not."""

    rows: Sequence[Row]
    left_out: int

    @classmethod
    def first(cls, rows: Sequence[Row], most: int) -> Cut[Row]:
        """The first of them."""
        return cls(rows[:most], max(0, len(rows) - most))


@dataclass(frozen=True)
class Bin:
    """How many requests have a value from `low` to `high`."""

    of: str
    variant: str
    low: float
    high: float
    count: int


def _bins(row: DistributionRow) -> list[Bin]:
    width = (row.high - row.low) / len(row.counts)
    edges = [row.low + at * width for at in range(len(row.counts) + 1)]
    return [Bin(row.of, row.variant, edges[at], edges[at + 1], count) for at, count in enumerate(row.counts)]


@dataclass(frozen=True)
class Proposal:
    """What a study would change, in words: inside its declared treatment, and outside of it."""

    inside: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


def _names(findings: list[Finding]) -> str:
    if len(findings) == 1:
        return f"{findings[0].rule} {findings[0].name}"
    return ", ".join(one.rule for one in findings)


@dataclass(frozen=True)
class Report:
    """Everything that is shown: the result, the manifest, some lists, what is proposed; and how much of it."""

    result: Result
    manifest: dict[str, Any]
    sample: ListSample
    proposal: Proposal = Proposal()
    limits: Limits = FULL

    def cut(self, rows: Sequence[Row]) -> Cut[Row]:
        """As many rows as a table shows."""
        return Cut.first(rows, self.limits.rows)

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
    def decisions(self) -> list[tuple[list[str], VariantDecision]]:
        """Every decision, with the variants for which it is the same, for the same reason."""
        together: dict[VariantDecision, list[str]] = {}
        for name, one in self.result.decision.items():
            together.setdefault(one, []).append(name)
        return [(names, one) for one, names in together.items()]

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
    def segments(self) -> dict[str, Cut[ComparisonRow]]:
        """Comparisons of the primary metric by segment column, of what is drawn; the largest segments where there are many."""
        grouped: dict[str, list[ComparisonRow]] = {}
        for row in self.only_drawn(list(self.result.results.comparisons)):
            if row.segment is not None and row.metric == self.study["metrics"]["primary"]:
                grouped.setdefault(row.segment.column, []).append(row)
        shown = list(grouped.items())[: self.limits.columns]
        return {column: self._largest(rows) for column, rows in shown}

    def _largest(self, rows: list[ComparisonRow]) -> Cut[ComparisonRow]:
        most = self.limits.segments
        return Cut.first(rows if len(rows) <= most else sorted(rows, key=lambda row: -row.n_requests), most)

    @property
    def more_segments(self) -> list[str]:
        """Segment columns that are not shown."""
        told = {row.segment.column: None for row in self.result.results.comparisons if row.segment is not None}
        return list(told)[self.limits.columns :]

    @property
    def days(self) -> list[DayRow]:
        """The days of what is drawn."""
        decided = self.result.decision
        return [row for row in self.result.results.days if row.variant in decided or not decided]

    @property
    def weekly(self) -> bool:
        """Whether days are told week by week."""
        days = sorted({row.day for row in self.days})
        return len(days) > 1 and all(date.fromisoformat(day).weekday() == 0 for day in days)

    @property
    def bins(self) -> list[Bin]:
        """The bins of the primary metric that are not empty."""
        primary = self.study["metrics"]["primary"]
        rows = self.distributions("difference", primary) + self.distributions("value", primary)
        return [one for row in rows for one in _bins(row) if one.count]

    @property
    def baseline_first(self) -> list[str]:
        """All variants: the baseline, what is decided, references."""
        baseline, decided = self.study["baseline"], self.result.decision
        return sorted(self.study["variants"], key=lambda name: (name != baseline, name not in decided))

    @property
    def funnels(self) -> dict[str, list[StepRow]]:
        """Steps by variant: the baseline's, and those that do not do the same."""
        steps: dict[str, list[StepRow]] = {name: [] for name in self.baseline_first}
        for row in self.result.results.steps:
            steps[row.variant].append(row)
        done = [row.model_copy(update={"variant": ""}) for row in steps[self.study["baseline"]]]
        other = [name for name in steps if [row.model_copy(update={"variant": ""}) for row in steps[name]] != done]
        return {name: steps[name] for name in (self.study["baseline"], *other)}

    def replayed(self, variant: str) -> int:
        """How many requests were replayed."""
        return next((row.requests for row in self.result.results.variants if row.variant == variant), 0)

    def distributions(self, of: str, metric: str | None = None) -> list[DistributionRow]:
        """Of values or of differences, of all metrics or one."""
        rows = self.result.results.distributions
        return [row for row in rows if row.of == of and metric in (None, row.metric)]

    @property
    def movers(self) -> list[ItemRow]:
        """The items that the variants that are drawn show more and less often."""
        decided = self.result.decision
        return [row for row in self.result.results.items if row.variant in decided or not decided]

    @property
    def lists(self) -> ListSample:
        """As many lists as the page has room for."""
        return self.sample.within(self.limits.lists)

    @property
    def repeat(self) -> str:
        """The command that makes the run again, from the root of the repository."""
        folder = (self.manifest["git"] or {}).get("folder", "")
        return f"rankcast run {folder}{self.manifest['files']['study']['path'].rpartition('/')[2]}"

    @property
    def plan_text(self) -> str:
        """The resolved plan, cut where it is very long: manifest.json has it whole."""
        return clip(json.dumps(self.manifest["plan"], indent=1, ensure_ascii=False), self.limits.plan)

    @property
    def fit(self) -> bool:
        """Whether verdicts may be read at all: not when a decision is invalid."""
        return all(one.decision != "invalid" for one in self.result.decision.values())

    @property
    def requests(self) -> list[LedgerRow]:
        """The ledger of requests."""
        return [row for row in self.result.results.targets if row.scope == "requests"]

    @property
    def losses(self) -> list[LedgerRow]:
        """The ledger where something fell out, and all of that of requests."""
        return [row for row in self.result.results.targets if row.lost or row.scope == "requests"]

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
