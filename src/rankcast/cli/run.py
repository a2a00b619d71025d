"""`rankcast run`: the job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import TerminalProgress, print_json, print_run
from rankcast.errors import ConfigError
from rankcast.progress import Progress

NAME, NEEDS_ARGUMENTS = "run", True


@guarded
def command(
    study: Annotated[Path, typer.Argument(help="study.yaml", show_default=False)],
    out: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("runs"),
    engine: Annotated[str, typer.Option(help="local; spark comes later.")] = "local",
    json: Annotated[bool, typer.Option("--json", help="Print result.json instead of the verdict.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Replay a study's lists, judge them, compare with production, and write a run folder with its report."""
    if engine != "local":
        later = "not available yet" if engine == "spark" else "unknown engine"
        raise ConfigError(f"--engine {engine}: {later}; expected local")
    from rankcast.study import run

    done = run(study, out, Progress() if quiet else TerminalProgress())
    if json:
        print_json(done.result.document())
    else:
        print_run(done)
    raise typer.Exit(done.exit_code())
