"""From two files to a Plan, or to every problem that they have."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rankcast.config.environment import Environment, names_in
from rankcast.config.independent import independent_problems
from rankcast.config.plan import (
    Family,
    FileText,
    Plan,
    PlannedMetric,
    PlannedStep,
    PlannedVariant,
    Vocabulary,
    name_steps,
)
from rankcast.config.problems import message_of, problems_of
from rankcast.config.references import reference_problems
from rankcast.config.service import Service, Step, Table
from rankcast.config.study import Study
from rankcast.config.yaml import Document, Location, load, text_of
from rankcast.errors import ConfigError, Problem, RankcastError, nearest, show

Model = TypeVar("Model", bound=BaseModel)
_WORDS = {"candidates", "served"}
_VARIABLES_IN = {"path", "sql", "where", "files", "service", "url", "headers", "reads"}


def read_plan(path: Path, vocabulary: Vocabulary, environ: Mapping[str, str], need_variables: bool = True) -> Plan:
    """Read a study and its service. ConfigError with all problems of both files.

    `need_variables`: a `${NAME}` that is not set is a problem.
    """
    return _Loader(vocabulary, environ, need_variables).plan(path)


def read_texts(
    files: Mapping[str, FileText],
    base: Path,
    vocabulary: Vocabulary,
    environ: Mapping[str, str],
    need_variables: bool = True,
) -> Plan:
    """The plan of a `study` and a `service` as they were: their texts, and where they stood, relative to `base`."""
    texts = {name: file.text for name, file in files.items()}
    return _Loader(vocabulary, environ, need_variables, texts=texts).plan(
        Path(os.path.normpath(base.resolve() / files["study"].path))
    )


class _Loader:
    """Collects problems while it builds the plan. `texts` of the files stand for what is on disk."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        environ: Mapping[str, str],
        need_variables: bool,
        texts: Mapping[str, str] | None = None,
    ) -> None:
        self.texts = texts or {}
        self.read_texts: dict[str, FileText] = {}
        self.vocabulary = vocabulary
        self.environ = environ
        self.need_variables = need_variables
        self.problems: list[Problem] = []

    def plan(self, path: Path) -> Plan:
        study_document, study = self._read("study", path, Study)
        service_path = self._service_path(path, study_document)
        service_document, service = (None, None)
        if service_path is not None:
            service_document, service = self._read("service", service_path, Service)
        documents = [document for document in (study_document, service_document) if document is not None]
        environment = self._environment(documents)
        if (
            study is None
            or service is None
            or study_document is None
            or service_document is None
            or service_path is None
        ):
            for document in documents:
                self.problems += independent_problems(document, self.vocabulary, environment)
            raise ConfigError(environment.mask_problem(problem) for problem in self._sorted())
        metrics = self._metrics(study, study_document)
        steps = self._steps(service.production.steps, service_document, ("production", "steps"), environment)
        variants = self._variants(study, service, steps, study_document, environment)
        where = self._where(service, service_document, environment)
        plan = Plan(
            study=study,
            service=service,
            study_file=study_document.file,
            service_file=service_document.file,
            study_folder=path.parent.resolve(),
            service_folder=service_path.parent.resolve(),
            lines={document.file: document.lines for document in documents},
            environment=environment,
            variants=variants,
            metrics=metrics,
            where=where,
            texts=self.read_texts,
        )
        self.problems += reference_problems(plan, study_document, service_document)
        self._rules(plan, study_document, service_document)
        if self.problems:
            raise ConfigError(environment.mask_problem(problem) for problem in self._sorted())
        return plan

    def _sorted(self) -> list[Problem]:
        unique = list(dict.fromkeys(self.problems))
        return sorted(unique, key=lambda problem: (problem.file or "", problem.line or 0))

    def _read(self, name: str, path: Path, model: type[Model]) -> tuple[Document | None, Model | None]:
        shown = _relative(path)
        try:
            text = self.texts[name] if name in self.texts else text_of(path, shown)
            self.read_texts[name] = FileText(str(path.resolve()), text)
            document = load(text, shown)
        except ConfigError as error:
            self.problems += error.problems
            return None, None
        try:
            return document, model.model_validate(document.values)
        except ValidationError as error:
            self.problems += problems_of(error, document, model)
            return document, None

    def _service_path(self, path: Path, document: Document | None) -> Path | None:
        written = document.values.get("service") if document is not None else None
        if not isinstance(written, str):
            return None
        environment = Environment.of(names_in(written), self.environ)
        service = path.parent / environment.expand(written)
        if not service.is_file() and document is not None and "service" not in self.texts:
            self.problems.append(
                document.problem(f"no file `{written}`; the path is relative to this study", ("service",))
            )
            return None
        return service

    def _environment(self, documents: list[Document]) -> Environment:
        names: list[str] = []
        for document in documents:
            for location, text in _texts(document.values, ()):
                found = names_in(text)
                names += found
                if found and not _VARIABLES_IN & set(map(str, location)):
                    self.problems.append(
                        document.problem(
                            f"`${{{found[0]}}}` is understood in path, files, sql, where, service, url, headers and reads, "
                            "not here",
                            location,
                        )
                    )
                for name in found:
                    if name not in self.environ and self.need_variables:
                        self.problems.append(
                            document.problem(
                                f"the environment variable {name} is not set; set it, e.g. `export {name}=...`",
                                location,
                            )
                        )
        return Environment.of(names, self.environ)

    def _try(self, build: Callable[[], Any], document: Document, location: Location) -> Any:
        try:
            return build()
        except RankcastError as error:
            self.problems += [document.problem(problem.message, location) for problem in error.problems]
            return None

    def _metrics(self, study: Study, document: Document) -> tuple[PlannedMetric, ...]:
        named: list[tuple[Family, str, Location]] = [("primary", study.metrics.primary, ("metrics", "primary"))]
        named += [
            ("guardrails", one.metric, ("metrics", "guardrails", at)) for at, one in enumerate(study.metrics.guardrails)
        ]
        named += [("exploration", text, ("metrics", "also", at)) for at, text in enumerate(study.metrics.also)]
        margins: dict[Location, float | None] = {
            ("metrics", "guardrails", at): one.at_most_worse for at, one in enumerate(study.metrics.guardrails)
        }
        planned: list[PlannedMetric] = []
        for family, text, location in named:
            metric = self._try(partial(self.vocabulary.metric, text), document, location)
            if metric is None:
                continue
            if str(metric) in [str(other.metric) for other in planned]:
                self.problems.append(
                    document.problem(f"`{text}` is the metric `{metric}`, which the study names already", location)
                )
            planned.append(PlannedMetric(family, metric, margins.get(location)))
        return tuple(planned)

    def _steps(
        self, steps: tuple[Step, ...], document: Document, location: Location, environment: Environment
    ) -> tuple[PlannedStep, ...]:
        planned = []
        for at, step in enumerate(steps):
            place = (*location, at)
            argument = step.argument
            built = self._try(partial(self.vocabulary.step, step.kind, environment.filled(argument)), document, place)
            table = None
            if getattr(built, "has_table", False):
                table = self._table(argument, document, (*place, step.kind))
            if step.name in _WORDS:
                problem = f"`{step.name}` is a word of the report; choose another name for the step"
                self.problems.append(document.problem(problem, (*place, "name")))
            planned.append(PlannedStep(step.name or step.kind, step.kind, argument, built, table))
        return name_steps(planned)

    def _table(self, argument: object, document: Document, location: Location) -> Table | None:
        """A step's own table."""
        try:
            return Table.model_validate(argument)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                self.problems.append(document.problem(message_of(detail, Table), location))
            return None

    def _variants(
        self,
        study: Study,
        service: Service,
        production: tuple[PlannedStep, ...],
        document: Document,
        environment: Environment,
    ) -> tuple[PlannedVariant, ...]:
        planned = []
        for name, spec in study.variants.items():
            place = ("variants", name)
            builtin = None
            if spec.builtin is not None:
                builtin = self._try(
                    partial(self.vocabulary.builtin, spec.builtin, spec.within), document, (*place, "builtin")
                )
            elif spec.within is not None:
                self.problems.append(document.problem("`within` belongs to a builtin variant", (*place, "within")))
            url = "" if spec.http is None else environment.expand(spec.http.url)
            if spec.http is not None and not url.startswith(("http://", "https://", "${")):
                problem = f"expected an address such as http://localhost:8080/recommend, found {show(url)}"
                self.problems.append(document.problem(problem, (*place, "http", "url")))
            for key in ("steps", "candidates", "served"):
                if getattr(spec, key) is not None and key not in study.treatment:
                    self.problems.append(
                        document.problem(
                            f"the study's `treatment` does not say that variants may change {key}; found treatment: "
                            f"[{', '.join(study.treatment)}]",
                            (*place, key),
                        )
                    )
            steps = production
            if spec.steps is not None:
                steps = self._steps(spec.steps, document, (*place, "steps"), environment)
            planned.append(
                PlannedVariant(
                    name,
                    spec,
                    builtin,
                    spec.candidates or service.production.candidates,
                    steps,
                    spec.served or service.production.served,
                )
            )
        if study.baseline not in study.variants:
            self.problems.append(
                document.problem(
                    f"no variant `{study.baseline}`{nearest(study.baseline, study.variants)}", ("baseline",)
                )
            )
        return tuple(planned)

    def _rules(self, plan: Plan, study: Document, service: Document) -> None:
        """Codes and thresholds that no rule has."""
        for code in plan.study.allow:
            rule = self._try(partial(self.vocabulary.rule, code), study, ("allow", code))
            if rule is not None and not rule.waivable:
                self.problems.append(study.problem("a rule about `allow` cannot be waived", ("allow", code)))
        for code, given in plan.service.rules.items():
            rule = self._try(partial(self.vocabulary.rule, code), service, ("rules", code))
            for name, value in given.items() if rule is not None else ():
                known = rule.thresholds
                told = (
                    f"rule {code} has no threshold `{name}`{nearest(name, known) if known else ': it has none at all'}"
                )
                told = known[name].refuses(value) if name in known else told
                if told:
                    self.problems.append(service.problem(told, ("rules", code, name)))

    def _where(self, service: Service, document: Document, environment: Environment) -> Any:
        text = service.targets.where
        if text is None:
            return None
        return self._try(lambda: self.vocabulary.where(environment.expand(text)), document, ("targets", "where"))


def _relative(path: Path) -> str:
    """A path as people say it from where they stand."""
    relative = os.path.relpath(path)
    return str(path) if relative.count("..") > 2 else relative


def _texts(value: Any, location: Location) -> Iterator[tuple[Location, str]]:
    if isinstance(value, str):
        yield location, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, (*location, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _texts(inner, (*location, at))
