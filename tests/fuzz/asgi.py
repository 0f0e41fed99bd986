"""The page's application in this process, asked with bytes of any kind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runbus.web.app import Page

OURS = (b"host", b"localhost")
FROM_HERE = (b"origin", b"http://localhost")


@dataclass(frozen=True)
class Answer:
    """What was answered; of an event stream, how it began."""

    status: int
    headers: dict[str, str]
    text: str


async def ask(
    page: Page,
    path: str,
    *,
    method: str = "GET",
    query: bytes = b"",
    headers: Iterable[tuple[bytes, bytes]] = (OURS,),
    body: bytes = b"",
) -> Answer:
    """Ask as a server does that has read a request. What the application raises is raised."""
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(errors="replace"),
        "query_string": query,
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }
    told: list[dict[str, Any]] = []
    has_begun = asyncio.Event()
    requests = [{"type": "http.request", "body": body}]

    async def receive() -> dict[str, Any]:
        if requests:
            return requests.pop()
        await has_begun.wait()
        await asyncio.sleep(0.01)  # an event stream says more than its first line
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        told.append(message)
        if message["type"] == "http.response.body":
            has_begun.set()

    async with asyncio.timeout(10):
        await page.asgi(scope, receive, send)
    parts = (each.get("body", b"") for each in told[1:])
    named = {name.decode("latin-1"): value.decode("latin-1") for name, value in told[0]["headers"]}
    return Answer(told[0]["status"], named, b"".join(parts).decode())
