"""Findings, as people and review tools read them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from rankcast.cli.show import plain, print_json
from rankcast.errors import ConfigError, RankcastError

if TYPE_CHECKING:
    from rankcast.records import Finding
    from rankcast.runs.folder import Run

Answer = TypeVar("Answer")
FORMATS = ("text", "json", "sarif", "github")


def chosen(form: str, json: bool) -> str:
    """The format that was asked for."""
    if form not in FORMATS:
        raise ConfigError(f"--format {form}: expected {', '.join(FORMATS)}")
    return "json" if json else form


def annotated(form: str, work: Callable[[], Answer]) -> Answer:
    """Do the work; problems with the input are told in the format too, then as always."""
    try:
        return work()
    except RankcastError as error:
        from rankcast.report.annotations import problem_finding

        print_annotations(form, [problem_finding(one) for one in error.problems], {})
        raise


def print_annotations(form: str, findings: Sequence[Finding], files: Mapping[str, str]) -> None:
    """Findings as SARIF or as workflow commands; the latter also where a workflow of GitHub runs us and reads our text."""
    if form == "sarif":
        from rankcast import __version__
        from rankcast.report.annotations import sarif
        from rankcast.rules.page import all_pages

        print_json(sarif(findings, __version__, {one.code: (one.wrong, one.render()) for one in all_pages()}, files))
    elif form == "github" or (form == "text" and os.environ.get("GITHUB_ACTIONS") == "true"):
        from rankcast.report.annotations import workflow_commands

        # Workflow commands are read from either stream; where stdout holds a result, they stay out of it.
        where = sys.stdout if form == "github" else sys.stderr
        for line in workflow_commands(findings, files):
            print(plain(line), file=where)


def files_of(run: Run) -> dict[str, str]:
    """The paths of the study and the service of a run, from where the command runs."""
    written: dict[str, dict[str, str]] = run.manifest["files"]
    return {name: os.path.relpath(run.folder.resolve() / file["path"]) for name, file in written.items()}
