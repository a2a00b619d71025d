"""`rankcast history search`: what happened when something alike was tried."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.history.options import WHERE, Columns, Control, Offline, Online, Scale, layout_of
from rankcast.cli.show import OUT, plain, print_json
from rankcast.errors import ConfigError

NAME, NEEDS_ARGUMENTS = "search", True


@guarded
def command(
    words: Annotated[
        list[str],
        typer.Argument(
            help="Words of a test's name, treatment, changes, arms, metrics, reason or notes.", show_default=False
        ),
    ],
    where: Annotated[str, typer.Option("--in", help=WHERE)] = "history",
    online: Online = None,
    offline: Offline = None,
    columns: Columns = None,
    scale: Scale = "relative",
    control: Control = None,
    out: Annotated[str, typer.Option(help=OUT)] = "runs",
    json: Annotated[bool, typer.Option("--json", help="Print the list for programs.")] = False,
) -> None:
    """What happened the last times that something alike was tried: online tests, and studies that never went online."""
    from rankcast.experiment.past import Record
    from rankcast.history.memory import of_test, search
    from rankcast.memory.opening import open_record
    from rankcast.memory.waiting import remembered
    from rankcast.runs.store import open_store

    if not "".join(words).strip():
        raise ConfigError("expected a word to look for, such as cap")
    layout = replace(layout_of(online, offline, columns, scale, control), bare=True)
    runs = "://" in out or Path(out).is_dir()
    record = Record((), frozenset(), {}) if runs and not Path(where).exists() else open_record(where, layout)
    tried = [of_test(one) for one in record.tests]
    tried += remembered(open_store(out), record) if runs else []
    found = search(tried, words)
    if json:
        print_json([asdict(one) for one in found])
        return
    for one in found:
        launched = "" if one.launched is None else f"  launched: {', '.join(one.launched) or 'nothing'}"
        print(plain(f"{one.when or 'undated':<10}  {one.name}  {', '.join(one.kinds)}{launched}  ({one.place})"))
        for line in (*one.changes, *one.outcomes, *((one.notes,) if one.notes else ())):
            print(plain(f"    {' '.join(line.split())}"))
    if not found:
        typer.echo(f"nothing of {len(tried)} past tests and studies has all of: {' '.join(words)}", err=True)
