"""`rankcast ci`: a change of studies, made ready for review."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rankcast.cli.findings import print_annotations
from rankcast.cli.guard import guarded
from rankcast.cli.show import OUT, TerminalProgress, plain
from rankcast.errors import ConfigError, RankcastError, RunError

if TYPE_CHECKING:
    from rankcast.report.review import Reviewed
    from rankcast.review.flow import Review, Runner
    from rankcast.review.github import Event
    from rankcast.runs.folder import Run

NAME, NEEDS_ARGUMENTS = "ci", False


@guarded
def command(
    studies: Annotated[
        list[Path] | None,
        typer.Argument(help="Studies; silent: all that the change touches.", show_default=False),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="What the change is compared with; silent: the pull request's base.", show_default=False),
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Run the studies that were changed, here.")] = False,
    submit: Annotated[bool, typer.Option("--submit", help="Run them in the cluster of `submit`.")] = False,
    with_data: Annotated[bool, typer.Option("--with-data", help="Check the columns of the data too.")] = False,
    out: Annotated[str | None, typer.Option(help=OUT + " Silent: runs, or `submit.out`.", show_default=False)] = None,
    link: Annotated[
        str | None,
        typer.Option(
            help="Address of a report, such as https://runs.example/runs/{study}/{run}/report.html.", show_default=False
        ),
    ] = None,
    comment: Annotated[Path | None, typer.Option(help="Write the comment (Markdown) here.", show_default=False)] = None,
    sarif: Annotated[Path | None, typer.Option(help="Write the findings (SARIF) here.", show_default=False)] = None,
    post: Annotated[bool, typer.Option("--post", help="Put the comment on the pull request (GITHUB_TOKEN).")] = False,
) -> None:
    """Check, compare and (if asked and trusted) run every study that a change touches; write one comment about all of them.

    In a workflow of GitHub it also writes the job's summary and annotations. A change from a fork is checked and never run.
    Exit code 0: all fit, whatever the verdicts; 2: a file was refused; 5: a rule found an error, or a run is invalid.
    """
    from rankcast.report.review import comment as written
    from rankcast.repository import Repository
    from rankcast.review.flow import check_link, review
    from rankcast.review.github import Event
    from rankcast.review.studies import Change

    if run and submit:
        raise ConfigError("expected --run or --submit, found both")
    check_link(link)
    event = Event.current()
    _refuse_strangers(event, run or submit)
    repository = Repository.around((studies[0] if studies else Path()).resolve())
    compared = base or (event.base if event else None) or "main"
    change = Change(repository, repository.fork_point(compared, ""))
    only = repository.paths_of(studies or [])
    runner = _here(out or "runs") if run else _in_cluster(out) if submit else None
    found = review(change, runner, link, with_data, only)
    text = written(found.studies)
    if sarif is not None:
        _write_sarif(sarif, found)
    if comment is not None:
        comment.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    print_annotations("text", found.findings, {})
    for one in found.studies:
        typer.echo(plain(f"{' '.join(one.path.split())}: {_in_short(one)}"), err=True)
    for done in found.runs:
        typer.echo(plain(f"report: {done.report}"), err=True)
    for file in (comment, sarif):
        if file is not None:
            typer.echo(f"wrote {file}", err=True)
    _summarise(text)
    if post:
        _post(event, text, create=bool(found.studies))
    raise typer.Exit(found.exit_code)


def _in_short(one: Reviewed) -> str:
    if one.gone:
        return "removed"
    if one.problems:
        return f"refused: {one.problems[0]}"
    verdict = ", ".join(f"{name} {word}" for name, word in one.verdict.items())
    return verdict or ("fine" if one.fit else "not fit to run")


def _refuse_strangers(event: Event | None, wants_to_run: bool) -> None:
    """A study names code and files: to run it is to trust whoever wrote it."""
    if event is not None and event.fork and wants_to_run:
        raise ConfigError(
            "this change comes from a fork: its studies are checked, not run; a maintainer who has read it runs it from a branch "
            "of this repository"
        )


def _here(out: str) -> Runner:
    from rankcast.study import run

    return lambda study: run(study, out, TerminalProgress())


def _in_cluster(out: str | None) -> Runner:
    from rankcast.cluster.client import Cluster
    from rankcast.cluster.follow import Follower
    from rankcast.cluster.submit import outcome, prepare, send

    def say(text: str) -> None:
        typer.echo(plain(text), err=True)

    def work(study: Path) -> Run:
        submission = prepare(study, out)
        cluster = Cluster.connect(submission.submit.context, submission.submit.namespace)
        sent = send(submission, cluster)
        done = outcome(submission, Follower(cluster, sent.job, say, say).follow())
        if done.run is None:
            raise RunError(f"the run is at {submission.submit.out} and cannot be read from here: {done.why_not}")
        return done.run

    return work


def _write_sarif(path: Path, found: Review) -> None:
    from rankcast import __version__
    from rankcast.report.annotations import sarif
    from rankcast.rules.page import all_pages

    pages = {one.code: (one.wrong, one.render()) for one in all_pages()}
    path.write_text(json.dumps(sarif(found.findings, __version__, pages, {}), indent=1), encoding="utf-8")


def _summarise(text: str) -> None:
    """The comment, on the page of the job too."""
    place = os.environ.get("GITHUB_STEP_SUMMARY")
    if place:
        with open(place, "a", encoding="utf-8") as file:
            file.write(text)


def _post(event: Event | None, text: str, create: bool) -> None:
    """Where GitHub refuses, the summary of the job says the same: that is told, and is no failure."""
    from rankcast.review.github import put_comment

    token = os.environ.get("GITHUB_TOKEN")
    if event is None or event.number is None or not token:
        raise ConfigError("--post: expected to run for a pull request in a workflow of GitHub, with GITHUB_TOKEN set")
    try:
        where = put_comment(event, token, text, create)
        typer.echo(f"comment: {where}" if where else "no study, and no earlier comment", err=True)
    except RankcastError as error:
        typer.echo(f"no comment: {plain(str(error))}", err=True)
