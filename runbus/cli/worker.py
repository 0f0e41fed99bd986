"""`runbus worker`: the processes that execute runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cyclopts import App

from runbus import get_client
from runbus.cli import output, times
from runbus.cli.exits import DONE
from runbus.cli.output import Column

if TYPE_CHECKING:
    from runbus.protocol.deployment_info import WorkerInfo

app = App(name="worker", help="Workers: the processes that execute the runs of deployments.")

_COLUMNS: list[Column[WorkerInfo]] = [
    Column(title="PROCESS", plain=lambda each: each.process),
    Column(title="HOST", plain=lambda each: each.host),
    Column(title="PID", plain=lambda each: str(each.pid)),
    Column(
        title="STARTED",
        plain=lambda each: times.exact(each.started),
        shown=lambda each: times.relative(each.started),
        style="dim",
    ),
    Column(title="EXECUTING", plain=lambda each: str(each.executing)),
    Column(title="DEPLOYMENTS", plain=lambda each: ", ".join(each.deployments)),
]


@app.command(name="ls")
async def list_(*, json: output.Json = False) -> int:
    """List the workers that are alive."""
    found = await get_client().read_workers()
    if json:
        output.json(found)
    else:
        output.table(found, _COLUMNS, empty="No worker is alive: some_flow.serve(name='…') is one.")
    return DONE
