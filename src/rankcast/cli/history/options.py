"""Options that several commands share: where the record is, and how a table is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rankcast.errors import ConfigError

if TYPE_CHECKING:
    from rankcast.history.table import Layout

WHERE = "A folder of YAML files, or a table: parquet, csv, csv.gz, ndjson."
SCALES = ("relative", "absolute", "level")

Where = Annotated[str, typer.Argument(help=WHERE)]
Online = Annotated[
    list[str] | None,
    typer.Option(help="Online metrics; of a table: its columns, or a ratio of two (clicks/shown).", show_default=False),
]
Offline = Annotated[
    list[str] | None, typer.Option(help="Offline metrics; of a table: its columns.", show_default=False)
]
Columns = Annotated[
    list[str] | None,
    typer.Option(help="Of a table: our name of a column and theirs, such as group=user_group.", show_default=False),
]
Scale = Annotated[str, typer.Option(help="What a table's numbers are: relative, absolute, level.")]
Control = Annotated[
    str | None, typer.Option(help="Of levels: the variant that the others are held against.", show_default=False)
]
Worse = Annotated[
    list[str] | None, typer.Option("--lower-is-better", help="A metric of which less is better.", show_default=False)
]


def layout_of(
    online: list[str] | None, offline: list[str] | None, columns: list[str] | None, scale: str, control: str | None
) -> Layout:
    """How a table is read."""
    from rankcast.history.table import Layout

    if scale not in SCALES:
        raise ConfigError(f"--scale {scale}: expected {', '.join(SCALES)}")
    if control is not None and scale != "level":
        raise ConfigError("--control: only levels are held against a control; add --scale level")
    mapped: dict[str, str] = {}
    for pair in columns or []:
        ours, sign, theirs = pair.partition("=")
        if not sign or not ours.strip() or not theirs.strip():
            raise ConfigError(f"--columns {pair}: expected ours=theirs, such as group=user_group")
        mapped[ours.strip()] = theirs.strip()
    return Layout(tuple(online or ()), tuple(offline or ()), scale, control, mapped)  # type: ignore[arg-type]
