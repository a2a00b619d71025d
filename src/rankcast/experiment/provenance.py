"""What shapes a run's results besides its data: the plan, texts that are written nowhere, code that is not ours."""

from __future__ import annotations

import json
from typing import Any

from rankcast.config.plan import Plan
from rankcast.experiment.assembly import inputs_of
from rankcast.plugins import code_of
from rankcast.replay.models.mlflow import MlflowModel


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


def private_code(plan: Plan) -> dict[str, str]:
    """The text of every private module that shapes the lists: of steps and of variants; and which model a registry gave."""
    words = {one.argument for variant in plan.variants for one in variant.steps if one.kind == "python"}
    words |= {variant.spec.python.function for variant in plan.variants if variant.spec.python is not None}
    code = {module: text for word in sorted(words) for module, text in code_of(word).items()}
    for variant in plan.variants:
        if variant.spec.mlflow is not None:
            code[f"variants.{variant.name}"] = MlflowModel(variant.spec.mlflow).identity()
    return code


def metric_code(plan: Plan) -> dict[str, str]:
    """The text of every private module of metrics."""
    words = [planned.metric.name for planned in plan.metrics if ":" in planned.metric.name]
    return {module: text for word in words for module, text in code_of(word).items()}


_MANNERS = ("concurrency", "timeout", "retries", "rate", "failures")  # how an API is asked, not what


def identifying_plan(plan: Plan) -> dict[str, Any]:
    """The plan without what shapes no result."""
    document = plan.document()
    for variant in document["study"]["variants"].values():
        if "http" in variant:
            variant["http"] = {key: value for key, value in variant["http"].items() if key not in _MANNERS}
    return document


def replayed_plan(plan: Plan) -> dict[str, Any]:
    """What of the plan shapes the lists, and what is known of them: with the same the same lists come out, whatever the
    metrics.
    """
    document = identifying_plan(plan)
    service = {**document["service"], "targets": {**document["service"]["targets"], "average": None}}
    kept = ("study", "treatment", "period", "baseline", "variants", "seed")
    return {"service": service, "study": {name: document["study"][name] for name in kept}}
