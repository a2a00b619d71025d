"""`rankcast run`: the job."""

from __future__ import annotations

import re
from collections.abc import Mapping
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from rankcast.cli.findings import annotated, chosen, files_of, print_annotations
from rankcast.cli.guard import guarded, last_words
from rankcast.cli.show import OUT, TerminalProgress, print_json, print_run
from rankcast.errors import ConfigError, show
from rankcast.progress import Progress

NAME, NEEDS_ARGUMENTS = "run", True


@guarded
def command(
    study: Annotated[Path | None, typer.Argument(help="study.yaml", show_default=False)] = None,
    out: Annotated[str, typer.Option(help=OUT)] = "runs",
    engine: Annotated[str, typer.Option(help="local; spark comes later.")] = "local",
    memory: Annotated[str, typer.Option(help="About how much memory a run may use, such as 500MB or 2GB.")] = "2GB",
    processes: Annotated[int, typer.Option(min=1, max=256, help="How many processes share the work.")] = 1,
    repeat: Annotated[
        str | None,
        typer.Option(
            "--from", help="A run (folder, address or id): make it again from its manifest.", show_default=False
        ),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="text; json: result.json; sarif, github: the findings.")
    ] = "text",
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="End with 0 whatever the verdict: for clusters, which retry what fails.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Replay a study's lists, judge them, compare with production, and write a run folder with its report.

    A run that was interrupted is taken up where it was. No result depends on --memory and --processes.
    """
    if engine != "local":
        later = "not available yet" if engine == "spark" else "unknown engine"
        raise ConfigError(f"--engine {engine}: {later}; expected local")
    if (study is None) == (repeat is None):
        raise ConfigError(
            "expected either a study (rankcast run study.yaml) or a run to repeat (rankcast run --from RUN)"
        )
    form = chosen(form, json)
    from rankcast.runs.objects import is_remote
    from rankcast.runs.store import open_store
    from rankcast.study import run

    shown = Progress() if quiet else TerminalProgress()
    size = parse_memory(memory)
    done = annotated(form, lambda: run(study, out, shown, memory=size, processes=processes, repeat=repeat))
    if form == "json":
        print_json(done.result.document())
    elif form == "text":
        print_run(done)
        if is_remote(out):
            print(f"run: {open_store(out).whereabouts(done)}")
    print_annotations(form, done.findings, files_of(done))
    decision = {name: one.decision for name, one in done.decision.items()}
    last_words(*_epitaphs(done.result.study, done.id, decision))
    raise typer.Exit(0 if exit_zero else done.exit_code())


def _epitaphs(study: str, run: str, decision: Mapping[str, str]) -> list[str]:
    """What a cluster should know at the end; and the same in short, should that be too long."""
    from rankcast.runs.folder import worst

    short = {"study": study, "run": run, "worst": worst(decision.values())}
    return [dumps({**short, "decision": decision}, ensure_ascii=False), dumps(short, ensure_ascii=False)]


_SIZE = re.compile(r"^([0-9]+(?:\.[0-9]+)?) *(MB|GB)$", re.IGNORECASE)
_BYTES = {"MB": 1_000_000, "GB": 1_000_000_000}
_LEAST, _MOST = 100_000_000, 10**15


def parse_memory(text: str) -> int:
    """A size as people write it, in bytes.

    >>> parse_memory("2GB"), parse_memory("1.5 gb")
    (2000000000, 1500000000)
    """
    form = _SIZE.match(text.strip())
    size = float(form[1]) * _BYTES[form[2].upper()] if form else 0
    if not _LEAST <= size <= _MOST:
        raise ConfigError(f"--memory: expected at least 100MB, such as 500MB or 2GB, found {show(text)}")
    return int(size)
