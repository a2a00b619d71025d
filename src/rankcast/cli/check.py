"""`rankcast check`: everything that can be known before running."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import plain, print_json

NAME, NEEDS_ARGUMENTS = "check", True


@guarded
def command(
    study: Annotated[Path, typer.Argument(help="study.yaml", show_default=False)],
    without_data: Annotated[
        bool,
        typer.Option(
            "--without-data",
            help="Look at the two files only: no data file and no environment variable needs to be here.",
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome for programs.")] = False,
) -> None:
    """Check a study without running it: executes nothing of the study, opens no network, reads no rows."""
    from rankcast.study import check

    plan, findings = check(study, with_data=not without_data)
    fired = [finding for finding in findings if finding.status == "fired"]
    errors = [finding for finding in fired if finding.severity == "error"]
    if json:
        print_json(
            {"study": plan.study.study, "errors": [], "findings": [one.model_dump(mode="json") for one in findings]}
        )
    else:
        for finding in findings:
            if finding.status != "passed":
                print(f"{finding.rule} {finding.name}: {finding.status}: {plain(finding.evidence)}. {finding.remedy}")
        looked = "the two files" if without_data else "the two files, and the columns of the data"
        print(f"{plan.study.study}: {'not fit to run' if errors else 'fine'} ({looked})")
    raise typer.Exit(5 if errors else 0)
