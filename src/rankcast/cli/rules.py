"""`rankcast rules`: which rules there are."""

from __future__ import annotations

from typing import Annotated

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import plain, print_json

NAME, NEEDS_ARGUMENTS = "rules", False


@guarded
def command(json: Annotated[bool, typer.Option("--json", help="Print the pages for programs.")] = False) -> None:
    """List the rules that every study is held against. `rankcast explain RP02` shows a rule's whole page."""
    from rankcast.rules.page import all_pages

    pages = all_pages()
    if json:
        print_json([one.document() for one in pages])
        return
    wide = max(len(one.name) for one in pages)
    for one in pages:
        print(
            plain(f"{one.code}  {one.name:<{wide}}  {one.moment:<7}  {one.severity:<7}  {_first_sentence(one.wrong)}")
        )
    print("checks, thresholds, remedies, a good and a bad study: `rankcast explain RP02`")


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".")
