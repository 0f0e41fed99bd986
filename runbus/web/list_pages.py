"""The pages that list: what waits, runs, and deployments with the form that starts one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from runbus.errors import ParametersRefused, RunbusError
from runbus.forms.parts import UNSET
from runbus.protocol.states import TYPES
from runbus.web.form_page import blank_form, refuse, take, without_typed_secrets
from runbus.web.templating import last, read_posted, see_other

if TYPE_CHECKING:
    from runbus.protocol.json_value import JSONObject
    from runbus.web.templating import Site

PAGE = 50


def lists(site: Site) -> APIRouter:
    """Make the routes of the lists."""
    router = APIRouter(include_in_schema=False, dependencies=[Depends(site.begin_page)])

    @router.get("/")
    async def inbox(request: Request, page: int = 1) -> Response:
        offset = _offset(page)
        rows = await site.client.read_waiting(limit=PAGE + 1, offset=offset, check_owners=True)
        return await site.page(request, "inbox.html", rows=rows[:PAGE], **_pages(page, len(rows)))

    @router.get("/runs")
    async def runs(request: Request) -> Response:
        return await _runs(site, request)

    @router.get("/deployments")
    async def deployments(request: Request) -> Response:
        rows = await site.client.read_deployments()
        return await site.page(request, "deployments.html", rows=rows)

    @router.get("/deployments/{name:path}")
    async def deployment(request: Request, name: str) -> Response:
        found = await site.client.read_deployment(name)
        form = await asyncio.to_thread(blank_form, found.parameters)
        return await site.page(request, "deployment.html", deployment=found, form=form)

    @router.post("/deployments/{name:path}")
    async def start(request: Request, name: str) -> Response:
        return await _start(site, request, name)

    return router


async def _runs(site: Site, request: Request) -> Response:
    given = {name: request.query_params.get(name, "") for name in _FILTERS}
    page = _whole(request.query_params.get("page", "1"))
    rows = await site.client.read_flow_runs(
        state=given["state"] if given["state"] in TYPES else None,
        flow_name=given["flow"] or None,
        deployment_id=given["deployment"] or None,
        text=given["text"] or None,
        limit=PAGE + 1,
        offset=_offset(page),
    )
    deployments = await site.client.read_deployments()
    return await site.page(
        request,
        "runs.html",
        rows=rows[:PAGE],
        given=given,
        states=list(TYPES),
        flows=sorted({each.flow_name for each in deployments}),
        deployments=sorted(each.name for each in deployments),
        **_pages(page, len(rows)),
    )


_FILTERS = ("state", "flow", "deployment", "text")
_LAST_PAGE = 2000


async def _start(site: Site, request: Request, name: str) -> Response:
    posted = await read_posted(request)
    found = await site.client.read_deployment(name)
    taken = await asyncio.to_thread(take, found.parameters, posted)
    if taken.answer is not UNSET:
        try:
            run = await site.client.create_flow_run_from_deployment(
                name, taken.answer, flow_run_name=last(posted, "name") or None
            )
        except ParametersRefused as error:
            refuse(taken.form, error.problems)
        except (RunbusError, ValueError) as error:
            refuse(taken.form, {"": str(error)})
        else:
            return see_other(f"/runs/{run.id}")
    status = 422 if taken.form.is_anything_wrong else 200
    form = without_typed_secrets(taken.form, found.parameters)
    return await site.page(request, "deployment.html", status, deployment=found, form=form)


def _offset(page: int) -> int:
    return (min(max(page, 1), _LAST_PAGE) - 1) * PAGE


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 9 else 1  # noqa: PLR2004


def _pages(page: int, found: int) -> JSONObject:
    return {"page": max(page, 1), "has_more": found > PAGE}
