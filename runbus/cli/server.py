"""`runbus server`: start, stop and look at the embedded server."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.filesize import decimal
from rich.json import JSON
from rich.table import Table

from runbus import settings
from runbus.store import embedded

NOT_RUNNING = 3  # as `systemctl status` and `pg_ctl status` say it
_JSON_HELP = "Print one JSON object for a program: sizes in bytes, times in seconds."

app = App(name="server", help="The embedded server: what runbus uses without RUNBUS_URL.")


@app.command
def start() -> int:
    """Start the server, unless it runs already."""
    console = _console()
    ran = embedded.status() is not None
    url = embedded.ensure_running()
    console.print("It runs already:" if ran else "Started:", url)
    if settings.current().url is not None:
        console.print("RUNBUS_URL is set, so runbus uses the server there, not this one.")
    return 0


@app.command
def stop() -> int:
    """Write everything to disk and end the server. Its data stay."""
    _console().print("Stopped." if embedded.stop() else "Nothing was running.")
    return 0


@app.command
def status(*, json: Annotated[bool, Parameter(help=_JSON_HELP)] = False) -> int:
    """Show the server. The exit code is 3 when it does not run."""
    found = embedded.status()
    if json:
        _show_json(found)
    elif found is None:
        _console().print("The embedded server does not run. `runbus server start` starts it.")
    else:
        _show(found)
    return NOT_RUNNING if found is None else 0


def _show(found: embedded.ServerStatus) -> None:
    rows = {
        "url": found.url,
        "socket": str(found.socket),
        "pid": str(found.pid),
        "version": f"Valkey {found.version}",
        "up for": str(timedelta(seconds=found.uptime_seconds)),
        "memory": decimal(found.memory_bytes),
        "clients": str(found.clients),
        "directory": str(found.directory),
    }
    console = _console()
    if not console.is_terminal:
        console.print(*(f"{name}: {value}" for name, value in rows.items()), sep="\n")
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")  # a path must not be cut
    for row in rows.items():
        table.add_row(*row)
    console.print(table)


def _show_json(found: embedded.ServerStatus | None) -> None:
    values = {"running": True, **asdict(found)} if found else {"running": False}
    console = _console()
    console.print(JSON.from_data(values, default=str, highlight=console.is_terminal))


def _console() -> Console:
    # A path may hold [brackets]; and what goes into a pipe is not wrapped.
    return Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
