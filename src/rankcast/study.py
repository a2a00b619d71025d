"""A study, top to bottom: the only module that knows all stages."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from rankcast.comparison.decision import besides, decide
from rankcast.comparison.table import ValuesTable
from rankcast.config.load import read_plan, read_texts
from rankcast.config.online_test import OnlineTestFile
from rankcast.config.plan import FileText, Plan
from rankcast.config.service import Service
from rankcast.config.study import Study
from rankcast.engines import local
from rankcast.errors import DataError, Problem, RankcastError, RunError
from rankcast.evaluate.truth import labels as labelling
from rankcast.evaluate.truth.labels import Labels, Outcomes
from rankcast.evaluate.truth.late import late
from rankcast.evaluate.truth.ledger import Terms as LedgerTerms
from rankcast.evaluate.truth.ledger import ledger
from rankcast.evaluate.truth.targets import Population, select
from rankcast.experiment import assembly, merge, past, provenance, saved, trails
from rankcast.experiment.conclusions import conclude
from rankcast.experiment.evidence import Made, shown_rows, tie_rows
from rankcast.experiment.fidelity import hold_against_log
from rankcast.experiment.grouping import Columns, judged_by
from rankcast.experiment.intake import ANSWERS, WORK, Allowance, Intake
from rankcast.experiment.looking import Looking, asked_for, looking, some_of
from rankcast.experiment.looking import check as check_looking
from rankcast.experiment.repeat import repeated_plan, what_changed
from rankcast.experiment.shard import Outcome, Shard, Work, evaluate_shard
from rankcast.experiment.tasks import done_in, still_to_do
from rankcast.experiment.telling import report_of
from rankcast.experiment.work import candidates_of, work_of
from rankcast.progress import Progress
from rankcast.records import Finding, Fingerprint, LedgerRow, Result, Results
from rankcast.report.write import write_reports
from rankcast.rules.catalogue import check_all
from rankcast.rules.evidence import Evidence, Origin
from rankcast.runs import folder as runs
from rankcast.runs.clock import Clock
from rankcast.runs.folder import Run
from rankcast.runs.identity import run_id
from rankcast.runs.manifest import Repeat, git_state, manifest
from rankcast.runs.store import SUMMARY, Desk, Store, open_run, open_store
from rankcast.runs.summary import summary_of
from rankcast.sources.headers import check_headers
from rankcast.sources.load import Loaded, fingerprints
from rankcast.tables.logs import Logs

Answer = TypeVar("Answer")
SHARD_ROWS = 4_000_000  # candidate rows of one shard, about
OUT = Path("runs")
MEMORY = 2_000_000_000  # bytes that a run may use, about


def plan(path: str | Path, need_variables: bool = True, execute: bool = False) -> Plan:
    """The resolved plan of a study. ConfigError lists every problem of its two files.

    `execute`: private code that the study names may be imported.
    """
    return read_plan(Path(path), assembly.vocabulary(execute), os.environ, need_variables)


def plan_of_texts(files: Mapping[str, FileText], root: Path) -> Plan:
    """The plan of a `study` and a `service` that are given as texts, with their paths below a root. Executes nothing."""
    return read_texts(files, root, assembly.vocabulary(execute=False), os.environ, need_variables=False)


def check(path: str | Path, with_data: bool = True) -> tuple[Plan, tuple[Finding, ...]]:
    """Everything that can be known before running: the files' problems, and rules that need only the plan.

    Reads no rows, executes no code of the study, opens no network. Without data, nothing but the two files is looked at.
    """
    planned = plan(path, need_variables=with_data)
    problems: list[Problem] = []
    if with_data:
        columns, problems = check_headers(assembly.inputs_of(planned))
        problems = problems or assembly.column_problems(planned, columns)
        past.of_plan(planned)
    if problems:
        raise DataError(planned.environment.mask_problem(problem) for problem in problems)
    return planned, check_all(Evidence(planned))


def run(
    path: str | Path | None,
    out: str | Path = OUT,
    progress: Progress | None = None,
    *,
    memory: int = MEMORY,
    processes: int = 1,
    repeat: str | Path | None = None,
) -> Run:
    """Run a study and return its run; the same inputs give the same run, which is found rather than made again.

    `memory` (bytes) is about what the run may use, `processes` how many share the work; no result depends on either.
    `repeat`: a run folder, instead of a study: the run is made again from its manifest, and RunError names every input that
    has changed since.
    """
    local.refuse_inside()
    store = open_store(out)
    progress = progress or Progress()
    allowed = Allowance(memory, processes, progress)
    if repeat is not None:
        earlier = open_run(str(repeat), out)
        planned = repeated_plan(earlier)
        with _masked(planned):
            changed = what_changed(planned, earlier)
            if changed:
                raise RunError(Problem(one) for one in changed)
            return _run(planned, store, allowed, earlier)
    if path is None:
        raise RunError("expected a study, or a run to repeat")
    planned = plan(path, execute=True)
    with _masked(planned):
        return _run(planned, store, allowed, None)


@contextmanager
def _masked(planned: Plan) -> Iterator[None]:
    """No problem shows the value of a variable."""
    try:
        yield
    except RankcastError as error:
        raise type(error)(planned.environment.mask_problem(problem) for problem in error.problems) from error


def _run(planned: Plan, store: Store, allowed: Allowance, repeated: Run | None) -> Run:
    progress = allowed.progress
    clock = Clock(progress)
    record = past.of_plan(planned)
    prints, contents = clock.time("fingerprint", lambda: fingerprints(assembly.inputs_of(planned)))
    lists_code = provenance.private_code(planned)
    code = lists_code | provenance.metric_code(planned)
    private = provenance.private_text(planned)
    told = past.prints_of(record)
    known = (*contents, *(("history", one.hash) for one in told))
    identity = run_id(provenance.identifying_plan(planned), private, code, known)
    replay = run_id(provenance.replayed_plan(planned), private, lists_code, contents)
    found = store.get(planned.study.study, identity)
    if found is not None:
        return _found(found, store, progress)
    wait = partial(progress.note, "run", "another process is running this study; waiting for it")
    with store.writing(planned.study.study, identity, _worth_keeping, wait) as desk:
        if desk is not None:
            earlier = store.replayed_before(planned.study.study, replay)
            made = _Made((*prints, *told), identity, replay, code, earlier, repeated, record)
            _Experiment(planned, allowed, clock, desk, made).perform()
    done = store.get(planned.study.study, identity)
    if done is None:
        raise RunError(f"the run {identity} is gone from {store}")
    return done if desk is not None else _found(done, store, progress)


def _found(done: Run, store: Store, progress: Progress) -> Run:
    if done.result:
        progress.note("run", f"this study ran before on the same data: {store.whereabouts(done)}")
    return done


def _worth_keeping(folder: Path) -> bool:
    """Whether an interrupted run has anything that need not be done again."""
    return bool(saved.names(folder)) or any((folder / ANSWERS).glob("*"))


@dataclass(frozen=True)
class _Made:
    """What a run is made of: its files, its ids, private code, an earlier run with the same lists, one that is repeated, and past
    online tests.
    """

    prints: tuple[Fingerprint, ...]
    identity: str
    replay: str
    code: Mapping[str, str]
    earlier: Path | None
    repeated: Run | None
    past: past.Record | None


@dataclass(frozen=True)
class _Experiment:
    """REPRODUCE, EVALUATE, COMPARE, REPORT; everything is written on the desk."""

    plan: Plan
    allowed: Allowance
    clock: Clock
    desk: Desk
    made: _Made

    @property
    def folder(self) -> Path:
        """Where the run is written."""
        return self.desk.folder

    def perform(self) -> None:
        intake = Intake(
            self.plan, self.folder, self.allowed, SHARD_ROWS, earlier=self.made.earlier, repeated=self.made.repeated
        )
        intake.tidy()
        loaded = self.clock.time("load", intake.load)
        logs = loaded.logs
        problems = assembly.column_problems(self.plan, assembly.columns_of(logs))
        if problems:
            raise DataError(problems)
        outcomes, labels, population, accounts = self.clock.time("label", partial(self._label, logs))
        if not len(population.replayed):
            raise DataError(_nobody(self.plan, accounts, logs))
        columns = Columns(self.plan, logs, labelling.first_relevant(outcomes, logs))
        by = judged_by(columns, population.targets, population.replayed)
        work = work_of(self.plan, loaded, labels, population, self._candidates(loaded), self.folder)
        if self.made.earlier is None:
            work = replace(work, models=assembly.models_of(self.plan, loaded))
        check_looking(self.plan, logs, some_of(population.replayed, len(logs.requests.time)))
        work, done, looked = self.clock.time("replay", lambda: self._replay(work, loaded, population))
        trails.gather(self.folder, self.made.earlier)
        table = merge.values_table(self.plan, work, done, population, by)
        terms = assembly.terms_of(self.plan)
        concluded = self.clock.time("compare", lambda: conclude(table, terms, logs, population, by.days))
        fidelity = hold_against_log(work, done, by.replayed_parts, table, self.plan.study.compare.confidence)
        variants = merge.variant_rows(work, done)
        behaviour = None if looked is None else looked.record
        waiting = late(logs, outcomes, population.replayed, assembly.known_of(self.plan, logs))
        spread, moved = merge.exposure_rows(self.plan, work, done, population.replayed)
        results = Results(
            counts=merge.in_order(
                (*loaded.counts, *merge.longer_logged(work, population), *merge.label_counts(outcomes), *by.counts)
            ),
            targets=accounts,
            late=waiting,
            variants=variants,
            steps=merge.step_rows(done),
            fidelity=fidelity,
            behaviour=behaviour,
            shown=shown_rows(work, done),
            ties=tie_rows(work, table, done, population.targets),
            exposure=spread,
            items=moved,
            **concluded.rows(),
        )
        made = Made(self.plan, logs, labels, population, work, done, table, loaded.features, self._origin())
        history = self.clock.time("history", lambda: past.history_for(self.plan, self.made.past, results.comparisons))
        findings = self.clock.time("rules", lambda: check_all(replace(made.evidence(results), history=history)))
        reason = merge.invalid(fidelity, self.plan.study.fidelity.at_least, waived="RP02" in self.plan.study.allow)
        kept = waiting if self.plan.service.labels.late == "report" else ()
        beside = besides(table, fidelity, concluded.averages, concluded.comparisons, kept)
        decision = decide(table, concluded.comparisons, reason, findings, terms.correction, beside)
        result = Result(
            study=self.plan.study.study, run=self.made.identity, decision=decision, results=results, findings=findings,
            history=history,
        )  # fmt: skip
        self.clock.time("report", lambda: self._write(result, table, outcomes, population, loaded))
        told = self._manifest(loaded, len(done))
        runs.write_json(self.folder / "manifest.json", told)
        runs.write_json(self.folder / SUMMARY, summary_of(result, told).model_dump(mode="json"))
        shutil.rmtree(self.folder / WORK, ignore_errors=True)
        trails.tidy(self.folder)

    def _label(self, logs: Logs) -> tuple[Outcomes, Labels, Population, tuple[LedgerRow, ...]]:
        outcomes = labelling.attribute(logs, assembly.labelling_of(self.plan))
        labels = labelling.labels_of(outcomes, logs)
        rule = assembly.target_rule(self.plan, logs)
        population = select(logs, labels, rule)
        terms = LedgerTerms(rule.keep_late, rule.without_labels == "zero")
        accounts = ledger(logs, labels, outcomes, population, terms)
        for row in accounts:
            if row.scope == "requests":
                self.clock.progress.note("label", f"{row.step}: {row.out:,} of {row.in_:,} requests")
        return outcomes, labels, population, accounts

    def _origin(self) -> Origin:
        commit = git_state(self.plan.study_folder) or {}
        private = tuple(name for name in self.made.code if not name.startswith("variants."))
        return Origin(commit.get("commit"), bool(commit.get("dirty")), private)

    def _candidates(self, loaded: Loaded) -> float:
        """About how many candidates the baseline has for a request; of lists that are there already, as it was then."""
        if self.made.earlier is not None:
            return float(Run(self.made.earlier).manifest["work"]["candidates"])
        return candidates_of(self.plan, loaded)

    def _replay(self, work: Work, loaded: Loaded, population: Population) -> tuple[Work, list[Outcome], Looking | None]:
        """Every shard; and how far users look, which comes before metrics that discount by it."""
        tasks = done_in(self.made.earlier or self.folder)
        if self.made.earlier is None:
            tasks += still_to_do(work, loaded, population.replayed, SHARD_ROWS)
        if not asked_for(self.plan):
            done = self._shard_by_shard(work, tasks)
            return work, done, looking(self.plan, loaded.logs, done)
        done = self._shard_by_shard(replace(work, metrics=(), impressed=None, primary=None, shadows=()), tasks)
        looked = looking(self.plan, loaded.logs, done)
        if looked is not None:
            work = replace(work, models=(), scene=replace(work.scene, examination=looked.examination))
        again = [Shard(task.name, task.requests, None, self.folder) for task in tasks]
        return work, self._shard_by_shard(work, again), looked

    def _shard_by_shard(self, work: Work, tasks: list[Shard]) -> list[Outcome]:
        outcomes = local.run(partial(evaluate_shard, work), tasks, self.allowed.processes)
        done = []
        for outcome in self.clock.progress.track("replay", outcomes, len(tasks)):
            done.append(outcome)
            self.desk.put_aside()
        return done

    def _write(
        self, result: Result, table: ValuesTable, outcomes: Outcomes, population: Population, loaded: Loaded
    ) -> None:
        logs = loaded.logs
        (self.folder / "values").mkdir()
        values = merge.values_frame(table, logs, population)
        values.write_parquet(self.folder / "values" / "values.parquet")
        (self.folder / "labels").mkdir()
        merge.labels_frame(outcomes, logs).write_parquet(self.folder / "labels" / "labels.parquet")
        runs.write_json(self.folder / "result.json", result.document())
        told = self._manifest(loaded, 0)
        write_reports(self.folder, report_of(self.plan, result, told, self.folder, values, logs, population))

    def _manifest(self, loaded: Loaded, parts: int) -> dict[str, Any]:
        plan, clock, made = self.plan, self.clock, self.made
        work: dict[str, Any] = {
            "shards": parts,
            "memory": self.allowed.memory,
            "processes": self.allowed.processes,
            "candidates": self._candidates(loaded),
        }
        if made.earlier is not None:
            work["lists_of"] = made.earlier.name
        files = {
            name: {
                "path": file.path if self.desk.token else os.path.relpath(file.path, self._place()),
                "text": file.text,
            }
            for name, file in plan.texts.items()
        }
        return manifest(
            plan.study.study,
            plan.document(),
            plan.study.seed,
            [one.model_copy(update={"rows": loaded.rows.get(one.path, one.rows)}) for one in made.prints],
            clock.stages,
            clock.started,
            plan.study_folder,
            Repeat(files, made.code, provenance.private_hash(plan), made.replay, work, self.desk.token),
        )

    def _place(self) -> Path:
        """Where the run will lie."""
        return (self.folder.parent / self.made.identity).resolve()


def _nobody(planned: Plan, accounts: Sequence[LedgerRow], logs: Logs) -> Problem:
    steps = "; ".join(f"{row.step}: {row.out:,} of {row.in_:,}" for row in accounts[:2])
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


def schema(subject: Literal["service", "study", "result", "online_test"]) -> dict[str, Any]:
    """The JSON Schema of service.yaml, study.yaml, result.json or history/*.yaml."""
    models: dict[str, type[BaseModel]] = {
        "service": Service, "study": Study, "result": Result, "online_test": OnlineTestFile,
    }  # fmt: skip
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **models[subject].model_json_schema(by_alias=True),
    }


def schema_files() -> dict[str, str]:
    """The schemas of the files that people write as text, for the modelines that editors read."""
    return {name: json.dumps(schema(name), indent=1) + "\n" for name in ("service", "study", "online_test")}
