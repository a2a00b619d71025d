"""`rankcast serve`: runs in a browser."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import OUT
from rankcast.errors import RunError

NAME, NEEDS_ARGUMENTS = "serve", False


@guarded
def command(
    out: Annotated[str, typer.Option(help=OUT)] = "runs",
    host: Annotated[str, typer.Option(help="The address to listen on. There is no login.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8600,
) -> None:
    """Look through runs in a browser: list, search, trend of a metric, two runs side by side, reports, lists of any request.

    Read-only. It listens on this machine alone unless --host says otherwise.
    """
    try:
        import starlette.applications  # noqa: F401 - to tell that it is missing
        import uvicorn
    except ImportError as error:
        raise RunError(f"rankcast serve: needs an extra: pip install 'rankcast[serve]' ({error})") from error
    from rankcast.runs.store import open_store
    from rankcast.serving.app import application

    place = _address(host)
    app = application(open_store(out), host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as error:
            raise RunError(f"cannot listen on {host}, port {port} ({error}); --port chooses another one") from error
        listener.listen(128)  # before anybody is told
        shown = f"[{host}]" if ":" in host else host
        typer.echo(f"runs of {out}: http://{shown}:{listener.getsockname()[1]}/ (Ctrl-C ends it)", err=True)
        if not place.is_loopback:
            typer.echo("everybody who reaches this address can read all of these runs", err=True)
        config = uvicorn.Config(app, log_level="warning", access_log=False)
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            typer.echo("ended", err=True)


def _address(host: str) -> IPv4Address | IPv6Address:
    """The address that a host stands for."""
    try:
        return ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise RunError(f"--host {host!r}: expected an address of this machine, such as 127.0.0.1 or 0.0.0.0") from error
