"""`runbus deployment`: what is served, and starting runs of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from pydantic_core import to_json
from rich.text import Text

from runbus import get_client
from runbus.cli import output
from runbus.cli.arguments import json_or_text, named_values
from runbus.cli.exits import DONE, FAILED, Failed, WrongCall
from runbus.cli.output import Column
from runbus.cli.terminal import console, is_terminal
from runbus.errors import DeploymentMissing, NotSerializable, RunNotEnded
from runbus.forms import catalogue
from runbus.forms.answers import in_one_line
from runbus.forms.exact_json import write_exact
from runbus.forms.parameters import checked_parameters
from runbus.forms.schema import names_of
from runbus.protocol.printed import one_line
from runbus.protocol.values import encode
from runbus.redaction import shown_run

if TYPE_CHECKING:
    from uuid import UUID

    from rich.status import Status

    from runbus.protocol.deployment_info import DeploymentInfo
    from runbus.protocol.records import FlowRun

LOOK_SECONDS = 1

app = App(name="deployment", help="Deployments: flows that workers serve under a name.")


@app.command(name="ls")
async def list_(*, json: output.Json = False) -> int:
    """List the deployments."""
    found = await get_client().read_deployments()
    if json:
        output.json(found)
    else:
        output.table(found, _COLUMNS, empty="Nothing is served: some_flow.serve(name='…') does.")
    return DONE


_COLUMNS: list[Column[DeploymentInfo]] = [
    Column(title="NAME", plain=lambda each: each.name),
    Column(title="WORKERS", plain=lambda each: "?" if each.workers is None else str(each.workers)),
    Column(title="PARAMETERS", plain=lambda each: ", ".join(_names(each))),
    Column(title="DESCRIPTION", plain=lambda each: output.first_line(each.description)),
]


def _names(deployment: DeploymentInfo) -> list[str]:
    return names_of(deployment.parameters)


@app.command
async def run(
    name: Annotated[str, Parameter(help="The deployment: flow/name.")],
    /,
    *,
    param: Annotated[
        list[str] | None,
        Parameter(name=["--param", "-p"], help="key=value; JSON where it is JSON, else a text."),
    ] = None,
    run_name: Annotated[str | None, Parameter(name="--name", help="What to call the run.")] = None,
    idempotency_key: Annotated[
        str | None,
        Parameter(
            help="The same key gives the same run, however often it is started, "
            "until RUNBUS_RETENTION_SECONDS after its end; then it starts another run."
        ),
    ] = None,
    tag: Annotated[list[str] | None, Parameter(help="A tag of the run; may be repeated.")] = None,
    wait: Annotated[
        bool,
        Parameter(
            name=["--wait", "--watch", "-w"], help="Wait for its end and print what it returned."
        ),
    ] = False,
    json: output.Json = False,
) -> int:
    """Start a run. With --wait, the exit code is 1 when it does not complete."""
    client = get_client()
    deployment = await _served(name)
    parameters = _parameters(deployment, named_values("-p", param or []))
    started = await client.create_flow_run_from_deployment(
        name, parameters, flow_run_name=run_name, idempotency_key=idempotency_key, tags=tag
    )
    if deployment.workers == 0 and not started.state.is_final():
        output.note(f"No worker serves {one_line(name)} now: the run waits until one does.")
    if not wait:
        _tell_started(await shown_run(started), json=json)
        return DONE
    ended = await _ended(started)
    _tell_ended(await shown_run(ended), json=json)
    return DONE if ended.state.is_completed() else FAILED


async def _served(name: str) -> DeploymentInfo:
    client = get_client()
    try:
        return await client.read_deployment(name)
    except DeploymentMissing:
        there = ", ".join(each.name for each in await client.read_deployments())
        if not there:
            raise
        raise Failed(f"there is no deployment {name!r}. There are {there}.") from None


def _parameters(deployment: DeploymentInfo, given: dict[str, str]) -> dict[str, Any]:
    texts: dict[str, Any] = dict(given)
    found = {name: json_or_text(f"-p {name}", words) for name, words in given.items()}
    for name in _wrong(deployment, found) & given.keys():
        # A number may be meant as a text: `-p title=1984`.
        if name not in _wrong(deployment, found | {name: texts[name]}):
            found[name] = texts[name]
    if problems := _problems(deployment, found):
        told = in_one_line(problems)
        names = _names(deployment)
        if not (problems.keys() & found.keys()).difference(names):  # else they are told already
            told += f". Its parameters: {', '.join(names) or 'none'}"
        raise WrongCall(f"{deployment.name} does not take this: {told}.")
    return found


def _problems(deployment: DeploymentInfo, found: dict[str, Any]) -> dict[str, str]:
    schema = to_json(deployment.parameters) if deployment.parameters else b""
    try:
        data = write_exact(found, encode)
    except NotSerializable:  # all else has come as JSON
        return {"": catalogue.HALF_A_CHARACTER}
    return checked_parameters(schema, data)[1]


def _wrong(deployment: DeploymentInfo, found: dict[str, Any]) -> set[str]:
    return {name.partition(".")[0] for name in _problems(deployment, found)}


def _tell_started(run: FlowRun, *, json: bool) -> None:
    if json:
        output.json(run)
    elif is_terminal(sys.stdout):
        output.line(f"{one_line(run.name)} is {one_line(run.state.name)}: {run.id}")
    else:
        output.line(str(run.id))


def _tell_ended(run: FlowRun, *, json: bool) -> None:
    if json:
        output.json(run)
    elif not run.state.is_completed():
        output.note(f"runbus: {one_line(run.name)} is {one_line(run.state.name)}: "
                  f"{one_line(run.state.message)}")  # fmt: skip
    elif run.state.data is not None:
        output.json(run.state.data)


async def _ended(run: FlowRun) -> FlowRun:
    """Wait for the end of a run, and show meanwhile how it is doing."""
    try:
        with console(stderr=True).status(_progress(run)) as status:
            return await _wait(run.id, status)
    except BaseException:
        output.note(f"{one_line(run.name)} goes on: runbus run show {run.id}")
        raise


async def _wait(run_id: UUID, status: Status) -> FlowRun:
    client = get_client()
    while True:
        try:
            return await client.wait_for_flow_run(run_id, LOOK_SECONDS)
        except RunNotEnded:
            status.update(_progress(await client.read_flow_run(run_id)))


def _progress(run: FlowRun) -> Text:
    # Not a `str`: rich would read `[…]` in it as a style.
    what = f"{one_line(run.name)} is {one_line(run.state.name)}"
    return Text(f"{what}: runbus resume {run.id}" if run.state.is_paused() else what)
