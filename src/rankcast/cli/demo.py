"""`rankcast demo`: a simulated job board, two studies, their reports, and the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import TerminalProgress, plain, print_json

NAME, NEEDS_ARGUMENTS = "demo", False


@guarded
def command(
    folder: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("rankcast-demo"),
    requests: Annotated[
        int, typer.Option(min=100, max=1_000_000, help="How many requests the job board sees.")
    ] = 50_000,
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another job board.")] = 7,
    json: Annotated[bool, typer.Option("--json", help="Print the story's figures for programs.")] = False,
) -> None:
    """Write a small simulated job board with its logs and two studies, run them, and hold the verdicts against the truth."""
    from rankcast.study import run, schema_files
    from rankcast.testing.demo import STUDIES, online_story, write_demo

    progress = TerminalProgress()
    board = write_demo(folder, requests, seed, schema_files())
    progress.note("simulate", f"{board.requests.height:,} requests of {board.users.height:,} users in {folder}")
    done = {}
    for variant, study in STUDIES.items():
        progress.note("study", study)
        done[variant] = run(folder / "studies" / f"{study}.yaml", folder / "runs", progress)
    stories = [online_story(board, variant, finished.result) for variant, finished in done.items()]
    if json:
        print_json([story.document() for story in stories])
        return
    for story in stories:
        print(plain(story.text()))
    for variant, finished in done.items():
        print(f"report of {variant}: {finished.report}")
    print(f"next: read {folder / 'studies' / 'two-tower.yaml'}, change it, and `rankcast run` it")
