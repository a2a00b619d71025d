"""A run made again from its manifest: the plan as it was, and every input that has changed since."""

from __future__ import annotations

import os

from rankcast import assembly, provenance
from rankcast.config.load import read_texts
from rankcast.config.plan import FileText, Plan
from rankcast.errors import RunError
from rankcast.runs.folder import Run
from rankcast.runs.identity import code_hashes
from rankcast.sources.load import fingerprints


def repeated_plan(run: Run) -> Plan:
    """The plan of a run, from its manifest alone: both files as they were."""
    try:
        return read_texts(
            {name: FileText(one["path"], one["text"]) for name, one in run.manifest["files"].items()},
            run.folder,
            assembly.vocabulary(execute=True),
            os.environ,
        )
    except KeyError as error:
        raise RunError(
            f"{run.folder / 'manifest.json'} does not hold the two files ({error}); an older version wrote it"
        ) from error


def what_changed(planned: Plan, run: Run) -> list[str]:
    """Every input of a run that is not what it was: a line each."""
    prints, _ = fingerprints(assembly.inputs_of(planned))
    now = {(one.path, one.hash) for one in prints}
    then = {(one["path"], one["hash"]) for one in run.manifest["data"]}
    before, after = {path for path, _ in then - now}, {path for path, _ in now - then}
    lines = [f"{path}: its content has changed since run {run.id}" for path in sorted(before & after)]
    lines += [
        f"{path}: is not there any more, or is not matched; run {run.id} read it" for path in sorted(before - after)
    ]
    lines += [f"{path}: was not there when run {run.id} was made" for path in sorted(after - before)]
    code = code_hashes(provenance.private_code(planned) | provenance.metric_code(planned))
    known = run.manifest["private_code"]
    lines += [
        f"module {name}: its text has changed since run {run.id}"
        for name in sorted(set(code) | set(known))
        if code.get(name) != known.get(name)
    ]
    return lines
