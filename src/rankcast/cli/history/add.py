"""`rankcast history add`: an online test into the record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import OUT, plain, print_json

NAME, NEEDS_ARGUMENTS = "add", True


@guarded
def command(
    run: Annotated[
        str, typer.Argument(help="A run folder, or a run's id (its beginning will do).", show_default=False)
    ],
    online: Annotated[Path, typer.Option(help="What the online test showed: a YAML file.", show_default=False)],
    to: Annotated[Path, typer.Option(help="The record: a folder of YAML files.")] = Path("history"),
    out: Annotated[str, typer.Option(help=OUT)] = "runs",
    json: Annotated[bool, typer.Option("--json", help="Print the result for programs.")] = False,
) -> None:
    """Write an online test of a run into the record, beside what the run said of each variant.

    Counts per arm become differences with standard errors; arms that the run does not have, another control and a test that
    is there already are refused.
    """
    from rankcast.experiment.past import differences_of, test_of
    from rankcast.history.tests import BAR
    from rankcast.memory.adding import add
    from rankcast.records.history import Scale
    from rankcast.runs.store import open_run
    from rankcast.text import effect, p_value

    path, written = add(open_run(run, out), online, to)
    test = test_of(written, str(path))
    if json:
        print_json({"path": str(path), "online_test": test.name, "problems": list(test.misaligned(BAR))})
        return
    print(plain(f"recorded: {path}"))
    counted = differences_of(written)
    for metric, changes in test.online.items():
        for variant, one in changes.items():
            known = one.log_ratio is not None
            value, error = (one.log_ratio, one.error_log_ratio) if known else (one.difference, one.error)
            scale: Scale = "relative" if known else "absolute"
            told = effect(value, scale)
            if value is not None and error is not None:
                told += f" ({effect(value - 1.96 * error, scale)} to {effect(value + 1.96 * error, scale)}, 95 %)"
            print(plain(f"  {variant}: {metric} {told}"))
            found = counted.get(metric, {}).get(variant)
            if found is not None and found.low is not None and found.high is not None:
                way = "Fisher's exact test" if found.exact else "two arms"
                print(
                    f"    difference {found.difference:+.4g} ({found.low:+.4g} to {found.high:+.4g}, 95 %), p "
                    f"{p_value(found.p)} ({way})"
                )
    for why in test.misaligned(BAR):
        typer.echo(plain(f"  takes part in no correlation: {why}"), err=True)
