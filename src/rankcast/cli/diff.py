"""`rankcast diff`: what changes from one study to another, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import plain, print_json
from rankcast.errors import ConfigError, Problem, RankcastError

if TYPE_CHECKING:
    from rankcast.config.difference import Difference

NAME, NEEDS_ARGUMENTS = "diff", True
FORMATS = ("text", "json", "markdown")


@guarded
def command(
    studies: Annotated[
        list[Path] | None,
        typer.Argument(help="Two studies; one alone is held against its own baseline.", show_default=False),
    ] = None,
    git: Annotated[
        str | None,
        typer.Option(help="Two revisions, such as main..HEAD; main alone: the work tree.", show_default=False),
    ] = None,
    form: Annotated[str, typer.Option("--format", help="text, json, or markdown (for a comment).")] = "text",
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Say what changes from one study to another, defaults resolved: inside the declared treatment, outside of it, words only.

    With --git, of every study that differs between two revisions, or of those that are named. Executes nothing, reads no data.
    """
    if form not in FORMATS:
        raise ConfigError(f"--format {form}: expected {', '.join(FORMATS)}")
    named = studies or []
    found, broken = _between(git, named) if git is not None else ({"": _of_files(named)}, [])
    if json or form == "json":
        documents = {path: None if one is None else one.document() for path, one in found.items()}
        print_json(documents if git is not None else documents[""])
        _tell(broken)
        return
    from rankcast.report.markdown import code
    from rankcast.report.review import difference_markdown

    for path, one in found.items():
        if one is None:
            print(plain(f"{code(path)} is removed\n" if form == "markdown" else f"{' '.join(path.split())}: removed"))
        elif form == "markdown":
            print(difference_markdown(one.document(), path or None), end="")
        else:
            _print(one, path)
    if not found and not broken:
        typer.echo("no study differs", err=True)
    _tell(broken)


def _tell(broken: Sequence[Problem]) -> None:
    """What could not be compared, after what could."""
    if broken:
        raise ConfigError(broken)


def _of_files(studies: list[Path]) -> Difference:
    from rankcast.config.difference import difference, proposed
    from rankcast.study import plan

    if len(studies) not in (1, 2):
        raise ConfigError(f"expected two studies (or one, or --git main..HEAD), found {len(studies)}")
    plans = [plan(path, need_variables=False).reviewed() for path in studies]
    return difference(*plans) if len(plans) == 2 else proposed(plans[0])


def _between(revisions: str, studies: list[Path]) -> tuple[dict[str, Difference | None], list[Problem]]:
    """Of studies by path, what differs between two revisions (None: the study is gone); and what cannot be compared."""
    from rankcast.repository import Repository
    from rankcast.review.studies import Change

    repository = Repository.around((studies[0] if studies else Path()).resolve())
    base, dots, head = revisions.partition("..")
    if not base or head.startswith("."):
        raise ConfigError(f"--git {revisions}: expected two revisions such as main..HEAD, or one")
    change = Change(repository, repository.commit(base), repository.commit(head or "HEAD") if dots else "")
    if studies:
        paths = repository.paths_of(studies)
    else:
        touched = change.touched()
        paths = [one.path for one in touched if not one.gone]
    found: dict[str, Difference | None] = {}
    broken: list[Problem] = []
    for path in paths:
        try:
            found[path] = change.difference(path)
        except RankcastError as error:
            broken += error.problems
    if not studies:
        found |= {one.path: None for one in touched if one.gone}
    return found, broken


def _print(one: Difference, path: str) -> None:
    name = " ".join((path or one.after).split())
    told = (
        f": {one.after} against {one.before}"
        if one.new
        else f": {one.before} -> {one.after}"
        if one.before != one.after
        else ""
    )
    print(plain(name + told))
    for text in one.of("treatment"):
        print(plain(f"  {text}"))
    outside = one.of("outside")
    if outside:
        print(f"  outside the treatment [{', '.join(one.treatment)}]:")
        for text in outside:
            print(plain(f"  ! {text}"))
    for text in one.of("words"):
        print(plain(f"  . {text}"))
    if not one.changes:
        print("  nothing differs")
