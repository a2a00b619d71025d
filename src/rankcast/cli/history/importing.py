"""`rankcast history import`: a table of past tests as files of the record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.history.options import Columns, Control, Offline, Online, Scale, layout_of
from rankcast.cli.show import plain, print_json

NAME, NEEDS_ARGUMENTS = "import", True
_SHOWN = 10


@guarded
def command(
    table: Annotated[
        str, typer.Argument(help="parquet, csv, csv.gz or ndjson: a row a variant of a test.", show_default=False)
    ],
    to: Annotated[Path, typer.Option(help="The record: a folder of YAML files.")] = Path("history"),
    online: Online = None,
    offline: Offline = None,
    columns: Columns = None,
    scale: Scale = "relative",
    control: Control = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result for programs.")] = False,
) -> None:
    """Write past tests out of a table into the record, one file a test: all of them, or none."""
    from rankcast.experiment.past import of_table, source_of
    from rankcast.memory.importing import import_tests

    layout = layout_of(online, offline, columns, scale, control)
    found = of_table(source_of([table], table, Path.cwd()), layout, "UTC")
    written = import_tests(found.tests, to)
    if json:
        print_json({"written": [str(path) for path in written]})
        return
    for path in written[:_SHOWN]:
        print(plain(f"recorded: {path}"))
    if len(written) > _SHOWN:
        print(f"and {len(written) - _SHOWN:,} more")
