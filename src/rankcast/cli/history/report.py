"""`rankcast history report`: does offline foretell online?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.history.options import Columns, Control, Offline, Online, Scale, Where, Worse, layout_of
from rankcast.cli.show import OUT, plain, print_json, print_table
from rankcast.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from rankcast.records.history import Link

NAME, NEEDS_ARGUMENTS = "report", False
HTML, MARKDOWN = "history.html", "history.md"
_SHOWN = 20  # left out


@guarded
def command(
    where: Where = "history",
    online: Online = None,
    offline: Offline = None,
    columns: Columns = None,
    scale: Scale = "relative",
    control: Control = None,
    worse: Worse = None,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(min=0, help="Of the permutations and the bootstrap.")] = 0,
    out: Annotated[str, typer.Option(help=OUT)] = "runs",
    to: Annotated[Path, typer.Option(help=f"Folder for {HTML} and {MARKDOWN}.")] = Path("history-report"),
    json: Annotated[bool, typer.Option("--json", help="Print every number for programs, and write no page.")] = False,
) -> None:
    """Hold every offline metric against every online metric over all past tests, and say which has earned trust.

    Correlations with intervals, the correlation behind the noise, what a single test carries, periods, past forecasts.
    """
    from rankcast.history.pairing import metrics_of
    from rankcast.history.panel import Wanted, check_names, check_worse, history_of
    from rankcast.memory.opening import open_record
    from rankcast.memory.waiting import less_is_better, tried_offline
    from rankcast.report.past import answers, history_html, history_markdown, left_out
    from rankcast.runs.store import open_store

    record = open_record(where, layout_of(online, offline, columns, scale, control))
    metrics = tuple(offline or metrics_of(record.tests)[1])
    lower = record.worse | set(worse or ()) | {one for metric in metrics for one in less_is_better(metric)}
    tried = tried_offline(open_store(out), record) if "://" in out or Path(out).is_dir() else {}
    wanted = Wanted(
        tuple(dict.fromkeys(online or ())), tuple(dict.fromkeys(offline or ())), lower, confidence, seed, tried=tried
    )
    check_names(record.tests, wanted)
    check_worse(record.tests, worse or ())
    if to.exists() and not to.is_dir():
        raise ConfigError(f"--to {to} is a file; expected a folder")
    history = history_of(record.tests, wanted)
    if json:
        print_json(history.model_dump(mode="json"))
        return
    to.mkdir(parents=True, exist_ok=True)
    (to / HTML).write_text(history_html(history, where), encoding="utf-8")
    (to / MARKDOWN).write_text(history_markdown(history, where), encoding="utf-8")
    for line in answers(history):
        print(plain(line))
    for line in history.problems:
        print(plain(f"left out (ON04): {line}"))
    if history.links:
        print_table(_table(history.links))
    for line in left_out(history)[:_SHOWN]:
        print(plain(line))
    print(plain(f"report: {to / HTML}"))


def _table(links: tuple[Link, ...]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from rankcast.text import p_value

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in (
        "online",
        "group",
        "offline",
        "pairs",
        "Pearson",
        "behind the noise",
        "not ruled out",
        "p corrected",
        "standing",
    ):
        table.add_column(
            title, justify="right" if title in ("pairs", "Pearson", "behind the noise", "p corrected") else "left"
        )
    for one in links:
        behind = "-" if one.denoised is None else f"{one.denoised.correlation.median:+.2f}"
        bounds = (one.pearson.low, one.pearson.high)
        if one.denoised is not None:
            bounds = (one.denoised.allowed_low, one.denoised.allowed_high)
        table.add_row(
            Text(plain(one.online)),
            Text(plain(one.group or "-")),
            Text(plain(one.offline)),
            str(len(one.pairs)),
            "-" if one.pearson.value is None else f"{one.pearson.value:+.2f}",
            behind,
            "-"
            if one.standing == "too few" or bounds[0] is None or bounds[1] is None
            else f"{bounds[0]:+.2f} to {bounds[1]:+.2f}",
            p_value(one.p_adjusted),
            Text(one.standing, style="green" if one.standing == "earned" else ""),
        )
    return table
