"""From a study to a Job, and from its end to the run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from rankcast.cluster.client import Cluster, ConflictError
from rankcast.cluster.follow import End
from rankcast.cluster.job import SCRATCH, STUDY, Files, manifests
from rankcast.config.environment import names_in
from rankcast.config.plan import Plan
from rankcast.config.problems import message_of
from rankcast.config.service import Table
from rankcast.config.service.submit import FromGit, Submit
from rankcast.config.study import PythonVariant
from rankcast.config.yaml import load, text_of
from rankcast.errors import ConfigError, Problem, RunError, clip
from rankcast.experiment import past
from rankcast.repository import Repository
from rankcast.runs.folder import Run
from rankcast.runs.objects import is_remote
from rankcast.runs.store import open_store
from rankcast.study import check

_KILLED = 137  # exit code of what was killed, mostly for want of memory
_MOST = 900_000  # bytes of a ConfigMap's files


@dataclass(frozen=True)
class Submission:
    """What is sent to a cluster."""

    study: str
    submit: Submit
    documents: tuple[dict[str, Any], ...]

    @property
    def name(self) -> str:
        """The Job's name."""
        return str(self.documents[-1]["metadata"]["name"])


@dataclass(frozen=True)
class Sent:
    """A Job that is there; `before`: it was there already, by an earlier submission of the same."""

    job: str
    before: bool


def prepare(study: Path, out: str | None = None) -> Submission:
    """Check a study (without its data, which only the pod sees) and make its manifests. `out` stands for `submit.out`."""
    plan, findings = check(study, with_data=False)
    errors = [one for one in findings if one.status == "fired" and one.severity == "error"]
    if errors:
        raise ConfigError(
            Problem(f"{one.rule} {one.name}: {one.evidence}", plan.study_file, one.line, one.key) for one in errors
        )
    submit = plan.service.submit
    if submit is None:
        raise ConfigError(
            Problem("no `submit`: expected at least an image and where runs are kept (image, out)", plan.service_file)
        )
    if out is not None:
        submit = _elsewhere(submit, out)
    files = _files(plan, submit)
    problems = list(_problems(plan, submit))
    if problems:
        raise ConfigError(problems)
    return Submission(plan.study.study, submit, tuple(manifests(plan.study.study, files, submit)))


def _elsewhere(submit: Submit, out: str) -> Submit:
    try:
        return submit.model_copy(update={"out": Submit.model_validate({"image": submit.image, "out": out}).out})
    except ValidationError as error:
        raise ConfigError(f"--out: {message_of(error.errors(include_url=False)[0], Submit)}") from error


def send(submission: Submission, cluster: Cluster, again: bool = False) -> Sent:
    """Create the Job, with its files. The same submission finds its Job, unless it is to be made `again`."""
    *files, job = submission.documents
    if again:
        cluster.delete_job(submission.name)
    for one in files:
        cluster.keep_files(one)
    try:
        made = cluster.create_job(job)
    except ConflictError:
        found = cluster.job(submission.name)
        if files and found is not None:
            cluster.give_files_to(found)
        return Sent(submission.name, before=True)
    if files:
        cluster.give_files_to(made)
    return Sent(submission.name, before=False)


@dataclass(frozen=True)
class Outcome:
    """How a study came out: what its pod said, the run where this machine can reach it, or why it cannot; the worst decision."""

    study: str
    id: str
    decision: dict[str, str]
    worst: str | None
    run: Run | None
    why_not: str | None = None


def outcome(submission: Submission, end: End) -> Outcome:
    """How the Job of a submission came out. RunError where it failed."""
    if not end.complete:
        hint = "give it more memory (`submit.resources`)" if end.exit_code == _KILLED else "mend the cause"
        words = f": {clip(end.words, 250)}" if end.words else ""
        raise RunError(
            f"the Job {submission.name} failed; {hint}, then `rankcast submit --again`: {clip(end.reason, 150)}{words}"
        )
    try:
        told = json.loads(end.words)
        study, run, decision, worst = told["study"], told["run"], told.get("decision") or {}, told.get("worst")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"the Job {submission.name} is complete, but its pod left no word of the run (another image than Rankcast's?)"
        ) from error
    if not is_remote(submission.submit.out):
        return Outcome(study, run, decision, worst, None, "it is on a volume of the cluster")
    try:
        found = open_store(submission.submit.out).get(study, run)
    except RunError as error:
        return Outcome(study, run, decision, worst, None, str(error))
    if found is not None:
        decision = {name: one.decision for name, one in found.decision.items()}
    return Outcome(study, run, decision, worst, found, None if found else "it is not where the pod says")


def _files(plan: Plan, submit: Submit) -> Files:
    """The two files, and those of the record of past online tests where that is a folder of small ones."""
    study = Path(plan.texts["study"].path)
    record = [(Path(os.path.abspath(path)), text_of(path, path.name)) for path in past.folder_files(plan)]
    told = [*((Path(plan.texts[name].path), plan.texts[name].text) for name in ("study", "service")), *record]
    if isinstance(submit.files, FromGit):
        repository = Repository.around(study)
        root = repository.root.resolve()
        inside = [path.resolve() for path, _ in told]
        if not all(path.is_relative_to(root) for path in inside):
            raise ConfigError(Problem(f"all files must lie in the repository {root}", plan.study_file))
        commit = submit.files.commit or repository.commit("HEAD")
        names = [path.relative_to(root).as_posix() for path in inside]
        changed = [name for name, (_, text) in zip(names, told, strict=True) if repository.text(name, commit) != text]
        if changed:
            raise ConfigError(
                f"{', '.join(changed)}: differs from commit {commit[:12]}, which the pod reads; commit and push"
            )
        return Files(inside[0].relative_to(root).as_posix(), {}, commit)
    root = Path(os.path.commonpath([path.parent for path, _ in told]))
    texts = {path.relative_to(root).as_posix(): text for path, text in told}
    size = sum(len(text.encode()) for text in texts.values())
    if size > _MOST:
        raise ConfigError(
            f"the files take {size:,} bytes, more than a ConfigMap holds; use `submit.files: {{git: ...}}`"
        )
    return Files(study.relative_to(root).as_posix(), texts)


def _problems(plan: Plan, submit: Submit) -> Iterator[Problem]:
    """What a pod would stumble over."""
    yield from _variables(plan, submit)
    yield from _volumes(plan, submit)
    if not isinstance(submit.files, FromGit):
        travels = plan.service.history if past.folder_files(plan) else None
        for path in dict.fromkeys(_paths((plan.service, plan.study, *_step_tables(plan)), travels)):
            if not path.startswith(("/", "${")) and "://" not in path:
                yield Problem(
                    f"{clip(path, 120)} is relative, and a pod with a ConfigMap has the YAML files only; expected an "
                    "absolute path on a volume, or ${NAME} from `submit.env`"
                )


def _variables(plan: Plan, submit: Submit) -> Iterator[Problem]:
    """Variables that the files name and the pod has not."""
    known = {*submit.env, *submit.secrets}
    for name, file in (("study", plan.study_file), ("service", plan.service_file)):
        written = json.dumps(load(plan.texts[name].text, file).values, default=str)  # without comments
        for variable in dict.fromkeys(names_in(written)):
            if variable not in known:
                yield Problem(
                    f"the pod has no variable {variable}, which this file names; expected it under `submit.env` or "
                    "`submit.secrets`",
                    file,
                )


def _volumes(plan: Plan, submit: Submit) -> Iterator[Problem]:
    """Volumes that get in each other's way, and runs on none that can be written."""

    def problem(key: str, message: str) -> Problem:
        line = plan.line(plan.service_file, "submit", key)
        return Problem(message, plan.service_file, line, f"submit.{key}")

    mounts = [volume.mount.rstrip("/") for volume in submit.volumes]
    for mount in mounts:
        if mounts.count(mount) > 1 or mount.startswith((f"{STUDY}/", f"{SCRATCH}/")):
            yield problem("volumes", f"volumes: {mount} is inside of {STUDY} or {SCRATCH}, or is mounted twice")
    writable = [f"{mount}/" for mount, volume in zip(mounts, submit.volumes, strict=True) if not volume.read_only]
    if not is_remote(submit.out) and not f"{submit.out.rstrip('/')}/".startswith(tuple(writable)):
        told = (
            f"`submit.out` is {submit.out}, which is on no volume that can be written (`volumes`, `read_only: false`)"
        )
        yield problem("out", told)


def _step_tables(plan: Plan) -> list[Table]:
    return [step.table for variant in plan.variants for step in variant.steps if step.table is not None]


def _paths(value: object, but: object = None) -> Iterator[str]:
    """Where files are read from; `but` is left out."""
    if but is not None and value is but:
        return
    if isinstance(value, Table):
        yield from value.path or ()
        for written in value.files.values():
            yield from written
    elif isinstance(value, PythonVariant):
        yield from value.reads
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _paths(getattr(value, name), but)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _paths(inner, but)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from _paths(inner, but)
