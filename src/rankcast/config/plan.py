"""The Plan: both files read, every default filled in, every name resolved. Rules that need only the plan can fire on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from rankcast.config.environment import Environment
from rankcast.config.service import Service, Table
from rankcast.config.study import WAYS, Study, Variant
from rankcast.tables.duration import Duration

_SILENT: Mapping[str, Any] = {"reads": [], "headers": {}}  # what the same means as silence
Family = Literal["primary", "guardrails", "exploration"]


@dataclass(frozen=True)
class Vocabulary:
    """How the stages read what the files say: each function gives an object, or raises ConfigError."""

    metric: Callable[[str], Any]
    step: Callable[[str, object], Any]
    where: Callable[[str], Any]
    builtin: Callable[[str, Duration | None], Any]
    rule: Callable[[str], Any]


@dataclass(frozen=True)
class PlannedStep:
    """A step under the name by which the run reports it; `argument` is as written, `step` what it means, `table` its own."""

    name: str
    kind: str
    argument: Any
    step: Any
    table: Table | None = None


@dataclass(frozen=True)
class PlannedVariant:
    """A variant with everything that it does not say itself taken from production."""

    name: str
    spec: Variant
    builtin: Any
    candidates: str | Table
    steps: tuple[PlannedStep, ...]
    served: int

    @property
    def decided(self) -> bool:
        """Builtin variants are references: compared, not decided."""
        return self.builtin is None


@dataclass(frozen=True)
class FileText:
    """One of the two files as it was read."""

    path: str
    text: str


@dataclass(frozen=True)
class PlannedMetric:
    """A metric and its role; `at_most_worse`: the relative loss that a guardrail must rule out."""

    family: Family
    metric: Any
    at_most_worse: float | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that a study does, resolved. `*_file` are as the user may see them, `*_folder` where paths start; `texts`
    are the `study` and the `service` as they were read."""

    study: Study
    service: Service
    study_file: str
    service_file: str
    study_folder: Path
    service_folder: Path
    lines: Mapping[str, Mapping[tuple[str | int, ...], int]]
    environment: Environment
    variants: tuple[PlannedVariant, ...]
    metrics: tuple[PlannedMetric, ...]
    where: Any
    texts: Mapping[str, FileText]

    def instant(self, moment: str) -> int:
        """A moment of the files in microseconds UTC; a date is midnight, a local time a reading of the service's clock."""
        read = datetime.combine(date.fromisoformat(moment), datetime.min.time()) if len(moment) == 10 else None
        read = read or datetime.fromisoformat(moment)
        if read.tzinfo is None:
            read = read.replace(tzinfo=ZoneInfo(self.service.timezone))
        since = read - datetime.fromtimestamp(0, tz=ZoneInfo("UTC"))
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds

    def line(self, file: str, *location: str | int) -> int | None:
        """The line where a place of a file stands."""
        lines = self.lines.get(file, {})
        return next((lines[location[:n]] for n in range(len(location), 0, -1) if location[:n] in lines), None)

    def place(self, variant: PlannedVariant, key: Literal["steps", "candidates"]) -> tuple[str, tuple[str, ...]]:
        """The file and the place in it that say a variant's steps or candidates: its own, or production's."""
        if getattr(variant.spec, key) is not None:
            return self.study_file, ("variants", variant.name, key)
        return self.service_file, ("production", key)

    def document(self) -> dict[str, Any]:
        """The resolved plan as plain values, defaults included; `${NAME}` stays as it is written."""
        service = self.service.model_dump(mode="json", by_alias=True, exclude={"submit"})
        service["tables"] = {name: _tables(table) for name, table in service["tables"].items() if table}
        study = self.study.model_dump(mode="json", by_alias=True, exclude={"variants"})
        study["metrics"] = {
            "primary": str(self.metrics[0].metric),
            "guardrails": [_guardrail(m) for m in self.metrics if m.family == "guardrails"],
            "also": [str(m.metric) for m in self.metrics if m.family == "exploration"],
        }
        if not service["rules"]:
            del service["rules"]
        if service["history"] is None:
            del service["history"]
        service["production"]["steps"] = [_step(step) for step in self._production_steps()]
        if isinstance(service["production"]["candidates"], dict):
            service["production"]["candidates"] = _table(service["production"]["candidates"])
        study["variants"] = {variant.name: _variant(variant) for variant in self.variants}
        return {"service": service, "study": study}

    def reviewed(self) -> dict[str, Any]:
        """The same with how it runs in a cluster, which is no part of a run: what a reviewer must see change."""
        told = self.document()
        submit = self.service.submit
        return (
            told
            if submit is None
            else {**told, "service": {**told["service"], "submit": submit.model_dump(mode="json")}}
        )

    def _production_steps(self) -> tuple[PlannedStep, ...]:
        return name_steps(
            [PlannedStep(one.name or one.kind, one.kind, one.argument, None) for one in self.service.production.steps]
        )


def name_steps(steps: list[PlannedStep]) -> tuple[PlannedStep, ...]:
    """Names that tell steps apart: a second one of a name gets `-2`.

    >>> [step.name for step in name_steps([PlannedStep("match", "match", {}, None), PlannedStep("match", "match", {}, None)])]
    ['match', 'match-2']
    """
    named: list[PlannedStep] = []
    for step in steps:
        base = step.name
        name, number = base, 1
        while name in [other.name for other in named]:
            number += 1
            name = f"{base}-{number}"
        named.append(replace(step, name=name))
    return tuple(named)


def _guardrail(planned: PlannedMetric) -> Any:
    name = str(planned.metric)
    return name if planned.at_most_worse is None else {name: {"at_most_worse": planned.at_most_worse}}


def _tables(written: Any) -> Any:
    """A table, or several; of several one alone stands for itself."""
    if isinstance(written, dict):
        return _table(written)
    return _table(written[0]) if len(written) == 1 else [_table(one) for one in written]


def _table(table: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in table.items() if value not in (None, {}, [])}
    if "path" in kept and len(kept["path"]) == 1:
        kept["path"] = kept["path"][0]
    if "files" in kept:
        kept["files"] = {name: paths[0] if len(paths) == 1 else paths for name, paths in kept["files"].items()}
    return kept


def _step(step: PlannedStep) -> Any:
    written = step.kind if step.argument is None else {step.kind: step.argument}
    if step.name == step.kind:
        return written
    return {**(written if isinstance(written, dict) else {step.kind: None}), "name": step.name}


def _variant(variant: PlannedVariant) -> dict[str, Any]:
    said = variant.spec.model_dump(mode="json", by_alias=True, include={*WAYS, "within", "trained_until", "training"})
    shown = {key: value for key, value in said.items() if value is not None}
    if "scores" in shown:
        shown["scores"] = _table(shown["scores"])
    if "python" in shown:
        shown["python"] = {
            key: value for key, value in shown["python"].items() if value is not None and value != _SILENT.get(key)
        }
    if "training" in shown:
        shown["training"] = {key: value for key, value in shown["training"].items() if value is not None}
        if "features" in shown["training"]:
            shown["training"]["features"] = _table(shown["training"]["features"])
    if "http" in shown:
        shown["http"] = {
            key: value for key, value in shown["http"].items() if value is not None and value != _SILENT.get(key)
        }
    candidates = variant.candidates
    shown["candidates"] = candidates if isinstance(candidates, str) else _table(candidates.model_dump(mode="json"))
    shown["steps"] = [_step(step) for step in variant.steps]
    shown["served"] = variant.served
    return shown
