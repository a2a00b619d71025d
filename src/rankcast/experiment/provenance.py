"""What shapes a run's results besides its data: the plan, texts that are written nowhere, code that is not ours."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from rankcast.config.plan import Plan
from rankcast.errors import DataError, Place, Problem, RankcastError
from rankcast.experiment.assembly import inputs_of, place_of
from rankcast.plugins import BUILTINS, METRICS, STEPS, code_behind, code_of
from rankcast.replay.models.mlflow import MlflowModel
from rankcast.rules.catalogue import holds
from rankcast.rules.evidence import today


def private_text(plan: Plan) -> str:
    """SQL, `where` and addresses with their variables filled in: they shape the results, so they belong to the run's identity,
    and are written nowhere.
    """
    inputs = inputs_of(plan)
    sources = [*inputs.tables.values(), *inputs.scores.values(), *inputs.candidates.values()]
    sql = [source.sql for source in (*sources, *inputs.placements.values())]
    arguments = [plan.environment.filled(one.argument) for variant in plan.variants for one in variant.steps]
    addresses = [plan.environment.expand(one.spec.http.url) for one in plan.variants if one.spec.http is not None]
    where = plan.service.targets.where
    return json.dumps([sql, arguments, addresses, where and plan.environment.expand(where)])


def private_hash(plan: Plan) -> str:
    """A short hash of what is written nowhere: it tells a change, and nothing else."""
    return hashlib.blake2b(private_text(plan).encode(), digest_size=4).hexdigest()


def private_code(plan: Plan) -> dict[str, str]:
    """The text of every module, not our own, that shapes the lists: of steps, builtins and variants; and which model a registry
    gave. Every problem of all of them is told at once.
    """
    wanted: list[tuple[Place, Callable[[], dict[str, str]]]] = []
    for variant in plan.variants:
        file, at = plan.place(variant, "steps")
        for number, one in enumerate(variant.steps):
            place = place_of(plan, file, *at, number)
            wanted.append((place, partial(code_behind, STEPS, one.kind)))
            if one.kind == "python":
                wanted.append((place, partial(code_of, one.argument)))
        spec, here = variant.spec, ("variants", variant.name)
        if spec.builtin is not None:
            place = place_of(plan, plan.study_file, *here, "builtin")
            wanted.append((place, partial(code_behind, BUILTINS, spec.builtin)))
        if spec.python is not None:
            place = place_of(plan, plan.study_file, *here, "python")
            wanted.append((place, partial(code_of, spec.python.function)))
        if spec.mlflow is not None:
            place = place_of(plan, plan.study_file, *here, "mlflow")
            wanted.append((place, partial(_registered, variant.name, spec.mlflow)))
    code: dict[str, str] = {}
    problems: list[Problem] = []
    for place, look in wanted:
        try:
            with place.blamed():
                code |= look()
        except RankcastError as error:
            problems += error.problems
    if problems:
        raise DataError(dict.fromkeys(problems))
    return code


def _registered(variant: str, model: str) -> dict[str, str]:
    return {f"variants.{variant}": MlflowModel(model).identity()}


def metric_code(plan: Plan) -> dict[str, str]:
    """The text of every module of metrics that is not our own."""
    code: dict[str, str] = {}
    for name in (planned.metric.name for planned in plan.metrics):
        code |= code_of(name) if ":" in name else code_behind(METRICS, name)
    return code


_MANNERS = ("concurrency", "timeout", "retries", "rate", "failures")  # how an API is asked, not what


def identifying_plan(plan: Plan) -> dict[str, Any]:
    """The plan without what shapes no result."""
    document = plan.document()
    for code, waiver in document["study"]["allow"].items():
        waiver["holds"] = holds(plan, code, today())  # from the day on which one ends, the findings are others
    for variant in document["study"]["variants"].values():
        if "http" in variant:
            variant["http"] = {key: value for key, value in variant["http"].items() if key not in _MANNERS}
    return document


def replayed_plan(plan: Plan) -> dict[str, Any]:
    """What of the plan shapes the lists, and what is known of them: with the same the same lists come out, whatever the
    metrics.
    """
    document = identifying_plan(plan)
    service = {**document["service"], "targets": {**document["service"]["targets"], "average": None, "weight": None}}
    service["production"] = {**service["production"], "released": None}
    service.pop("rules", None)
    service.pop("history", None)
    for variant in document["study"]["variants"].values():
        variant.pop("training", None)
    kept = ("study", "treatment", "period", "baseline", "variants", "seed")
    return {"service": service, "study": {name: document["study"][name] for name in kept}}
