"""`runbus server`: start, stop and look at the embedded server."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

from cyclopts import App, Parameter
from rich.filesize import decimal

from runbus import settings
from runbus.cli import output
from runbus.cli.exits import DONE, NOT_RUNNING
from runbus.cli.terminal import working
from runbus.store.embedded import server

_JSON_HELP = "Print one JSON object for a program: sizes in bytes, times in seconds."

app = App(name="server", help="The embedded server: what runbus uses without RUNBUS_URL.")


@app.command
def start() -> int:
    """Start the server, unless it runs already."""
    ran = server.status() is not None
    with working("Starting the server"):
        url = server.ensure_running()
    output.line(f"It runs already: {url}" if ran else f"Started: {url}")
    if settings.current().url is not None:
        output.line("RUNBUS_URL is set, so runbus uses the server there, not this one.")
    return DONE


@app.command
def stop() -> int:
    """Write everything to disk and end the server. Its data stay."""
    with working("Stopping the server"):
        ran = server.stop()
    output.line("Stopped." if ran else "Nothing was running.")
    return DONE


@app.command
def status(*, json: Annotated[bool, Parameter(name="--json", help=_JSON_HELP)] = False) -> int:
    """Show the server. The exit code is 3 when it does not run."""
    found = server.status()
    if json:
        output.json({"running": True, **asdict(found)} if found else {"running": False})
    elif found is None:
        output.line("The embedded server does not run. `runbus server start` starts it.")
    else:
        _show(found)
    return NOT_RUNNING if found is None else DONE


def _show(found: server.ServerStatus) -> None:
    output.pairs({
        "url": found.url,
        "socket": str(found.socket),
        "pid": str(found.pid),
        "version": f"Valkey {found.version}",
        "up for": str(timedelta(seconds=found.uptime_seconds)),
        "memory": decimal(found.memory_bytes),
        "clients": str(found.clients),
        "directory": str(found.directory),
    })  # fmt: skip
