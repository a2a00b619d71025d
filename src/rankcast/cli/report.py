"""`rankcast report`: look at a run again."""

from __future__ import annotations

from typing import Annotated

import typer

from rankcast.cli.findings import chosen, files_of, print_annotations
from rankcast.cli.guard import guarded
from rankcast.cli.show import OUT, print_json, print_run

NAME, NEEDS_ARGUMENTS = "report", True


@guarded
def command(
    run: Annotated[
        str, typer.Argument(help="A run folder, or a run's id (its beginning will do).", show_default=False)
    ],
    out: Annotated[str, typer.Option(help=OUT)] = "runs",
    form: Annotated[
        str, typer.Option("--format", help="text; json: result.json; sarif, github: the findings.")
    ] = "text",
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print report.md, for a comment on a pull request.")
    ] = False,
) -> None:
    """Print the verdict of a run again, and where its report is."""
    form = chosen(form, json)
    from rankcast.runs.store import open_run

    found = open_run(run, out)
    if form == "json":
        print_json(found.result.document())
    elif markdown:
        print((found.folder / "report.md").read_text(encoding="utf-8"), end="")
    elif form == "text":
        print_run(found)
    print_annotations(form, found.findings, files_of(found))
