"""`rankcast runs`: which runs there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import plain, print_json
from rankcast.errors import RankcastError

NAME, NEEDS_ARGUMENTS = "runs", False


@guarded
def command(
    out: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print the list for programs.")] = False,
) -> None:
    """List the runs, by study and age."""
    from rankcast.runs.folder import find

    rows: list[dict[str, Any]] = []
    for run in find(out):
        try:
            decision = {name: one.decision for name, one in run.result.decision.items()}
            started = run.manifest["started"]
        except RankcastError as error:
            typer.echo(f"left out: {plain(str(error))}", err=True)
            continue
        rows.append(
            {
                "study": run.result.study,
                "run": run.id,
                "started": started,
                "decision": decision,
                "folder": str(run.folder),
            }
        )
    if json:
        print_json(rows)
        return
    for row in rows:
        decided = ", ".join(f"{name}: {word}" for name, word in row["decision"].items()) or "nothing to decide"
        print(plain(f"{row['started']}  {row['study']}  {row['run']}  {decided}"))
    if not rows:
        typer.echo(f"no runs below {out}; `rankcast run study.yaml` makes one", err=True)
