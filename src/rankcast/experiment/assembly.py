"""From the Plan to the objects that the stages receive. Stages never see the config."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rankcast.comparison.table import Terms
from rankcast.config.comparing import HISTORY
from rankcast.config.plan import Plan, PlannedVariant, Vocabulary
from rankcast.config.service import Table
from rankcast.config.study import WAYS, HttpVariant
from rankcast.config.yaml import dotted
from rankcast.errors import ConfigError, DataError, Place, Problem, nearest
from rankcast.evaluate.catalogue import Catalogue, History
from rankcast.evaluate.grammar import parse
from rankcast.evaluate.impressed import Impressed
from rankcast.evaluate.judge import Scene
from rankcast.evaluate.metric import CATALOGUE, IMPRESSIONS, RequestMetric
from rankcast.evaluate.metric import HISTORY as PAST
from rankcast.evaluate.truth.labels import Labelling
from rankcast.evaluate.truth.targets import Known, Rule
from rankcast.experiment.shard import Model
from rankcast.plugins import BUILTINS, RULES, load
from rankcast.replay import step
from rankcast.replay.builtin import Builtin, Scorer, Setting
from rankcast.replay.models.mlflow import MlflowModel
from rankcast.replay.models.python import PythonModel
from rankcast.replay.step import NamedStep
from rankcast.sources.api import Api
from rankcast.sources.happened import EventTerms
from rankcast.sources.load import Inputs, Loaded
from rankcast.sources.source import FileSet, Pattern, Source
from rankcast.tables.duration import Duration
from rankcast.tables.expression import Expression
from rankcast.tables.logs import Ints, Logs
from rankcast.tables.parts import ScoreParts

EVENTS = "events"


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
    return Vocabulary(
        metric=partial(parse, private=execute),
        step=step.parse,
        where=_where,
        builtin=_builtin,
        rule=partial(load, RULES),
    )


def inputs_of(plan: Plan, answers: Mapping[str, Path] | None = None) -> Inputs:
    """Every table to load. `answers`: what APIs answered, by variant."""
    tables = {
        name: table_source(plan, table, ("tables", name), plan.service_file, plan.service_folder)
        for name in type(plan.service.tables).model_fields
        if name != EVENTS and (table := getattr(plan.service.tables, name)) is not None
    }
    events: dict[str, EventTerms] = {}
    for at, declared in enumerate(plan.service.tables.events):
        name = EVENTS if at == 0 else f"{EVENTS} {at + 1}"
        where = ("tables", EVENTS) if len(plan.service.tables.events) == 1 else ("tables", EVENTS, at)
        tables[name] = table_source(plan, declared, where, plan.service_file, plan.service_folder)
        until = None if declared.complete_until is None else plan.instant(declared.complete_until)
        events[name] = EventTerms(declared.event, declared.distinct, until)
    scores = {
        variant.name: table_source(
            plan, variant.spec.scores, ("variants", variant.name, "scores"), plan.study_file, plan.study_folder
        )
        for variant in plan.variants
        if variant.spec.scores is not None
    }
    for name, path in (answers or {}).items():
        recorded = FileSet((Pattern.of(path.name, str(path), path.parent),))
        scores[name] = Source(dotted(("variants", name, "http")), recorded, declared_in=plan.study_file)
    candidates, placements, reads, features = {}, {}, {}, {}
    for variant in plan.variants:
        if isinstance(variant.candidates, Table):
            file, place = plan.place(variant, "candidates")
            candidates[dotted(place)] = table_source(plan, variant.candidates, place, file, _folder(plan, file))
        for at, one in enumerate(variant.steps):
            if one.table is not None:
                file, place = plan.place(variant, "steps")
                written: tuple[str | int, ...] = (*place, at, one.kind)
                placements[dotted(written)] = table_source(plan, one.table, written, file, _folder(plan, file))
        if variant.spec.python is not None and variant.spec.python.reads:
            key: tuple[str, ...] = ("variants", variant.name, "python")
            read = Table.model_validate({"path": list(variant.spec.python.reads)})
            reads[variant.name] = table_source(plan, read, key, plan.study_file, plan.study_folder)
        fed = None if variant.spec.training is None else variant.spec.training.features
        if fed is not None:
            key = ("variants", variant.name, "training", "features")
            features[variant.name] = table_source(plan, fed, key, plan.study_file, plan.study_folder)
    return Inputs(tables, scores, candidates, plan.service.timezone, placements, reads, events, features)


def _folder(plan: Plan, file: str) -> Path:
    return plan.study_folder if file == plan.study_file else plan.service_folder


def table_source(plan: Plan, table: Table, place: tuple[str | int, ...], file: str, folder: Path) -> Source:
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


def apis_of(plan: Plan, logs: Logs, requests: Ints) -> list[tuple[Api, pl.DataFrame]]:
    """Every API among the variants, with the parameters of its questions about some requests (codes)."""
    return [
        (
            _api(plan, variant.name, variant.spec.http, logs),
            _asked(variant.spec.http, logs, requests),
        )
        for variant in plan.variants
        if variant.spec.http is not None
    ]


def _api(plan: Plan, name: str, spec: HttpVariant, logs: Logs) -> Api:
    return Api(
        name=name,
        url=plan.environment.expand(spec.url),
        headers={key: plan.environment.expand(value) for key, value in spec.headers.items()},
        items=spec.items,
        item_id=spec.item_id,
        score=spec.score,
        concurrency=spec.concurrency,
        timeout=spec.timeout,
        retries=spec.retries,
        rate=spec.rate,
        failures=spec.failures,
        integers=logs.ids.items.dtype == pl.Int64 if len(logs.ids.items) else None,
        place=place_of(plan, plan.study_file, "variants", name, "http"),
        mask=plan.environment.mask,
    )


def _asked(spec: HttpVariant, logs: Logs, requests: Ints) -> pl.DataFrame:
    if spec.query is None:
        frame = logs.requests.frame
        query: Mapping[str, Any] = {column: f"request.{column}" for column in frame.columns}
    else:
        query = spec.query
    columns = {"request_id": logs.ids.requests.gather(requests)}
    for parameter, value in query.items():
        scope, column = _read_by(value)
        if scope:
            columns[f"?{parameter}"] = request_column(logs, scope, column, requests)
        else:
            columns[f"?{parameter}"] = pl.repeat(value, len(requests), eager=True)
    return pl.DataFrame(columns)


def _read_by(value: object) -> tuple[str, str]:
    """The scope and column that a parameter reads; two empty texts for a value as it is."""
    scope, dot, column = value.partition(".") if isinstance(value, str) else ("", "", "")
    return (scope, column) if dot and scope in ("request", "user") else ("", "")


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
    wanted += [(service, ("targets", "average"), one) for one in plan.service.targets.average]
    wanted += _named(service, ("targets", "weight"), plan.service.targets.weight)
    behaviour = plan.service.behaviour
    for key in ("depth", "by") if behaviour is not None else ():
        wanted += _named(service, ("behaviour", key), getattr(behaviour, key))
    wanted += [(study, ("compare", "cluster", at), one) for at, one in enumerate(plan.study.compare.cluster)]
    wanted += _named(study, ("compare", "cuped"), plan.study.compare.cuped)
    needs = {need for planned in plan.metrics for need in planned.metric.needs()}
    wanted += [(study, ("metrics",), need) for need in sorted(needs)]
    wanted += [
        (study, ("segments", at), axis.column) for at, one in enumerate(plan.study.segments) for axis in one.axes
    ]
    wanted += [
        (study, ("variants", variant.name, "http", "query", parameter), str(value))
        for variant in plan.variants
        if variant.spec.http is not None
        for parameter, value in (variant.spec.http.query or {}).items()
        if _read_by(value)[0]
    ]
    wanted += [
        (study, ("variants", variant.name, "python", "columns", at), column)
        for variant in plan.variants
        if variant.spec.python is not None
        for at, column in enumerate(variant.spec.python.columns or ())
    ]
    problems = []
    for file, location, need in dict.fromkeys(one for one in wanted if one[2] != HISTORY):
        scope, dot, name = need.partition(".")
        if dot and scope in columns and name not in columns[scope]:
            hint = nearest(name, columns[scope])
            message = f"no column `{name}` in the table of {scope}s{hint}"
            problems.append(Problem(message, file, plan.line(file, *location), dotted(location)))
    return problems


def _named(
    file: str, location: tuple[str | int, ...], column: str | None
) -> list[tuple[str, tuple[str | int, ...], str]]:
    return [] if column is None else [(file, location, column)]


def liked(plan: Plan) -> tuple[str, ...]:
    """The graded kinds of events, those aside that tell dislike: what makes an item popular."""
    return tuple(sorted(kind for kind, one in plan.service.labels.grades.items() if one.grade >= 0))


def setting_of(plan: Plan) -> Setting:
    """What scorers may know besides the logs."""
    return Setting(liked(plan), plan.service.timezone, plan.study.seed)


def models_of(plan: Plan, loaded: Loaded) -> list[Model]:
    """Every variant, as it waits to be replayed."""
    return [_model(plan, planned, loaded) for planned in plan.variants]


def _model(plan: Plan, planned: PlannedVariant, loaded: Loaded) -> Model:
    file, place = plan.place(planned, "steps")
    steps = []
    for at, one in enumerate(planned.steps):
        here = place_of(plan, file, *place, at)
        with here.blamed():
            if "score" in one.step.needs() and planned.name in loaded.scores and loaded.scores[planned.name].ranked:
                raise DataError(f"reads `score`, but variants.{planned.name} has only an order, no scores")
        table = None if one.table is None else dotted((*place, at, one.kind))
        steps.append(NamedStep(one.name, one.step, here, table))
    candidates = planned.candidates
    if isinstance(candidates, Table):
        candidates = dotted(plan.place(planned, "candidates")[1])
    return Model(
        name=planned.name,
        source=_source_of(planned, loaded),
        candidates=candidates,
        steps=tuple(steps),
        served=planned.served,
        borrows=planned.spec.http is not None,
        place=_place_of_scores(plan, planned),
    )


def _place_of_scores(plan: Plan, planned: PlannedVariant) -> Place:
    way = next(way for way in WAYS if getattr(planned.spec, way) is not None)
    return place_of(plan, plan.study_file, "variants", planned.name, way)


def _source_of(planned: PlannedVariant, loaded: Loaded) -> ScoreParts | Scorer:
    spec = planned.spec
    if spec.python is not None:
        return PythonModel(spec.python.function, spec.python.columns)
    if spec.mlflow is not None:
        return MlflowModel(spec.mlflow)
    scorer: Scorer | None = planned.builtin
    return scorer if scorer is not None else loaded.scores[planned.name]


def place_of(plan: Plan, file: str, *location: str | int) -> Place:
    """A place of one of the two files."""
    return Place(file, plan.line(file, *location), dotted(location))


def labelling_of(plan: Plan) -> Labelling:
    """How events become labels."""
    labels = plan.service.labels
    return Labelling(
        {kind: one.grade for kind, one in labels.grades.items()},
        labels.horizon,
        labels.attribute,
        {kind: one.within for kind, one in labels.grades.items() if one.within is not None},
        {kind: one.after for kind, one in labels.grades.items() if one.after is not None},
    )


def known_of(plan: Plan, logs: Logs) -> tuple[Known, ...]:
    """Of each graded kind of event, how long it counts and up to when it is known."""
    rule, events = labelling_of(plan), logs.events
    return tuple(
        Known(kind, rule.horizon_of(kind).micros, events.known_until.get(kind, events.known)) for kind in rule.grades
    )


def terms_of(plan: Plan) -> Terms:
    """What the study declared about how variants are compared."""
    declared = plan.study.compare
    return Terms(
        declared.confidence,
        declared.smallest_effect,
        declared.correction,
        plan.study.seed,
        declared.method,
        declared.replications,
        declared.least_users,
    )


def scene_of(plan: Plan, logs: Logs) -> Scene:
    """What metrics see beside slates and labels; what none of them needs is left out."""
    needs = {need.partition(".")[0] for planned in plan.metrics for need in planned.metric.needs()}
    catalogue = None
    if needs & {"item", CATALOGUE, PAST}:
        history = None
        if PAST in needs:
            graded = logs.events.of_kinds(liked(plan))
            start = plan.instant(plan.study.period.from_)
            history = History.before(logs.events, graded, start, len(logs.ids.items))
        catalogue = Catalogue(logs.items.frame, logs.items.known, history)
        for planned in plan.metrics:
            with place_of(plan, plan.study_file, "metrics").blamed():
                planned.metric.check(catalogue)
    return Scene(
        user=logs.requests.user,
        until=logs.requests.time + labelling_of(plan).longest,
        impressed=Impressed.of(logs) if IMPRESSIONS in needs else None,
        catalogue=catalogue,
    )


def weighed_of(plan: Plan) -> list[RequestMetric]:
    """The metrics that decide and look at labels: of them it is told how much rests on unjudged items."""
    return [
        planned.metric
        for planned in plan.metrics
        if planned.family != "exploration" and isinstance(planned.metric, RequestMetric) and planned.metric.needs_labels
    ]


def target_rule(plan: Plan, logs: Logs) -> Rule:
    """What makes a request a target."""
    admitted = np.ones(len(logs.requests.time), dtype=bool)
    if plan.where is not None:
        everyone = np.arange(len(admitted))
        with place_of(plan, plan.service_file, "targets", "where").blamed():
            admitted = plan.where.evaluate(
                lambda scope, name: request_column(logs, scope, name, everyone), len(admitted)
            )
    return Rule(
        start=plan.instant(plan.study.period.from_),
        end=plan.instant(plan.study.period.to),
        admitted=admitted,
        known=known_of(plan, logs),
        without_labels=plan.service.targets.without_labels,
        keep_late=plan.service.labels.late == "report",
    )


def request_column(logs: Logs, scope: str, name: str, requests: Ints) -> pl.Series:
    """A column of requests or of their users, for some requests (codes)."""
    if scope == "request":
        return logs.requests.frame[name].gather(requests)
    return logs.users.frame[name].gather(logs.requests.user[requests])
