"""The application: which commands there are. Heavy imports wait inside the commands, so that help comes at once."""

from __future__ import annotations

from typing import Annotated

import typer

from rankcast.cli import (
    check,
    ci,
    compare,
    demo,
    diff,
    explain,
    export,
    history,
    init,
    metrics,
    report,
    rules,
    run,
    runs,
    schema,
    score,
    serve,
    steps,
    submit,
)

app = typer.Typer(
    name="rankcast",
    help="Hindcasts for rankings: replay the lists that users would have seen, judge them by what users then did, and "
    "decide whether a change deserves an online test.",
    epilog="Exit codes: 0 done, every variant go (or nothing to decide); 1 our fault; 2 your input; 3 no-go; 4 undecided; "
    "5 invalid; 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(show: bool) -> None:
    if show:
        from rankcast import __version__

        typer.echo(f"rankcast {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


for module in (
    demo,
    init,
    check,
    explain,
    diff,
    ci,
    run,
    submit,
    report,
    compare,
    runs,
    serve,
    export,
    score,
    rules,
    metrics,
    steps,
    schema,
):
    app.command(name=module.NAME, no_args_is_help=module.NEEDS_ARGUMENTS)(module.command)
app.add_typer(history.app)
