"""`rankcast compare`: two runs of one service."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import OUT, comparisons_table, plain, print_json, print_table

NAME, NEEDS_ARGUMENTS = "compare", True


@guarded
def command(
    run: Annotated[
        str, typer.Argument(help="A run folder, or a run's id (its beginning will do).", show_default=False)
    ],
    against: Annotated[str, typer.Argument(help="The run that it is held against.", show_default=False)],
    out: Annotated[str, typer.Option(help=OUT)] = "runs",
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Show the numbers although more than the treatment differs.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the comparison for programs.")] = False,
) -> None:
    """Hold the variants of one run against those of another, on the requests that both judged.

    Names what differs beyond the treatment (data, period, steps, labels, targets, seed, code) and shows no number then, unless
    --anyway.
    """
    from rankcast.experiment.two_runs import compare_runs
    from rankcast.runs.store import open_run

    found = compare_runs(open_run(run, out), open_run(against, out), anyway)
    for line in found.differs:
        print(f"differs beyond the treatment: {plain(line)}", file=sys.stderr)
    if json:
        print_json(found.document())
        return
    print(f"{found.first} against {found.second}, on {found.requests:,} requests that both judged")
    print_table(comparisons_table(found.rows, doubtful=bool(found.differs), both=True))
    if found.left_out:
        print(
            f"left out, since only one run has them or they are one number per variant: {plain(', '.join(found.left_out))}"
        )
