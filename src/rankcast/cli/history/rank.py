"""`rankcast history rank`: what to test next."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.history.options import Columns, Control, Offline, Scale, Where, Worse, layout_of
from rankcast.cli.show import OUT, plain, print_json, print_table
from rankcast.errors import ConfigError, RunError

if TYPE_CHECKING:
    from rich.table import Table

    from rankcast.memory.waiting import Waiting

NAME, NEEDS_ARGUMENTS = "rank", False
ORDERS = ("gain", "teaches")


@guarded
def command(
    where: Where = "history",
    out: Annotated[str, typer.Option(help=OUT)] = "runs",
    online: Annotated[
        str | None, typer.Option(help="The online metric; silent: each study's goal.", show_default=False)
    ] = None,
    by: Annotated[str, typer.Option(help="gain: expected online gain; teaches: what a test would teach.")] = "gain",
    smallest: Annotated[
        str | None,
        typer.Option("--smallest-effect", help="The online effect that matters, such as 1%.", show_default=False),
    ] = None,
    offline: Offline = None,
    columns: Columns = None,
    scale: Scale = "relative",
    control: Control = None,
    worse: Worse = None,
    group: Annotated[
        str | None,
        typer.Option(help="Of a record with several groups of users: the one that speaks.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the list for programs.")] = False,
) -> None:
    """Order the studies that wait by the online gain to expect, beside what an online test of each would teach.

    A study waits while no past test names it. The gain is that of launching only what is better, E max(effect, 0).
    """
    from rankcast.config.fields import number
    from rankcast.history.panel import Wanted, check_group, check_names, check_worse, speaking_of
    from rankcast.memory.opening import open_record
    from rankcast.memory.waiting import ranked
    from rankcast.runs.store import open_store

    if by not in ORDERS:
        raise ConfigError(f"--by {by}: expected {' or '.join(ORDERS)}")
    least = None if smallest is None else number(smallest)
    if least is not None and not 0 <= least < 1:
        raise ConfigError(f"--smallest-effect {smallest}: expected a share such as 1% or 0.01")
    names = [online] if online else []
    record = open_record(where, layout_of(names, offline, columns, scale, control))
    check_names(record.tests, Wanted(tuple(names)))
    check_worse(record.tests, worse or ())
    check_group(record.tests, group)
    speaking = speaking_of(record.tests, group)
    if isinstance(speaking, str):
        raise RunError(f"{speaking} (--group)")
    record = replace(record, tests=speaking, worse=record.worse | set(worse or ()))
    found = ranked(open_store(out), record, online, Wanted(), least)
    if by == "teaches":
        found.sort(
            key=lambda one: (one.decision == "invalid", one.worth is None, -(one.worth.teaches if one.worth else 0))
        )
    if json:
        print_json([_row(one) for one in found])
        return
    if not found:
        typer.echo(f"no study waits: every study below {out} has its online test on record, or there is none", err=True)
        return
    print_table(_table(found, least))
    for line in dict.fromkeys(one.forecast.says for one in found if one.worth is None):
        print(plain(line))


def _row(one: Waiting) -> dict[str, Any]:
    worth = {} if one.worth is None else {"gain": one.worth.gain, "teaches": one.worth.teaches}
    return {
        "study": one.study,
        "run": one.run,
        "decision": one.decision,
        **worth,
        **one.forecast.model_dump(mode="json"),
    }


def _table(found: list[Waiting], least: float | None) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from rankcast.text import effect, share

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in (
        "study",
        "variant",
        "decision",
        "offline",
        "foretold online",
        "80 %",
        "P(better)",
        *([] if least is None else [f"P(> {share(least)})"]),
        "gain",
        "teaches (bits)",
    ):
        table.add_column(title, justify="left" if title in ("study", "variant", "decision") else "right")
    for one in found:
        told, worth = one.forecast, one.worth
        seen, before = (-1 if turned else 1 for turned in (told.turned, told.turned_offline))
        ends = sorted(seen * end for end in told.intervals[1]) if told.intervals else []
        table.add_row(
            Text(plain(one.study)),
            Text(plain(one.variant)),
            one.decision,
            effect(before * told.given, told.scale_offline) if told.given is not None else "-",
            effect(seen * told.mean, told.scale) if told.mean is not None else "-",
            " to ".join(effect(end, told.scale) for end in ends) or "-",
            share(told.positive),
            *([] if least is None else [share(told.above_smallest)]),
            "-" if worth is None else effect(worth.gain, told.scale, 2),
            "-" if worth is None else f"{worth.teaches:.2f}",
        )
    return table
