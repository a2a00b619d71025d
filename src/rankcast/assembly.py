"""From the Plan to the objects that the stages receive. Stages never see the config."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from math import isfinite
from pathlib import Path

import numpy as np
import polars as pl

from rankcast.comparison.table import Part
from rankcast.config.plan import Plan, PlannedVariant, Vocabulary
from rankcast.config.service import Table
from rankcast.config.yaml import dotted
from rankcast.errors import ConfigError, DataError, Problem, RankcastError, nearest
from rankcast.evaluate.catalogue import Catalogue, History
from rankcast.evaluate.grammar import parse
from rankcast.evaluate.impressed import Impressed
from rankcast.evaluate.judge import Scene
from rankcast.evaluate.labels import Labelling
from rankcast.evaluate.metric import CATALOGUE, HISTORY, IMPRESSIONS
from rankcast.evaluate.targets import Rule
from rankcast.plugins import BUILTINS, load, source_of
from rankcast.records import Count, Segment, Value
from rankcast.replay import step
from rankcast.replay.builtin import Builtin, Setting
from rankcast.replay.candidates import Batches
from rankcast.replay.lists import Lists
from rankcast.replay.reproduce import Service, Variant
from rankcast.replay.step import Filter, NamedStep
from rankcast.sources.load import Inputs, Loaded
from rankcast.sources.source import FileSet, Pattern, Source
from rankcast.tables.duration import Duration
from rankcast.tables.expression import Expression
from rankcast.tables.logs import Bools, Ints, Logs
from rankcast.tables.valuesets import group_codes

MOST_SEGMENTS = 100  # values of a segment column that are compared; the rest is counted


def _builtin(name: str, within: Duration | None) -> Builtin:
    cls = load(BUILTINS, name)
    if within is not None and not cls.takes_within:
        raise ConfigError(f"builtin `{name}` takes no `within`")
    builtin: Builtin = cls(within)
    return builtin


def _where(text: str) -> Expression:
    return Expression.parse(text, scopes=("request", "user"), score=False)


def vocabulary(execute: bool) -> Vocabulary:
    """How the stages read what the files say; private code is imported only where the study is to be executed."""
    return Vocabulary(metric=partial(parse, private=execute), step=step.parse, where=_where, builtin=_builtin)


def inputs_of(plan: Plan) -> Inputs:
    """Every table to load."""
    tables = {
        name: _source(plan, table, ("tables", name), plan.service_file, plan.service_folder)
        for name in type(plan.service.tables).model_fields
        if (table := getattr(plan.service.tables, name)) is not None
    }
    scores = {
        variant.name: _source(
            plan, variant.spec.scores, ("variants", variant.name, "scores"), plan.study_file, plan.study_folder
        )
        for variant in plan.variants
        if variant.spec.scores is not None
    }
    candidates = {}
    for variant in plan.variants:
        if isinstance(variant.candidates, Table):
            file, place = plan.place(variant, "candidates")
            folder = plan.study_folder if file == plan.study_file else plan.service_folder
            candidates[dotted(place)] = _source(plan, variant.candidates, place, file, folder)
    return Inputs(tables, scores, candidates, plan.service.timezone)


def _source(plan: Plan, table: Table, place: tuple[str, ...], file: str, folder: Path) -> Source:
    def file_set(written: tuple[str, ...]) -> FileSet:
        return FileSet(tuple(pattern(path) for path in written), plan.environment.hidden)

    def pattern(written: str) -> Pattern:
        """What a variable begins is relative to where the command runs, as in a shell; else to the file that names it."""
        base = Path.cwd() if written.startswith("${") else folder
        return Pattern.of(written, plan.environment.expand(written), base)

    return Source(
        key=dotted(place),
        files=None if table.path is None else file_set(table.path),
        sql=None if table.sql is None else plan.environment.expand(table.sql),
        named={name: file_set(paths) for name, paths in table.files.items()},
        columns=table.columns,
        declared_in=file,
        line=plan.line(file, *place),
    )


def private_text(plan: Plan) -> str:
    """SQL and `where` with their variables filled in, and the code of private metrics: they shape the results, so they belong
    to the run's identity.
    """
    inputs = inputs_of(plan)
    sources = [*inputs.tables.values(), *inputs.scores.values(), *inputs.candidates.values()]
    wheres = [plan.service.targets.where]
    wheres += [one.argument for variant in plan.variants for one in variant.steps if isinstance(one.argument, str)]
    code = [source_of(type(planned.metric)) for planned in plan.metrics if ":" in planned.metric.name]
    return json.dumps(
        [source.sql for source in sources] + [where and plan.environment.expand(where) for where in wheres] + code
    )


Columns = Mapping[str, Collection[str]]
"""Column names by scope (request, item, user); a scope that is not there is not known yet."""


def columns_of(logs: Logs) -> Columns:
    """The columns that the loaded tables have."""
    return {"request": logs.requests.frame.columns, "item": logs.items.frame.columns, "user": logs.users.frame.columns}


def column_problems(plan: Plan, columns: Columns) -> list[Problem]:
    """Columns that steps, `where`, averages, metrics and segments use and that the tables do not have."""
    service, study = plan.service_file, plan.study_file
    wanted: list[tuple[str, tuple[str | int, ...], str]] = []
    for variant in plan.variants:
        file, place = plan.place(variant, "steps")
        for at, one in enumerate(variant.steps):
            wanted += [(file, (*place, at), need) for need in sorted(one.step.needs())]
    if plan.where is not None:
        wanted += [(service, ("targets", "where"), need) for need in sorted(plan.where.needs())]
    wanted.append((service, ("targets", "average"), plan.service.targets.average))
    needs = {need for planned in plan.metrics for need in planned.metric.needs()}
    wanted += [(study, ("metrics",), need) for need in sorted(needs)]
    wanted += [(study, ("segments", at), need) for at, need in enumerate(plan.study.segments)]
    problems = []
    for file, location, need in dict.fromkeys(wanted):
        scope, dot, name = need.partition(".")
        if dot and scope in columns and name not in columns[scope]:
            hint = nearest(name, columns[scope])
            message = f"no column `{name}` in the table of {scope}s{hint}"
            problems.append(Problem(message, file, plan.line(file, *location), dotted(location)))
    return problems


def service_of(plan: Plan, loaded: Loaded) -> Service:
    """What all variants share."""
    graded = tuple(sorted(plan.service.labels.grades))
    return Service(loaded.logs, loaded.candidates, Setting(graded, plan.service.timezone, plan.study.seed))


def variants_of(plan: Plan, loaded: Loaded) -> list[Variant]:
    """Every variant, ready to replay."""
    return [_variant(plan, planned, loaded) for planned in plan.variants]


def _variant(plan: Plan, planned: PlannedVariant, loaded: Loaded) -> Variant:
    file, place = plan.place(planned, "steps")
    filters = []
    for at, one in enumerate(planned.steps):
        with _placed(plan, file, *place, at):
            if "score" in one.step.needs() and planned.name in loaded.scores and loaded.scores[planned.name].ranked:
                raise DataError(f"reads `score`, but variants.{planned.name}.scores has only `rank`")
            filters.append(_placed_filter(one.step.bind(loaded.logs), plan, file, *place, at))
    candidates = planned.candidates
    if isinstance(candidates, Table):
        candidates = dotted(plan.place(planned, "candidates")[1])
    return Variant(
        name=planned.name,
        source=planned.builtin if planned.builtin is not None else Batches.of(loaded.scores[planned.name]),
        candidates=candidates,
        steps=[NamedStep(one.name, one.step) for one in planned.steps],
        filters=filters,
        served=planned.served,
    )


@contextmanager
def _placed(plan: Plan, file: str, *location: str | int) -> Iterator[None]:
    """Problems inside belong to a place of one of the two files."""
    try:
        yield
    except RankcastError as error:
        line, key = plan.line(file, *location), dotted(location)
        raise DataError(Problem(problem.message, file, line, key) for problem in error.problems) from error


def _placed_filter(keep: Filter, plan: Plan, file: str, *location: str | int) -> Filter:
    def placed(lists: Lists) -> Bools:
        with _placed(plan, file, *location):
            return keep(lists)

    return placed


def labelling_of(plan: Plan) -> Labelling:
    """How events become labels."""
    labels = plan.service.labels
    return Labelling(labels.grades, labels.horizon, labels.attribute)


def scene_of(plan: Plan, logs: Logs) -> Scene:
    """What metrics see beside slates and labels; what none of them needs is left out."""
    needs = {need.partition(".")[0] for planned in plan.metrics for need in planned.metric.needs()}
    catalogue = None
    if needs & {"item", CATALOGUE, HISTORY}:
        history = None
        if HISTORY in needs:
            graded = logs.events.of_kinds(tuple(plan.service.labels.grades))
            start = plan.instant(plan.study.period.from_)
            history = History.before(logs.events, graded, start, len(logs.ids.items))
        catalogue = Catalogue(logs.items.frame, logs.items.known, history)
        for planned in plan.metrics:
            with _placed(plan, plan.study_file, "metrics"):
                planned.metric.check(catalogue)
    return Scene(
        user=logs.requests.user,
        until=logs.requests.time + plan.service.labels.horizon.micros,
        impressed=Impressed.of(logs) if IMPRESSIONS in needs else None,
        catalogue=catalogue,
    )


def target_rule(plan: Plan, logs: Logs, known_until: int | None) -> Rule:
    """What makes a request a target."""
    admitted = np.ones(len(logs.requests.time), dtype=bool)
    if plan.where is not None:
        everyone = np.arange(len(admitted))
        with _placed(plan, plan.service_file, "targets", "where"):
            admitted = plan.where.evaluate(
                lambda scope, name: _request_column(logs, scope, name, everyone), len(admitted)
            )
    return Rule(
        start=plan.instant(plan.study.period.from_),
        end=plan.instant(plan.study.period.to),
        admitted=admitted,
        horizon=plan.service.labels.horizon,
        known_until=known_until,
        without_labels=plan.service.targets.without_labels,
    )


def weight_groups(plan: Plan, logs: Logs, targets: Ints) -> Ints | None:
    """The group of each target whose members share a weight; None when every request weighs the same."""
    average = plan.service.targets.average
    if average == "request":
        return None
    if average == "user":
        return logs.requests.user[targets]
    with _placed(plan, plan.service_file, "targets", "average"):
        return group_codes(_request_column(logs, "request", average.partition(".")[2], targets).alias(average))


def parts_of(plan: Plan, logs: Logs, targets: Ints) -> tuple[list[Part], list[Count]]:
    """All targets, then each value of each segment column (null last); the most frequent values where there are many."""
    parts = [Part(None, np.ones(len(targets), dtype=bool))]
    counts = []
    for name in plan.study.segments:
        scope, _, column = name.partition(".")
        values = _request_column(logs, scope, column, targets)
        with _placed(plan, plan.study_file, "segments"):
            codes = group_codes(values.alias(name))
        present, first, sizes = np.unique(codes, return_index=True, return_counts=True)
        kept = np.sort(np.argsort(-sizes, kind="stable")[:MOST_SEGMENTS])
        if len(present) > MOST_SEGMENTS:
            counts.append(
                Count(
                    table="segments",
                    what=f"values of {name} beyond the {MOST_SEGMENTS} most frequent",
                    count=len(present) - MOST_SEGMENTS,
                    of=len(present),
                )
            )
        for at in sorted(kept, key=lambda at: (present[at] < 0, present[at])):
            value = _plain(values[int(first[at])])
            parts.append(Part(Segment(column=name, value=value), codes == present[at]))
    return parts, counts


def _request_column(logs: Logs, scope: str, name: str, requests: Ints) -> pl.Series:
    if scope == "request":
        return logs.requests.frame[name].gather(requests)
    return logs.users.frame[name].gather(logs.requests.user[requests])


def _plain(value: object) -> Value:
    finite = not isinstance(value, float) or isfinite(value)
    return value if value is None or (isinstance(value, str | int | float | bool) and finite) else str(value)
