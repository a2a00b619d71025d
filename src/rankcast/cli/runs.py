"""`rankcast runs`: which runs there are."""

from __future__ import annotations

import webbrowser
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import OUT, plain, print_json
from rankcast.errors import ConfigError

if TYPE_CHECKING:
    from rankcast.runs.summary import Summary

NAME, NEEDS_ARGUMENTS = "runs", False
_DECISIONS = ("go", "no-go", "undecided", "invalid")


@guarded
def command(
    words: Annotated[
        list[str] | None,
        typer.Argument(help="Words of a study, id, service, owner, decision or rule that fired.", show_default=False),
    ] = None,
    out: Annotated[str, typer.Option(help=OUT)] = "runs",
    study: Annotated[str | None, typer.Option(help="Runs of this study only.", show_default=False)] = None,
    decision: Annotated[
        str | None, typer.Option(help="With such a decision: go, no-go, undecided, invalid.", show_default=False)
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Started on this day (UTC) or later, such as 2023-10-01.", show_default=False)
    ] = None,
    last: Annotated[int | None, typer.Option(min=1, help="The newest so many.", show_default=False)] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the report of the newest of them in a browser.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the list for programs.")] = False,
) -> None:
    """List the runs of a folder or a bucket, by study and age; filter them, open one."""
    from rankcast.runs.store import open_store

    if decision is not None and decision not in _DECISIONS:
        raise ConfigError(f"--decision {decision}: expected {', '.join(_DECISIONS)}")
    day = "" if since is None else _day(since)
    store = open_store(out)
    every = store.find(lambda error: typer.echo(f"left out: {plain(str(error))}", err=True))
    found = [
        one
        for one in every
        if one.matches(" ".join(words or []))
        and study in (None, one.study)
        and (decision is None or decision in one.decision.values())
        and (since is None or one.started[:10] >= day)
    ]
    if last is not None:
        newest = sorted(found, key=lambda one: one.started)[-last:]
        found = [one for one in found if one in newest]
    if json:
        print_json([_row(one, out) for one in found])
    else:
        for one in found:
            print(plain(_line(one)))
        if not found:
            missing = "no runs match" if every else f"no runs below {store}; `rankcast run study.yaml` makes one"
            typer.echo(missing, err=True)
    if show and found:
        newest_one = max(found, key=lambda one: one.started)
        run = store.get(newest_one.study, newest_one.run)
        if run is not None:
            typer.echo(f"report: {run.report}", err=True)
            webbrowser.open(run.report.resolve().as_uri())


def _day(text: str) -> str:
    from datetime import date

    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ConfigError(f"--since {text}: expected a day such as 2023-10-01") from error


def _line(one: Summary) -> str:
    decided = ", ".join(f"{name}: {word}" for name, word in one.decision.items()) or "nothing to decide"
    fired = ", ".join((*one.errors, *one.warnings))
    return f"{one.started}  {one.study}  {one.run}  {decided}" + (f"  ({fired})" if fired else "")


def _row(one: Summary, out: str) -> dict[str, Any]:
    return {**one.model_dump(mode="json"), "folder": f"{out.rstrip('/')}/{one.study}/{one.run}"}
