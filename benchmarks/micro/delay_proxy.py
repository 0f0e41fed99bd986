"""A TCP proxy in a process of its own that hands on what it gets 1 ms later, each way."""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from benchmarks import child

if TYPE_CHECKING:
    from collections.abc import Iterator

_DELAY_SECONDS = 0.001


@contextmanager
def delayed(url: str) -> Iterator[str]:
    """Run the proxy for the time of the block; give the URL by which it leads to the server."""
    parts = urlsplit(url)
    with child.child("micro.delay_proxy", host=parts.hostname, port=parts.port or 6379) as proxy:
        login, at, _ = parts.netloc.rpartition("@")
        yield urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{proxy.answer()}"))


class _Side(asyncio.Protocol):
    """One side of a connection through the proxy: what it gets goes to the other."""

    def __init__(self, other: _Side | None = None) -> None:
        self.other = other
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[bytes] = deque()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self.other is not None
        self.other.write_later(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None and self.other._transport is not None:
            self.other._transport.close()

    def write_later(self, data: bytes) -> None:
        self._waiting.append(data)
        asyncio.get_running_loop().call_later(_DELAY_SECONDS, self._write_next)

    def _write_next(self) -> None:
        if self._transport is None:  # the server's side is not connected yet
            asyncio.get_running_loop().call_later(_DELAY_SECONDS, self._write_next)
        else:
            self._transport.write(self._waiting.popleft())


class _Client(_Side):
    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self._address = host, port

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.other = _Side(self)
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(loop.create_connection(lambda: self.other, *self._address))


async def _serve(host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Client(host, port), "127.0.0.1", 0)
    child.reply(server.sockets[0].getsockname()[1])
    async for _ in child.requests():
        pass


if __name__ == "__main__":
    # `select` waits as long as asked; `epoll` would round 1 ms up to 2.
    with asyncio.Runner(
        loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())
    ) as runner:
        runner.run(_serve(**child.arguments()))
