"""`rankcast steps`: which steps there are."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import plain, print_json

NAME, NEEDS_ARGUMENTS = "steps", False


@guarded
def command(json: Annotated[bool, typer.Option("--json", help="Print the pages for programs.")] = False) -> None:
    """List the steps of post-processing: what each does to a list. `rankcast explain NAME` shows its page, with a picture."""
    from rankcast import plugins
    from rankcast.errors import PluginError
    from rankcast.replay.drawing import drawing

    pages = {}
    for name in plugins.names(plugins.STEPS):
        try:
            pages[name] = (inspect.getdoc(plugins.load(plugins.STEPS, name)) or "", drawing(name))
        except PluginError as error:  # somebody else's: the others are still there
            pages[name] = (str(error), None)
    if json:
        print_json([{"name": name, "page": page, "picture": picture} for name, (page, picture) in pages.items()])
        return
    wide = max(map(len, pages))
    for name, (page, _) in pages.items():
        print(plain(f"{name:<{wide}}  {' '.join(page.split(chr(10) + chr(10))[0].split())}"))
    print("pages with a picture: `rankcast explain cap`; a step of your own: `python: package.module:function`")
