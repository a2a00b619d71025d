"""`rankcast metrics`: which metrics there are."""

from __future__ import annotations

from typing import Annotated

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import plain, print_json

NAME, NEEDS_ARGUMENTS = "metrics", False


@guarded
def command(json: Annotated[bool, typer.Option("--json", help="Print the pages for programs.")] = False) -> None:
    """List the metrics: what each computes. `rankcast explain NAME` shows its whole page."""
    from rankcast.evaluate.page import all_pages

    pages = all_pages()
    if json:
        print_json(
            [{"name": one.name, "definition": one.definition, "text": one.text, **dict(one.facts)} for one in pages]
        )
        return
    for page in pages:
        print(plain(page.definition))
    print("parameters, ranges, sources: `rankcast explain ndcg`; a metric of your own: `package.module:Name`")
