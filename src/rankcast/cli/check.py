"""`rankcast check`: everything that can be known before running."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankcast.cli.findings import annotated, chosen, print_annotations
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
    form: Annotated[
        str, typer.Option("--format", help="text, json, sarif, or github (annotations of a workflow).")
    ] = "text",
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Check a study without running it: executes nothing of the study, opens no network, reads no rows."""
    form = chosen(form, json)
    from rankcast.study import check

    plan, findings = annotated(form, lambda: check(study, with_data=not without_data))
    files = {"study": plan.study_file, "service": plan.service_file}
    fired = [finding for finding in findings if finding.status == "fired"]
    errors = [finding for finding in fired if finding.severity == "error"]
    if form == "json":
        print_json(
            {
                "study": plan.study.study,
                "errors": [],
                "findings": [{**one.model_dump(mode="json"), "file": files[one.file or "study"]} for one in findings],
            }
        )
    elif form == "text":
        for one in sorted(findings, key=lambda one: (one.status != "fired", one.severity != "error", one.rule)):
            if one.status == "waived":
                print(plain(f"{one.rule} {one.name}: waived, {one.waived}: {one.evidence}"))
            elif one.status != "passed":
                grave = f" ({one.severity}, {files[one.file or 'study']}:{one.line})" if one.status == "fired" else ""
                print(plain(f"{one.rule} {one.name}: {one.status}{grave}: {one.evidence}. {one.remedy}"))
        marked = sum(one.text.count("# CHECK") for one in plan.texts.values())
        if marked:
            print(f"{marked} lines are still marked CHECK: `init` guessed there")
        looked = "the two files" if without_data else "the two files, and the columns of the data"
        print(f"{plan.study.study}: {'not fit to run' if errors else 'fine'} ({looked})")
    print_annotations(form, findings, files)
    raise typer.Exit(5 if errors else 0)
