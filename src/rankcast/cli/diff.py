"""`rankcast diff`: what changes from one study to another, in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import plain, print_json
from rankcast.errors import ConfigError

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
    found = _between(git, named) if git is not None else {"": _of_files(named)}
    if json or form == "json":
        documents = {path: one.document() for path, one in found.items()}
        print_json(documents if git is not None else documents[""])
        return
    from rankcast.report.review import difference_markdown

    for path, one in found.items():
        if form == "markdown":
            print(difference_markdown(one.document(), path or None), end="")
        else:
            _print(one, path)
    if not found:
        typer.echo("no study differs", err=True)


def _of_files(studies: list[Path]) -> Difference:
    from rankcast.config.difference import difference, proposed
    from rankcast.study import plan

    if len(studies) not in (1, 2):
        raise ConfigError(f"expected two studies (or one, or --git main..HEAD), found {len(studies)}")
    plans = [plan(path, need_variables=False).document() for path in studies]
    return difference(*plans) if len(plans) == 2 else proposed(plans[0])


def _between(revisions: str, studies: list[Path]) -> dict[str, Difference]:
    """Of studies by path, what differs between two revisions."""
    from rankcast.repository import Repository
    from rankcast.review.studies import Change

    repository = Repository.around((studies[0] if studies else Path()).resolve())
    base, dots, head = revisions.partition("..")
    if not base or head.startswith("."):
        raise ConfigError(f"--git {revisions}: expected two revisions such as main..HEAD, or one")
    change = Change(repository, repository.commit(base), repository.commit(head or "HEAD") if dots else "")
    if studies:
        root = repository.root.resolve()
        paths = [path.resolve().relative_to(root).as_posix() for path in studies if path.resolve().is_relative_to(root)]
        if len(paths) < len(studies):
            raise ConfigError(f"every study must lie in {repository.root}")
    else:
        paths = [one.path for one in change.touched() if not one.gone]
    return {path: change.difference(path) for path in paths}


def _print(one: Difference, path: str) -> None:
    print(plain(f"{path or one.after}: {one.before} -> {one.after}" if one.before != one.after else path or one.after))
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
