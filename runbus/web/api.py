"""The JSON API, for programs that are not in Python. Its document is `/api/openapi.json`.

A problem is answered as `{"problem": "…"}`, a refused answer also with `"fields"`: what is wrong
with each. Where people log in, programs send `Authorization: Bearer <token>`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import APIRouter, HTTPException, Path, Query
from fastapi.encoders import jsonable_encoder
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from runbus import send_input
from runbus.errors import AlreadyAnswered, AnswerRefused, OwnerSilent, ParametersRefused
from runbus.forms.exact_json import read_exact
from runbus.forms.references import fields_of
from runbus.forms.values import Mistyped
from runbus.input.exact_numbers import ExactValue
from runbus.protocol.values import read_json
from runbus.redaction import shown_pause, shown_run, shown_runs
from runbus.web.api_models import (
    AnswerIn,
    DeploymentOut,
    EntryId,
    InputIn,
    InputOut,
    LogLineOut,
    PauseOut,
    Problem,
    RunOut,
    StartIn,
    StateName,
    WaitingOut,
)

if TYPE_CHECKING:
    from runbus.protocol.json_value import JSONObject
    from runbus.web.templating import Site

Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0, le=100_000)]
Deployment = Annotated[str, Path(pattern=r"^[^\x00-\x1f]+/[^\x00-\x1f]+$", examples=["greet/demo"])]

_PROBLEMS: dict[int | str, JSONObject] = {
    401: {"model": Problem, "description": "Log in"},
    404: {"model": Problem, "description": "There is none"},
    413: {"description": "The body is too large"},
    422: {"model": Problem, "description": "The request or the answer does not fit"},
    503: {"model": Problem, "description": "The store does not answer"},
}
_CONFLICT: dict[int | str, JSONObject] = {
    409: {"model": Problem, "description": "Too late, or refused"},
    400: {"model": Problem, "description": "The body is not JSON"},
    403: {"description": "The request came from another site"},
}


def api(site: Site) -> APIRouter:
    """Make the routes under `/api`."""
    router = APIRouter(prefix="/api", responses=_PROBLEMS)
    _reading(site, router)
    _details(site, router)
    _changing(site, router)
    _starting(site, router)
    return router


def _reading(site: Site, router: APIRouter) -> None:
    client = site.client

    @router.get("/runs", summary="List runs, the newest first")
    async def list_runs(
        state: StateName | None = None,
        flow: str | None = None,
        deployment: str | None = None,
        text: str | None = None,
        limit: Limit = 50,
        offset: Offset = 0,
    ) -> list[RunOut]:
        runs = await client.read_flow_runs(
            state=state,
            flow_name=flow or None,
            deployment_id=deployment or None,
            text=text or None,
            limit=limit,
            offset=offset,
        )
        return [RunOut.of(run) for run in await shown_runs(runs)]

    @router.get("/waiting", summary="List the runs that wait, the earliest deadline first")
    async def list_waiting(limit: Limit = 50, offset: Offset = 0) -> list[WaitingOut]:
        waiting = await client.read_waiting(limit=limit, offset=offset, check_owners=True)
        runs = await shown_runs(each.run for each in waiting)
        return [
            WaitingOut(run=RunOut.of(run), pause=each.pause and PauseOut.of(each.pause))
            for run, each in zip(runs, waiting, strict=True)
        ]

    @router.get("/deployments", summary="List deployments")
    async def list_deployments() -> list[DeploymentOut]:
        return [DeploymentOut.of(each) for each in await client.read_deployments()]


def _details(site: Site, router: APIRouter) -> None:
    client = site.client

    @router.get("/runs/{run_id}", summary="Read a run")
    async def read_run(run_id: UUID) -> RunOut:
        return RunOut.of(await shown_run(await client.read_flow_run(run_id)))

    @router.get("/runs/{run_id}/pauses", summary="Read a run's pauses and their answers")
    async def read_pauses(run_id: UUID) -> list[PauseOut]:
        await client.read_flow_run(run_id)
        return [PauseOut.of(shown_pause(pause)) for pause in await client.read_pauses(run_id)]

    @router.get("/runs/{run_id}/log", summary="Read a run's log")
    async def read_log(
        run_id: UUID, after: EntryId = None, limit: Limit = 1000
    ) -> list[LogLineOut]:
        lines = await client.read_logs(run_id, after=after, limit=limit)
        return [LogLineOut.of(line) for line in lines]

    @router.get("/runs/{run_id}/inputs", summary="Read the inputs that a run was sent")
    async def read_inputs(
        run_id: UUID, after: EntryId = None, limit: Limit = 1000
    ) -> list[InputOut]:
        inputs = await client.read_inputs(run_id, after=after, limit=limit)
        return [InputOut.of(each) for each in inputs]


def _changing(site: Site, router: APIRouter) -> None:
    client = site.client

    @router.post(
        "/runs/{run_id}/answer",
        summary="Answer a paused run",
        status_code=204,
        responses=_CONFLICT,
    )
    async def answer(request: Request, run_id: UUID, given: AnswerIn) -> Response:
        try:
            await client.answer_flow_run(
                run_id,
                (await _exact(request)).get("answer", given.answer),
                request.state.by,
                key=given.pause,
                generation=given.generation,
            )
        except AnswerRefused as error:
            return JSONResponse({"problem": str(error), "fields": error.problems}, 422)
        except AlreadyAnswered as error:
            first = {"by": error.by, "when": error.when, "answer": read_json(error.value)}
            return JSONResponse(jsonable_encoder({"problem": str(error), **first}), 409)
        except OwnerSilent as error:
            after = {"Retry-After": str(math.ceil(error.retry_seconds))}
            return JSONResponse({"problem": str(error)}, 503, after)
        return Response(status_code=204)

    @router.post(
        "/runs/{run_id}/inputs",
        summary="Send an input to a run",
        status_code=204,
        responses=_CONFLICT,
    )
    async def send(request: Request, run_id: UUID, given: InputIn) -> Response:
        sender, value = f"web:{request.state.by}", (await _exact(request)).get("value", given.value)
        await send_input(
            ExactValue(value), run_id, sender=sender, key_prefix=given.stream, key=given.key
        )
        return Response(status_code=204)

    @router.post(
        "/runs/{run_id}/cancel",
        summary="Cancel a run",
        status_code=204,
        responses=_CONFLICT,
    )
    async def cancel(run_id: UUID) -> Response:
        await client.cancel_flow_run(run_id)
        return Response(status_code=204)


def _starting(site: Site, router: APIRouter) -> None:
    client = site.client

    @router.post(
        "/deployments/{name:path}/runs",
        summary="Start a run of a deployment",
        response_model=RunOut,
        status_code=201,
        responses=_CONFLICT,
    )
    async def start(request: Request, name: Deployment, given: StartIn) -> Any:
        try:
            run = await client.create_flow_run_from_deployment(
                name,
                (await _exact(request)).get("parameters", given.parameters),
                flow_run_name=given.name,
                idempotency_key=given.idempotency_key,
            )
        except ParametersRefused as error:
            return JSONResponse({"problem": str(error), "fields": error.problems}, 422)
        return RunOut.of(await shown_run(run))


async def _exact(request: Request) -> JSONObject:
    """Read a body once more, of which FastAPI drops digits and keys that are there twice."""
    try:
        return fields_of(read_exact(await request.body()))
    except Mistyped as error:
        raise HTTPException(422, str(error)) from None
