"""The guard: what stands between the network and the page, for every request.

In this order: the Host must be one of ours (else a web site could point its own name at this
machine and read the page as its own), a request that changes something must come from the page
itself (Origin, Sec-Fetch-Site), the body must be small, and somebody must be logged in. Each
response forbids scripts, styles and frames from anywhere else.
"""

from __future__ import annotations

import asyncio
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from runbus.web.logins import COOKIE

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from runbus.web.options import Options

BODY_SECONDS = 30
_SAFE = {"GET", "HEAD", "OPTIONS"}
_OPEN_TO_ALL = ("/login", "/static/")
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

    def __init__(self, app: ASGIApp, options: Options, largest_body: int) -> None:
        self._app = app
        self._options = options
        self._largest_body = largest_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close"})
        headers = Headers(scope=scope)
        by = self._who(headers)
        refusal = self._refusal(scope, headers) or self._login_first(scope, by)
        body = b"" if refusal else await self._body(headers, receive)
        if body is None:
            refusal = PlainTextResponse("The body is too large, or too slow.\n", 413)
        scope.setdefault("state", {})["by"] = by
        app = refusal or self._app
        await app(scope, _replay(body or b"", receive), _with_headers(send))
        return None

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        host = _host_name(headers.get("host", ""))
        if host not in self._options.allowed_hosts:
            words = "This page is not served by that name. --allowed-host adds a name.\n"
            return PlainTextResponse(words, 421)
        if scope["method"] not in _SAFE and not _is_from_here(scope, headers):
            return PlainTextResponse("This request came from another site.\n", 403)
        return None

    def _login_first(self, scope: Scope, by: str | None) -> Response | None:
        path: str = scope["path"]
        if by is not None or path.startswith(_OPEN_TO_ALL):
            return None
        if path.startswith("/api/"):
            words = {"problem": "log in: send the header Authorization: Bearer <token>"}
            return JSONResponse(words, 401, {"WWW-Authenticate": "Bearer"})
        if scope["method"] not in _SAFE or path == "/events":
            return PlainTextResponse("Log in first.\n", 401)
        query = scope["query_string"].decode("latin-1")
        target = quote(path + (f"?{query}" if query else ""), safe="")
        return RedirectResponse(f"/login?next={target}", 303)

    def _who(self, headers: Headers) -> str | None:
        logins = self._options.logins
        if not logins.tokens:
            return self._options.somebody
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return logins.name_of(token.strip())
        return logins.name_in(_cookie(headers.get("cookie", "")))

    async def _body(self, headers: Headers, receive: Receive) -> bytes | None:
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._largest_body:
            return None
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while size <= self._largest_body:
                    message = await receive()
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            pass
        return None


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
