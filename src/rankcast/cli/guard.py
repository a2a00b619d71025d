"""What every command does with errors: a message and an exit code, never a traceback."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from typing import ParamSpec, TypeVar

import typer

from rankcast.cli.show import plain
from rankcast.errors import RankcastError, Terminated

_MOST_WORDS = 4_000  # bytes: a cluster keeps 4,096
P = ParamSpec("P")
R = TypeVar("R")

INPUT, BUG, INTERRUPTED, TERMINATED, PIPE_CLOSED = 2, 1, 130, 143, 141
EXIT_CODES: Mapping[int, str] = {
    0: "done, and every variant is `go` (or there is nothing to decide)",
    BUG: "our fault: a bug; the message says how to report it",
    INPUT: "your input: files, data, usage",
    3: "a variant is `no-go`, and none is `invalid`",
    4: "a variant is `undecided`, and none is `no-go` or `invalid`",
    5: "a variant is `invalid`; `check`: a rule that needs only the plan found an error",
    INTERRUPTED: "interrupted; nothing half-written is left, and the same command takes the run up where it was",
    PIPE_CLOSED: "whoever read the output has closed it",
    TERMINATED: "terminated, as a cluster does; the same command takes the run up where it was",
}


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what goes wrong in a command into a message on stderr and the exit code that says whose turn it is."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except RankcastError as error:
            _tell_problems(error, _as_json(kwargs))
            raise typer.Exit(INPUT) from None
        except KeyboardInterrupt:
            typer.echo(
                "interrupted; nothing half-written is left, and an interrupted run is taken up where it was", err=True
            )
            raise typer.Exit(INTERRUPTED) from None
        except Terminated:
            raise typer.Exit(TERMINATED) from None
        except BrokenPipeError:  # whoever read the output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(PIPE_CLOSED) from None
        except (typer.Exit, typer.Abort, SystemExit, GeneratorExit):
            raise
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _tell_problems(RankcastError(f"{where}{error.strerror or error}"), _as_json(kwargs))
            raise typer.Exit(INPUT) from None
        except BaseException as error:  # noqa: BLE001 - the last line of defence; a panic in Rust is no Exception
            _tell_bug(error)
            raise typer.Exit(BUG) from None

    return run


def _as_json(options: Mapping[str, object]) -> bool:
    return bool(options.get("json")) or options.get("form") == "json"


def last_words(*texts: str) -> None:
    """Leave the first of some texts that is short enough where a cluster looks when a container ends (RANKCAST_EPITAPH)."""
    place = os.environ.get("RANKCAST_EPITAPH")
    text = next((one for one in texts if len(one.encode()) <= _MOST_WORDS), texts[-1])
    if place:
        with suppress(OSError), open(place, "w", encoding="utf-8") as file:
            file.write(text.encode()[:_MOST_WORDS].decode("utf-8", "ignore"))


def listen_for_termination() -> None:
    """End in order when a cluster says stop: what is half-written goes."""

    def end(*_: object) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, end)


def _tell_problems(error: RankcastError, as_json: bool) -> None:
    if as_json:
        import json

        typer.echo(
            json.dumps(
                {
                    "errors": [
                        {"file": one.file, "line": one.line, "key": one.key, "message": one.message}
                        for one in error.problems
                    ]
                },
                indent=1,
                ensure_ascii=False,
            )
        )
    count = len(error.problems)
    head = "error: " if count == 1 else f"{count} errors:\n"
    typer.echo(head + plain(error.render()), err=True)
    last_words(plain(error.render()))


def _tell_bug(error: BaseException) -> None:
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(last.filename)}:{last.lineno}"
    typer.echo(
        f"This is a bug in Rankcast, not your fault: {type(error).__name__} at {place}: {plain(str(error))[:500]}\n"
        "Please report it with this line and the command; RANKCAST_TRACEBACK=1 shows where it comes from.",
        err=True,
    )
    if os.environ.get("RANKCAST_TRACEBACK"):
        traceback.print_exception(error)
    last_words(f"a bug: {type(error).__name__} at {place}")
