"""The guard: what stands between the network and the page, for every request.

In this order: the Host must be one of ours (else a web site could point its own name at this
machine and read the page as its own), a request that changes something must come from the page
itself (Origin, Sec-Fetch-Site), somebody must be logged in, and the body must be small: very small
where nobody is logged in yet. Each response forbids scripts, styles and frames from anywhere else.
"""

from __future__ import annotations

import sys
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from runbus.web.addresses import client_address
from runbus.web.body_limits import Bodies, BodyRefused, Bound
from runbus.web.login_throttle import TooManyGuesses
from runbus.web.logins import COOKIE

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from runbus.web.body_limits import Body
    from runbus.web.login_throttle import Guesses
    from runbus.web.options import Options

BODY_SECONDS = 30
BODIES = 4
"""How many bodies of the largest size the process has room for."""
_BEFORE_LOGIN = Bound(size=8 * 1024, seconds=10)
_SAFE = {"GET", "HEAD", "OPTIONS"}
_OPEN_TO_ALL = ("/login", "/static/")
_LENGTH_DIGITS = 16
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Wraps the application; in `request.state.by` it says who asks."""

    def __init__(self, app: ASGIApp, options: Options, largest_body: int, guesses: Guesses) -> None:
        self._app = app
        self._options = options
        self._guesses = guesses
        self._bodies = Bodies(BODIES * largest_body)
        self._logged_in = Bound(size=largest_body, seconds=BODY_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close"})
        headers = Headers(scope=scope)
        state = scope.setdefault("state", {})
        state["by"] = None
        state["address"] = client_address(scope, headers, self._options.trusted_proxies)
        send = _with_headers(send)
        with self._bodies.holding() as body:
            try:
                refusal = self._refusal(scope, headers) or self._login_first(scope, headers)
                if refusal is not None:
                    return await refusal(scope, receive, send)
                receive = await self._read(body, scope, headers, receive)
            except TooManyGuesses as error:
                return await _too_many(scope, error)(scope, receive, send)
            except BodyRefused as error:
                answer = PlainTextResponse(f"{error}\n", error.status)
                return await answer(scope, receive, send)
            return await self._app(scope, receive, send)

    async def _read(self, body: Body, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        is_open = scope["path"].startswith(_OPEN_TO_ALL)
        length = headers.get("content-length", "0")
        announced = (
            int(length) if length.isdecimal() and len(length) < _LENGTH_DIGITS else sys.maxsize
        )
        bound = _BEFORE_LOGIN if is_open else self._logged_in
        return _replay(await body.read(receive, announced, bound), receive)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        host = _host_name(headers.get("host", ""))
        if host not in self._options.allowed_hosts:
            words = "This page is not served by that name. --allowed-host adds a name.\n"
            return PlainTextResponse(words, 421)
        if scope["method"] not in _SAFE and not _is_from_here(scope, headers):
            return PlainTextResponse("This request came from another site.\n", 403)
        return None

    def _login_first(self, scope: Scope, headers: Headers) -> Response | None:
        path: str = scope["path"]
        if self._options.logins.tokens and path.startswith(_OPEN_TO_ALL):
            return None  # what a browser kept of an old login is no guess there
        by = scope["state"]["by"] = self._who(scope["state"]["address"], headers)
        if by is not None:
            return None
        if path.startswith("/api/"):
            words = {"problem": "log in: send the header Authorization: Bearer <token>"}
            return JSONResponse(words, 401, {"WWW-Authenticate": "Bearer"})
        if scope["method"] not in _SAFE or path == "/events":
            return PlainTextResponse("Log in first.\n", 401)
        query = scope["query_string"].decode("latin-1")
        target = quote(path + (f"?{query}" if query else ""), safe="")
        return RedirectResponse(f"/login?next={target}", 303)

    def _who(self, address: str, headers: Headers) -> str | None:
        logins = self._options.logins
        if not logins.tokens:
            return self._options.somebody
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self._guesses.judge(address, token.strip(), logins.name_of)
        cookie = _cookie(headers.get("cookie", ""))
        if not cookie or self._guesses.judge(address, cookie, logins.signer_of) is None:
            return None
        return logins.name_in(cookie)


def _too_many(scope: Scope, error: TooManyGuesses) -> Response:
    headers = {"Retry-After": str(error.seconds)}
    if scope["path"].startswith("/api/"):
        return JSONResponse({"problem": str(error)}, 429, headers)
    return PlainTextResponse(f"{error}\n", 429, headers)


def _replay(body: bytes, receive: Receive) -> Receive:
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return first.pop() if first else await receive()

    return again


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return send_with_headers


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_from_here(scope: Scope, headers: Headers) -> bool:
    origin = headers.get("origin")
    if origin is not None:
        # Behind a proxy the scheme may differ; the name and the port may not.
        return origin.partition("://")[2] == headers.get("host")
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    # No browser of these years sends neither: it is a program.
    return scope["path"].startswith("/api/")


def _cookie(header: str) -> str:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""
