"""Problems that can be seen although the form of a file is wrong elsewhere, so that one round of mending is enough.

Where a file does not fit its model there is no plan to check; metrics, steps, builtins, `where` and the baseline's name are
looked at on the plain values instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from rankcast.config.environment import Environment
from rankcast.config.plan import Vocabulary
from rankcast.config.yaml import Document, Location
from rankcast.errors import Problem, RankcastError, nearest

_Attempt = tuple[Location, Any]


def independent_problems(document: Document, vocabulary: Vocabulary, environment: Environment) -> list[Problem]:
    """What `metrics`, `steps`, `builtin`, `where` and `baseline` say wrongly, whatever else is wrong."""
    values = document.values
    problems = []
    for location, attempt in (*_metrics(values, vocabulary), *_variants(values, vocabulary, environment),
                              *_service(values, vocabulary, environment)):  # fmt: skip
        try:
            attempt()
        except RankcastError as error:
            problems += [document.problem(problem.message, location) for problem in error.problems]
    variants, baseline = values.get("variants"), values.get("baseline")
    if isinstance(variants, dict) and isinstance(baseline, str) and baseline not in variants:
        problems.append(document.problem(f"no variant `{baseline}`{nearest(baseline, variants)}", ("baseline",)))
    return problems


def _metrics(values: Any, vocabulary: Vocabulary) -> Iterator[_Attempt]:
    metrics = values.get("metrics")
    if not isinstance(metrics, dict):
        return
    for key in ("primary", "guardrails", "also"):
        texts = metrics.get(key)
        for at, one in enumerate(texts if isinstance(texts, list) else [texts]):
            text = next(iter(one), None) if isinstance(one, dict) else one
            if isinstance(text, str):
                place: Location = ("metrics", key, at) if isinstance(texts, list) else ("metrics", key)
                yield place, partial(vocabulary.metric, text)


def _variants(values: Any, vocabulary: Vocabulary, environment: Environment) -> Iterator[_Attempt]:
    variants = values.get("variants")
    for name, variant in variants.items() if isinstance(variants, dict) else ():
        if isinstance(variant, dict):
            if isinstance(variant.get("builtin"), str):
                yield ("variants", name, "builtin"), partial(vocabulary.builtin, variant["builtin"], None)
            yield from _steps(variant.get("steps"), ("variants", name, "steps"), vocabulary, environment)


def _service(values: Any, vocabulary: Vocabulary, environment: Environment) -> Iterator[_Attempt]:
    production, targets = values.get("production"), values.get("targets")
    if isinstance(production, dict):
        yield from _steps(production.get("steps"), ("production", "steps"), vocabulary, environment)
    if isinstance(targets, dict) and isinstance(targets.get("where"), str):
        yield ("targets", "where"), partial(vocabulary.where, environment.expand(targets["where"]))


def _steps(steps: Any, place: Location, vocabulary: Vocabulary, environment: Environment) -> Iterator[_Attempt]:
    for at, step in enumerate(steps if isinstance(steps, list) else ()):
        if isinstance(step, str):
            yield (*place, at), partial(vocabulary.step, step, None)
        elif isinstance(step, dict) and len(kinds := [key for key in step if key != "name"]) == 1:
            yield (*place, at), partial(vocabulary.step, kinds[0], environment.filled(step[kinds[0]]))
