"""A study, top to bottom: the only module that knows all stages."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from pydantic import BaseModel

from rankcast import assembly, merge
from rankcast.comparison.table import Terms, ValuesTable
from rankcast.comparison.verdicts import compare, decide
from rankcast.config.load import read_plan
from rankcast.config.plan import Plan
from rankcast.config.service import Service
from rankcast.config.study import Study
from rankcast.engines import local, shards
from rankcast.errors import DataError, Problem, RankcastError, RunError
from rankcast.evaluate import labels as labelling
from rankcast.evaluate.labels import Labels, Outcomes
from rankcast.evaluate.targets import Population, select, weights
from rankcast.progress import Progress
from rankcast.records import Finding, Result, Results
from rankcast.replay.candidates import AVAILABLE, Batches
from rankcast.report.document import Report, sample_slates
from rankcast.report.write import write_reports
from rankcast.rules.rule import Evidence, check_all
from rankcast.runs import folder as runs
from rankcast.runs.folder import Run
from rankcast.runs.identity import run_id
from rankcast.runs.manifest import manifest, peak_memory_mb
from rankcast.shard import Outcome, Work, evaluate_shard
from rankcast.sources.headers import check_headers
from rankcast.sources.load import Loaded, load
from rankcast.tables.logs import Logs

Answer = TypeVar("Answer")
SHARD_ROWS = 4_000_000  # candidate rows of one shard, about
OUT = Path("runs")


def plan(path: str | Path, need_variables: bool = True, execute: bool = False) -> Plan:
    """The resolved plan of a study. ConfigError lists every problem of its two files.

    `execute`: private code that the study names may be imported.
    """
    return read_plan(Path(path), assembly.vocabulary(execute), os.environ, need_variables)


def check(path: str | Path, with_data: bool = True) -> tuple[Plan, tuple[Finding, ...]]:
    """Everything that can be known before running: the files' problems, and rules that need only the plan.

    Reads no rows, executes no code of the study, opens no network. Without data, nothing but the two files is looked at.
    """
    planned = plan(path, need_variables=with_data)
    problems: list[Problem] = []
    if with_data:
        columns, problems = check_headers(assembly.inputs_of(planned))
        problems = problems or assembly.column_problems(planned, columns)
    if problems:
        raise DataError(planned.environment.mask_problem(problem) for problem in problems)
    return planned, check_all(Evidence(planned, None, None, has_run=False))


def run(path: str | Path, out: str | Path = OUT, progress: Progress | None = None) -> Run:
    """Run a study and return its run; the same inputs give the same run, which is found rather than made again."""
    planned = plan(path, execute=True)
    if Path(out).exists() and not Path(out).is_dir():
        raise RunError(f"{out} is a file; expected a folder to keep runs in")
    try:
        return _run(planned, Path(out), progress or Progress())
    except RankcastError as error:
        raise type(error)(planned.environment.mask_problem(problem) for problem in error.problems) from error


def _run(planned: Plan, out: Path, progress: Progress) -> Run:
    clock = _Clock(progress)
    loaded = clock.time("load", lambda: load(assembly.inputs_of(planned), partial(progress.note, "load")))
    identity = run_id(planned.document(), assembly.private_text(planned), loaded.contents)
    place = runs.place(out, planned.study.study, identity)
    if place.exists():
        done = Run(place)
        if done.result:
            progress.note("run", f"this study ran before on the same data: {place}")
        return done
    problems = assembly.column_problems(planned, assembly.columns_of(loaded.logs))
    if problems:
        raise DataError(problems)
    with runs.writing(place) as folder:
        _Experiment(planned, loaded, clock, folder, identity).perform()
    return Run(place)


@dataclass(frozen=True)
class _Experiment:
    """REPRODUCE, EVALUATE, COMPARE, REPORT; everything is written into `folder`."""

    plan: Plan
    loaded: Loaded
    clock: _Clock
    folder: Path
    identity: str

    def perform(self) -> None:
        logs = self.loaded.logs
        outcomes, labels, population = self.clock.time("label", self._label)
        if not len(population.replayed):
            raise DataError(_nobody(self.plan, population, logs))
        weight = weights(assembly.weight_groups(self.plan, logs, population.targets), len(population.targets))
        parts, folded = assembly.parts_of(self.plan, logs, population.targets)
        work = self._work(labels, population)
        done = self.clock.time("replay", lambda: self._replay(work, population))
        table = merge.values_table(self.plan, work, done, population, weight, parts)
        metrics, comparisons = self.clock.time("compare", lambda: compare(table, self._terms()))
        fidelity = merge.fidelity(self.plan.study.baseline, done)
        findings = check_all(
            Evidence(self.plan, int(logs.requests.time[population.replayed].min()), fidelity, has_run=True)
        )
        results = Results(
            counts=(*self.loaded.counts, *merge.label_counts(outcomes), *folded),
            targets=population.ledger,
            variants=merge.variant_rows(done),
            steps=merge.step_rows(done),
            fidelity=fidelity,
            metrics=metrics,
            comparisons=comparisons,
        )
        decision = decide(table, comparisons, merge.invalid(fidelity, self.plan.study.fidelity.at_least), findings)
        result = Result(
            study=self.plan.study.study, run=self.identity, decision=decision, results=results, findings=findings
        )
        self.clock.time("report", lambda: self._write(result, table, outcomes, population))
        runs.write_json(self.folder / "manifest.json", self._manifest())

    def _label(self) -> tuple[Outcomes, Labels, Population]:
        logs = self.loaded.logs
        outcomes = labelling.attribute(logs, assembly.labelling_of(self.plan))
        labels = labelling.labels_of(outcomes, logs)
        events = self.plan.service.tables.events
        declared = events.complete_until if events is not None else None
        known = labelling.known_until(logs, None if declared is None else self.plan.instant(declared))
        population = select(logs, labels, assembly.target_rule(self.plan, logs, known))
        for row in population.ledger:
            self.clock.progress.note("label", f"{row.step}: {row.out:,} of {row.in_:,} requests")
        return outcomes, labels, population

    def _work(self, labels: Labels, population: Population) -> Work:
        is_target = np.zeros(len(self.loaded.logs.requests.time), dtype=bool)
        is_target[population.targets] = True
        return Work(
            service=assembly.service_of(self.plan, self.loaded),
            variants=assembly.variants_of(self.plan, self.loaded),
            baseline=self.plan.study.baseline,
            labels=labels,
            scene=assembly.scene_of(self.plan, self.loaded.logs),
            is_target=is_target,
            metrics=[planned.metric for planned in self.plan.metrics],
            unlabelled_as_zero=self.plan.service.targets.without_labels == "zero",
        )

    def _replay(self, work: Work, population: Population) -> list[Outcome]:
        parts = shards.split(
            population.replayed,
            self.loaded.logs.requests.user[population.replayed],
            _requests_per_shard(work, len(population.replayed)),
        )
        (self.folder / "slates").mkdir()
        done = []
        outcomes = local.run(partial(evaluate_shard, work), parts)
        for number, outcome in enumerate(self.clock.progress.track("replay", outcomes, len(parts))):
            outcome.slates.write_parquet(self.folder / "slates" / f"shard-{number:05}.parquet")
            done.append(merge.without_slates(outcome))
        return done

    def _terms(self) -> Terms:
        declared = self.plan.study.compare
        return Terms(declared.confidence, declared.smallest_effect, declared.correction, self.plan.study.seed)

    def _write(self, result: Result, table: ValuesTable, outcomes: Outcomes, population: Population) -> None:
        logs = self.loaded.logs
        (self.folder / "values").mkdir()
        merge.values_frame(table, logs, population).write_parquet(self.folder / "values" / "values.parquet")
        (self.folder / "labels").mkdir()
        merge.labels_frame(outcomes, logs).write_parquet(self.folder / "labels" / "labels.parquet")
        runs.write_json(self.folder / "result.json", result.document())
        slates = pl.scan_parquet(runs.tables(self.folder, "slates"), glob=False)
        baseline, decided = self.plan.study.baseline, list(result.decision)
        others = [v.name for v in self.plan.variants if v.name != baseline]
        names = [baseline, *sorted(others, key=lambda name: name not in decided)]
        sample = sample_slates(slates, names, logs.items.frame)
        write_reports(self.folder, Report(result, self._manifest(), sample))

    def _manifest(self) -> dict[str, Any]:
        plan, clock = self.plan, self.clock
        return manifest(
            plan.study.study,
            plan.document(),
            plan.study.seed,
            self.loaded.fingerprints,
            clock.stages,
            clock.started,
            plan.study_folder,
        )


class _Clock:
    """Times the stages for the manifest."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.started = datetime.now(tz=UTC)
        self.stages: list[dict[str, Any]] = []

    def time(self, stage: str, work: Callable[[], Answer]) -> Answer:
        """Do the work and note how long it took."""
        begun = perf_counter()
        outcome = work()
        self.stages.append(
            {"stage": stage, "seconds": round(perf_counter() - begun, 3), "peak_memory_mb": peak_memory_mb()}
        )
        self.progress.note(stage, f"done in {perf_counter() - begun:.1f} s")
        return outcome


def _requests_per_shard(work: Work, requests: int) -> int:
    """So many requests that a shard's candidates are about SHARD_ROWS, by the widest variant's mean list."""
    logs, tables = work.service.logs, work.service.tables
    widest = len(logs.impressions.item) / max(1, len(logs.requests.time))
    for variant in work.variants:
        if isinstance(variant.source, Batches):
            widest = max(widest, len(variant.source.scores.item) / max(1, len(variant.source.scores.owner)))
        elif variant.candidates == AVAILABLE:
            widest = max(widest, len(logs.intervals.item))
        elif variant.candidates in tables:
            widest = max(widest, len(tables[variant.candidates][0]) / max(1, len(logs.requests.time)))
    return max(1, min(requests, int(SHARD_ROWS / max(1.0, widest))))


def _nobody(planned: Plan, population: Population, logs: Logs) -> Problem:
    steps = "; ".join(f"{row.step}: {row.out:,} of {row.in_:,}" for row in population.ledger[:2])
    first, last = _local(logs.requests.time.min(), planned), _local(logs.requests.time.max(), planned)
    return Problem(
        f"no request is left to replay ({steps}); the period is {planned.study.period.from_} to {planned.study.period.to}, the "
        f"requests lie between {first} and {last} ({planned.service.timezone})",
        planned.study_file,
        planned.line(planned.study_file, "period"),
        "period",
    )


def _local(instant: int, planned: Plan) -> str:
    return datetime.fromtimestamp(instant / 1e6, tz=ZoneInfo(planned.service.timezone)).isoformat(" ", "seconds")


def metric(text: str) -> Any:
    """The metric that a string names."""
    return assembly.vocabulary(execute=True).metric(text)


def schema(subject: Literal["service", "study", "result"]) -> dict[str, Any]:
    """The JSON Schema of service.yaml, study.yaml or result.json."""
    models: dict[str, type[BaseModel]] = {"service": Service, "study": Study, "result": Result}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **models[subject].model_json_schema(by_alias=True),
    }


def schema_files() -> dict[str, str]:
    """The schemas of the two files as text, for the modelines that editors read."""
    return {name: json.dumps(schema(name), indent=1) + "\n" for name in ("service", "study")}
