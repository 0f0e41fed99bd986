"""Logging in with a token, and out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from runbus.web.login_throttle import TooManyGuesses
from runbus.web.logins import COOKIE, SESSION_SECONDS
from runbus.web.templating import last, read_posted, see_other

if TYPE_CHECKING:
    from runbus.web.templating import Site

WRONG_TOKEN_SECONDS = 0.5


def login_page(site: Site) -> APIRouter:
    """Make the routes of logging in and out."""
    router = APIRouter(include_in_schema=False)

    @router.get("/login")
    async def show(next: str = "/") -> Response:  # noqa: A002
        return site.bare_page("login.html", next=_local(next), problem="")

    @router.post("/login")
    async def log_in(request: Request) -> Response:
        posted = await read_posted(request)
        target = _local(last(posted, "next"))
        token, address = last(posted, "token").strip(), request.state.address
        try:
            name = site.guesses.judge(address, token, site.options.logins.name_of)
        except TooManyGuesses as error:
            page = site.bare_page("login.html", 429, next=target, problem=str(error))
            page.headers["Retry-After"] = str(error.seconds)
            return page
        if name is None:
            await asyncio.sleep(WRONG_TOKEN_SECONDS)  # guessing takes time
            problem = "Nobody has this token."
            return site.bare_page("login.html", 403, next=target, problem=problem)
        cookie = site.options.logins.cookie_for(name)
        site.guesses.trust(address, cookie)
        response = see_other(target)
        response.set_cookie(
            COOKIE,
            cookie,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.headers.get("origin", "").startswith("https:"),  # by a proxy
        )
        return response

    @router.post("/logout")
    async def log_out() -> Response:
        response = see_other("/login")
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    return router


def _local(target: str) -> str:
    # A browser reads //host and /\host as another site.
    is_local = target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if is_local and target.isprintable() else "/"
