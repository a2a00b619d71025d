"""`rankcast history`: past online tests beside their offline numbers."""

import typer

from rankcast.cli.history import add, importing, rank, report, search

app = typer.Typer(
    name="history",
    help="Past online tests beside the offline numbers that preceded them: record, look up, how far offline can be trusted, "
    "what to test next.",
    no_args_is_help=True,
)
for module in (add, importing, report, rank, search):
    app.command(name=module.NAME, no_args_is_help=module.NEEDS_ARGUMENTS)(module.command)
