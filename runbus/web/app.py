"""The application: the routes, what becomes of errors, and the guard around it all."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.staticfiles import StaticFiles

from runbus import __version__, get_client, settings
from runbus.errors import (
    ConflictError,
    NotFound,
    RefusedError,
    RunbusError,
    SendRefused,
    UnreachableError,
)
from runbus.protocol.printed import readable
from runbus.web.api import api
from runbus.web.api_models import ENTRY_ID, EntryId
from runbus.web.guard import Guard
from runbus.web.list_pages import lists
from runbus.web.live import Live
from runbus.web.login_page import login_page
from runbus.web.run_page import run_page
from runbus.web.templating import HERE, Site

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import ASGIApp, Scope

    from runbus.protocol.json_value import JSONObject
    from runbus.web.options import Options

CACHE_STATIC_SECONDS = 3600
Told = Annotated[str, Query(pattern=r"^([0-9a-f]{8}-[0-9]{1,15})?$")]
_STATUS: dict[type[RunbusError], int] = {
    NotFound: 404,
    ConflictError: 409,
    SendRefused: 409,
    # Not the visitor's fault.
    RefusedError: 503,
    UnreachableError: 503,
}


class Page:
    """The application, and what ends it."""

    def __init__(self, options: Options) -> None:
        client = get_client()
        self.live = Live(client)
        self.site = Site(client, options, self.live)
        # Three bytes each is the most that a posted form makes of a character.
        largest_body = 3 * settings.current().max_input_bytes + 64 * 1024
        application = _application(self.site)
        self.asgi: ASGIApp = Guard(application, options, largest_body, self.site.guesses)


def _application(site: Site) -> FastAPI:
    app = FastAPI(
        title="runbus",
        version=__version__,
        description="Runs that wait for people: read them, answer them, send to them.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
    )
    app.include_router(lists(site))
    app.include_router(run_page(site))
    app.include_router(login_page(site))
    app.include_router(api(site))
    app.add_api_route("/events", _events(site), include_in_schema=False)
    app.mount("/static", _Static(directory=HERE / "static"))
    _handle_errors(app, site)
    return app


def _events(site: Site) -> Callable[..., Awaitable[Response]]:
    async def events(
        request: Request, run: UUID | None = None, after: EntryId = None, told: Told = ""
    ) -> Response:
        seen = request.headers.get("last-event-id")
        if seen is None or not re.fullmatch(ENTRY_ID, seen):
            seen = after
        return StreamingResponse(site.live.stream(run, seen, told), media_type="text/event-stream")

    return events


class _Static(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = f"max-age={CACHE_STATIC_SECONDS}"
        return response


def _handle_errors(app: FastAPI, site: Site) -> None:
    async def runbus_error(request: Request, error: Exception) -> Response:
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 422)
        return await _problem(site, request, status, str(error))

    async def http_error(request: Request, error: Any) -> Response:
        nowhere = error.status_code == HTTPStatus.NOT_FOUND
        words = f"There is no {request.scope['path']} here." if nowhere else error.detail
        return await _problem(site, request, error.status_code, words, error.headers)

    async def wrong_request(request: Request, error: Any) -> Response:
        problems: list[JSONObject] = error.errors()
        if _is_for_programs(request):
            told = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in problems)
            return await _problem(site, request, 422, "; ".join(told))
        if any(each["loc"][0] == "path" for each in problems):
            return await _problem(site, request, 404, "There is no such page.")
        return await _problem(site, request, 400, "The request cannot be read.")

    app.add_exception_handler(RunbusError, runbus_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, wrong_request)


async def _problem(
    site: Site, request: Request, status: int, words: str, headers: Mapping[str, str] | None = None
) -> Response:
    words = readable(words)
    if _is_for_programs(request):
        return JSONResponse({"problem": words}, status, headers)
    shown: JSONObject = {"by": request.state.by, "path": request.scope["path"]}
    response = site.bare_page("error.html", status, status=status, words=words, **shown)
    response.headers.update(headers or {})
    return response


def _is_for_programs(request: Request) -> bool:
    return request.scope["path"].startswith("/api/")
