"""`rankcast export`: a run for other people's tools."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import Annotated

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import OUT, plain, print_json
from rankcast.errors import ConfigError

NAME, NEEDS_ARGUMENTS = "export", True


@guarded
def command(
    to: Annotated[str, typer.Argument(help="mlflow", show_default=False)],
    run: Annotated[
        str, typer.Argument(help="A run folder, or a run's id (its beginning will do).", show_default=False)
    ],
    uri: Annotated[
        str | None, typer.Option(help="Tracking server; silent: MLFLOW_TRACKING_URI.", show_default=False)
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(help="Experiment; silent: the name of the service.", show_default=False)
    ] = None,
    out: Annotated[str, typer.Option(help=OUT)] = "runs",
    json: Annotated[bool, typer.Option("--json", help="Print the result for programs.")] = False,
) -> None:
    """Export a run to MLflow: values and differences as metrics (`@` becomes `_at_`), the plan, the decision, the report.

    The same run is exported once: a second call finds the first.
    """
    if to != "mlflow":
        raise ConfigError(f"export {to}: expected mlflow")
    from rankcast.export.to_mlflow import export_run
    from rankcast.runs.store import open_run

    with redirect_stdout(sys.stderr):  # the client of MLflow prints addresses
        done = export_run(open_run(run, out), uri, experiment)
    if json:
        print_json({"run_id": done.run_id, "experiment": done.experiment, "before": done.before})
        return
    word = "was exported before" if done.before else "exported"
    print(plain(f"{word}: run {done.run_id} of the experiment {done.experiment}"))
