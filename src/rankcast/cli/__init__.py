"""The command line: one file a command. Parse, call one function, print."""

from __future__ import annotations


def main() -> None:
    """Entry point of `rankcast`."""
    from rankcast.cli.app import app
    from rankcast.cli.guard import listen_for_termination

    listen_for_termination()
    app()
