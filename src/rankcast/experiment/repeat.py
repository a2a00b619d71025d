"""A run made again from its manifest: the plan as it was, and every input that has changed since."""

from __future__ import annotations

import os

from pydantic import BaseModel, ConfigDict, ValidationError

from rankcast.config.load import read_texts
from rankcast.config.plan import FileText, Plan
from rankcast.errors import RunError
from rankcast.experiment import assembly, past, provenance
from rankcast.records import Fingerprint
from rankcast.runs.folder import Run
from rankcast.runs.identity import code_hashes
from rankcast.sources.load import looked_at


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _File(_Lenient):
    path: str
    text: str


class _Files(_Lenient):
    study: _File
    service: _File


class _Manifest(_Lenient):
    """What of a manifest it takes to repeat its run."""

    files: _Files
    data: list[Fingerprint]
    private_code: dict[str, str]
    variables: str


def repeated_plan(run: Run) -> Plan:
    """The plan of a run, from its manifest alone: both files as they were."""
    files = _read(run).files
    texts = {"study": FileText(files.study.path, files.study.text)}
    texts["service"] = FileText(files.service.path, files.service.text)
    return read_texts(texts, run.folder, assembly.vocabulary(execute=True), os.environ)


def what_changed(planned: Plan, run: Run) -> list[str]:
    """Every input of a run that is not what it was: a line each."""
    told = _read(run)
    prints, _, _ = looked_at(assembly.inputs_of(planned))
    now = {(one.path, one.hash) for one in (*prints, *past.prints_of(past.of_plan(planned)))}
    then = {(one.path, one.hash) for one in told.data}
    before, after = {path for path, _ in then - now}, {path for path, _ in now - then}
    lines = [f"{path}: its content has changed since run {run.id}" for path in sorted(before & after)]
    lines += [
        f"{path}: is not there any more, or is not matched; run {run.id} read it" for path in sorted(before - after)
    ]
    lines += [f"{path}: was not there when run {run.id} was made" for path in sorted(after - before)]
    code = code_hashes(provenance.private_code(planned) | provenance.metric_code(planned))
    lines += [
        f"module {name}: its text has changed since run {run.id}"
        for name in sorted(set(code) | set(told.private_code))
        if code.get(name) != told.private_code.get(name)
    ]
    if provenance.private_hash(planned) != told.variables:
        names = ", ".join(planned.environment.values) or "none"
        lines.append(f"what environment variables fill in (${{...}}: {names}) has changed since run {run.id}")
    return lines


def _read(run: Run) -> _Manifest:
    try:
        return _Manifest.model_validate(run.manifest)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise RunError(
            f"{run.folder / 'manifest.json'} cannot be repeated: `{where}` is missing or is not what this version writes; run "
            "the study itself"
        ) from error
