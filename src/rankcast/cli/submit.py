"""`rankcast submit`: a study in a pod."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import plain, print_json, print_run
from rankcast.errors import Problem, RunError

if TYPE_CHECKING:
    from rankcast.cluster.submit import Outcome

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
    from rankcast.runs.folder import exit_code

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
    except RunError as error:
        raise RunError([*error.problems, Problem(f"{where} may go on; the same command follows it again")]) from error
    done = outcome(submission, end)
    if done.why_not is not None:
        _say(f"the run was not fetched: {done.why_not}")
    if json:
        told = {"study": done.study, "run": done.id, "decision": done.decision}
        print_json(told if done.run is None else done.run.result.document())
    else:
        _print(done, submission.submit.out)
    raise typer.Exit(exit_code(done.decision.values() or [done.worst or ""]))


def _print(done: Outcome, out: str) -> None:
    if done.run is not None:
        print_run(done.run)
    else:
        for name, word in done.decision.items():
            print(plain(f"{name}: {word}"))
    print(plain(f"run: {out.rstrip('/')}/{done.study}/{done.id}"))


def _print_yaml(documents: tuple[dict[str, Any], ...]) -> None:
    from rankcast.config.write import to_old_yaml

    print("---\n".join(to_old_yaml(one) for one in documents), end="")


def _say(text: str) -> None:
    typer.echo(f"  submit  {plain(text)}", err=True)


def _log_line(text: str) -> None:
    sys.stderr.write(f"{plain(text)}\n")
    sys.stderr.flush()
