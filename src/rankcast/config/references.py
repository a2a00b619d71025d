"""What the two files say of each other: tables and columns that are used must be declared, times must make sense."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from rankcast.config.plan import Plan
from rankcast.config.yaml import Document
from rankcast.errors import Problem

_TABLE_OF = {"item": "items", "user": "users", "request": "requests"}
_TABLES_FOR = {  # what a metric needs: one of these tables
    "item": ("items",),
    "catalogue": ("items", "availability"),
    "history": ("events",),
    "impressions": ("impressions",),
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
            _metrics(plan, study),
        )
    )


def _missing(plan: Plan, needs: Iterable[str]) -> list[str]:
    """The tables that are needed and not declared."""
    tables = [_TABLE_OF.get(need.partition(".")[0], need) for need in needs if need != "score"]
    return sorted({table for table in tables if getattr(plan.service.tables, table) is None})


def _period(plan: Plan, study: Document) -> list[Problem]:
    period = plan.study.period
    if plan.instant(period.from_) < plan.instant(period.to):
        return []
    return [study.problem(f"the period is empty: it ends at {period.to}, not after {period.from_}", ("period", "to"))]


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
    return problems


def _segments(plan: Plan, study: Document) -> list[Problem]:
    problems = []
    for at, segment in enumerate(plan.study.segments):
        scope, _, name = segment.partition(".")
        place = ("segments", at)
        if scope == "item":
            problems.append(study.problem(f"not available yet: segments by `{segment}`", place))
        elif scope not in ("request", "user") or not name:
            problems.append(study.problem(f"expected `request.<column>` or `user.<column>`, found `{segment}`", place))
        elif _missing(plan, [segment]):
            problems.append(study.problem("add `tables.users` to the service", place))
        elif plan.study.segments.index(segment) != at:
            problems.append(study.problem(f"`{segment}` stands here already", place))
    return problems


def _metrics(plan: Plan, study: Document) -> list[Problem]:
    problems = []
    for planned in plan.metrics:
        needs = {need.partition(".")[0] for need in planned.metric.needs()}
        for need in sorted(needs - {"catalogue"} if "item" in needs else needs):
            tables = _TABLES_FOR.get(need, ())
            if tables and all(getattr(plan.service.tables, table) is None for table in tables):
                listed = " or ".join(f"`tables.{table}`" for table in tables)
                problems.append(study.problem(f"`{planned.metric}` needs {listed}", ("metrics",)))
    return list(dict.fromkeys(problems))
