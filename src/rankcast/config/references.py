"""What the two files say of each other: tables and columns that are used must be declared, times must make sense."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from rankcast.config.comparing import DAY, HISTORY
from rankcast.config.plan import Plan
from rankcast.config.study import Period
from rankcast.config.yaml import Document, Location
from rankcast.errors import Problem

_TABLE_OF = {"item": "items", "user": "users", "request": "requests"}
_TABLES_FOR = {  # what a metric needs: one of these tables
    "item": ("items",),
    "catalogue": ("items", "availability"),
    "history": ("events",),
    "impressions": ("impressions",),
    "examination": ("impressions",),
}


def reference_problems(plan: Plan, study: Document, service: Document) -> list[Problem]:
    """All problems between the files."""
    return list(
        chain(
            _period(plan, study),
            _steps(plan, study, service),
            _variants(plan, study, service),
            _targets(plan, service),
            _segments(plan, study),
            _compare(plan, study),
            _metrics(plan, study),
            _online(plan, study),
            _trained(plan, study),
        )
    )


def _missing(plan: Plan, needs: Iterable[str]) -> list[str]:
    """The tables that are needed and not declared."""
    tables = [_TABLE_OF.get(need.partition(".")[0], need) for need in needs if need != "score"]
    return sorted({table for table in tables if not getattr(plan.service.tables, table)})


def _period(plan: Plan, study: Document) -> list[Problem]:
    return _empty(plan, study, plan.study.period, ("period", "to"))


def _empty(plan: Plan, study: Document, period: Period, place: Location) -> list[Problem]:
    """What is wrong with a period that ends before it begins."""
    if plan.instant(period.from_) < plan.instant(period.to):
        return []
    told = f"the period is empty: it ends at {period.to}, not after {period.from_}"
    return [study.problem(told, place)]


def _steps(plan: Plan, study: Document, service: Document) -> list[Problem]:
    problems = []
    for variant in plan.variants:
        file, place = plan.place(variant, "steps")
        document = study if file == study.file else service
        for at, step in enumerate(variant.steps):
            problems += [
                document.problem(f"step `{step.kind}` reads the table {table}; add `tables.{table}`", (*place, at))
                for table in _missing(plan, step.step.needs() if step.step else ())
            ]
    return problems


def _variants(plan: Plan, study: Document, service: Document) -> list[Problem]:
    problems = []
    for variant in plan.variants:
        if variant.builtin is not None:
            problems += [
                study.problem(
                    f"builtin `{variant.builtin.name}` reads the table {table}; add `tables.{table}` to the service",
                    ("variants", variant.name, "builtin"),
                )
                for table in _missing(plan, variant.builtin.needs)
            ]
        wanted = {"impressions": "impressions", "available": "availability"}.get(str(variant.candidates))
        if wanted and _missing(plan, [wanted]):
            file, place = plan.place(variant, "candidates")
            document = study if file == study.file else service
            problems.append(document.problem(f"candidates `{variant.candidates}` need `tables.{wanted}`", place))
    return list(dict.fromkeys(problems))


def _targets(plan: Plan, service: Document) -> list[Problem]:
    problems = []
    if plan.where is not None:
        problems += [
            service.problem(f"reads the table {table}; add `tables.{table}`", ("targets", "where"))
            for table in _missing(plan, plan.where.needs())
        ]
    if plan.service.labels.attribute == "last_shown" and plan.service.tables.impressions is None:
        problems.append(service.problem("`last_shown` needs `tables.impressions`", ("labels", "attribute")))
    behaviour = plan.service.behaviour
    for table in ("impressions", "events") if behaviour is not None else ():
        if not getattr(plan.service.tables, table):
            told = f"clicks on what was shown tell how far users look; add `tables.{table}`"
            problems.append(service.problem(told, ("behaviour",)))
    return problems


def _segments(plan: Plan, study: Document) -> list[Problem]:
    problems = []
    names = [segment.name for segment in plan.study.segments]
    for at, segment in enumerate(plan.study.segments):
        place = ("segments", at)
        if names.index(segment.name) != at:
            problems.append(study.problem(f"`{segment.name}` stands here already", place))
        if len({axis.column for axis in segment.axes}) < len(segment.axes):
            problems.append(study.problem(f"`{segment.name}`: expected two different columns", place))
        for axis in segment.axes:
            problems += [
                study.problem(f"`{axis.column}`: {told}", place) for told in _unknown_column(plan, axis.column)
            ]
            if axis.column == HISTORY and not axis.bins:
                problems.append(
                    study.problem("expected ranges: `{user.history: {none: 0, few: 1-9, many: 10-}}`", place)
                )
    return problems


def _compare(plan: Plan, study: Document) -> list[Problem]:
    named: list[tuple[Location, str]] = [
        (("compare", "cluster", at), one) for at, one in enumerate(plan.study.compare.cluster) if one != "user"
    ]
    if plan.study.compare.cuped is not None:
        named.append((("compare", "cuped"), plan.study.compare.cuped))
    return [study.problem(told, place) for place, column in named for told in _unknown_column(plan, column)]


def _unknown_column(plan: Plan, column: str) -> list[str]:
    """The tables that a column of a request, a user or an item needs."""
    if column == DAY:
        return []
    needs = ["events"] if column == HISTORY or column.startswith("item.") else []
    if column != HISTORY:
        needs.append(column)
    return [f"add `tables.{table}` to the service" for table in _missing(plan, needs)]


def _online(plan: Plan, study: Document) -> list[Problem]:
    online, tables = plan.study.online, plan.service.tables
    if online is None:
        return []
    problems = []
    if online.events and not tables.events:
        problems.append(
            study.problem("kinds of events are in `tables.events`; add it to the service", ("online", "events"))
        )
    if online.attribute == "last_shown" and tables.impressions is None:
        problems.append(study.problem("`last_shown` needs `tables.impressions`", ("online", "attribute")))
    return problems


def _trained(plan: Plan, study: Document) -> list[Problem]:
    problems = []
    for variant in plan.variants:
        tuned = None if variant.spec.training is None else variant.spec.training.tuned_on
        if tuned is not None:
            problems += _empty(plan, study, tuned, ("variants", variant.name, "training", "tuned_on"))
    return problems


def _metrics(plan: Plan, study: Document) -> list[Problem]:
    problems = []
    for planned in plan.metrics:
        needs = {need.partition(".")[0] for need in planned.metric.needs()}
        for need in sorted(needs - {"catalogue"} if "item" in needs else needs):
            tables = _TABLES_FOR.get(need, ())
            declared = plan.service.behaviour
            if need == "examination" and declared is not None and declared.ranks == "unknown":
                told = f"`{planned.metric}` asks how far users look, and the service says that ranks are unknown"
                problems.append(study.problem(told, ("metrics",)))
            if tables and all(not getattr(plan.service.tables, table) for table in tables):
                listed = " or ".join(f"`tables.{table}`" for table in tables)
                problems.append(study.problem(f"`{planned.metric}` needs {listed}", ("metrics",)))
    return list(dict.fromkeys(problems))
