"""`rankcast init`: start a service and a study from your own files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import plain, print_json

NAME, NEEDS_ARGUMENTS = "init", True


@guarded
def command(
    folder: Annotated[
        Path, typer.Argument(help="A folder that holds your data files (in it or below).", show_default=False)
    ],
    github: Annotated[
        bool,
        typer.Option("--github", help="Also write an action and a workflow of GitHub, which review pull requests."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what was found for programs.")] = False,
) -> None:
    """Look at the columns of your files, propose a mapping, write service.yaml, a first study, one to copy, a checklist.

    With --github, and a service.yaml that is there already, only the workflow is written.
    """
    from rankcast.proposal import propose, write
    from rankcast.study import schema_files

    if github:
        from rankcast.review.workflow import check_free, write_workflow

        check_free(folder)
    if github and (folder / "service.yaml").is_file():
        added = write_workflow(folder)
        if json:
            print_json({"written": [str(path) for path in added], "tables": {}})
        else:
            for path in added:
                print(f"wrote {os.path.relpath(path)}")
        return
    proposal = propose(folder)
    written = write(folder, proposal, schema_files())
    if github:
        written = [*write_workflow(folder), *written]
    if json:
        print_json({"written": [str(path) for path in written], "tables": proposal.document()})
        return
    for line in proposal.lines():
        print(plain(line))
    for path in written:
        print(f"wrote {os.path.relpath(path)}")
    print("keep runs/ and the data out of git: runs hold lists and values of users")
    print(f"next: read both files, mend what is marked with CHECK, then `rankcast check {written[-1]}`")
