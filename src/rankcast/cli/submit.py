"""`rankcast submit`: a study in a pod."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import plain, print_json, print_run

if TYPE_CHECKING:
    from rankcast.runs.folder import Run

NAME, NEEDS_ARGUMENTS = "submit", True


@guarded
def command(
    study: Annotated[
        Path, typer.Argument(help="study.yaml; its service says how, under `submit`.", show_default=False)
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the manifests (YAML) and send nothing.")] = False,
    out: Annotated[
        str | None, typer.Option(help="Where runs are kept, instead of `submit.out`.", show_default=False)
    ] = None,
    follow: Annotated[bool, typer.Option(help="Follow its log and fetch the result.")] = True,
    again: Annotated[bool, typer.Option("--again", help="Delete an earlier Job of the same and start anew.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result for programs.")] = False,
) -> None:
    """Run a study as a Kubernetes Job: create it, follow its log, fetch the result and its exit code.

    The same study and settings are the same Job: a second call follows the first. A pod that is evicted or crashes is replaced,
    and the next one takes the run up where it was.
    """
    from rankcast.cluster.submit import outcome, prepare, send

    submission = prepare(study, out)
    if dry_run:
        _print_yaml(submission.documents)
        return
    from rankcast.cluster.client import Cluster
    from rankcast.cluster.follow import Follower

    cluster = Cluster.connect(submission.submit.context, submission.submit.namespace)
    sent = send(submission, cluster, again)
    where = f"job/{sent.job} in namespace {cluster.namespace}"
    _say(f"{where}: {'is there already; following it' if sent.before else 'created'}")
    if not follow:
        _say(f"follow it with the same command, or: kubectl -n {cluster.namespace} logs -f job/{sent.job}")
        if json:
            print_json({"job": sent.job, "namespace": cluster.namespace})
        return
    try:
        end = Follower(cluster, sent.job, _say, _log_line).follow()
    except KeyboardInterrupt:
        _say(f"{where} goes on; the same command follows it again")
        raise
    document, run = outcome(submission, end)
    if json:
        print_json(document if run is None else run.result.document())
    else:
        _print(document, run, submission.submit.out)
    raise typer.Exit(_exit_code(document["decision"]))


def _print(document: dict[str, Any], run: Run | None, out: str) -> None:
    if run is not None:
        print_run(run)
    else:
        for name, word in document["decision"].items():
            print(plain(f"{name}: {word}"))
    print(plain(f"run: {out.rstrip('/')}/{document['study']}/{document['run']}"))


def _exit_code(decision: dict[str, str]) -> int:
    from rankcast.runs.folder import exit_code

    return exit_code(decision.values())


def _print_yaml(documents: tuple[dict[str, Any], ...]) -> None:
    from rankcast.config.write import to_old_yaml

    print("---\n".join(to_old_yaml(one) for one in documents), end="")


def _say(text: str) -> None:
    typer.echo(f"  submit  {plain(text)}", err=True)


def _log_line(text: str) -> None:
    sys.stderr.write(f"{plain(text)}\n")
    sys.stderr.flush()
