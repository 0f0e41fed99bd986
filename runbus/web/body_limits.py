"""Request bodies: read whole before the application sees a request, within bounds.

One of them has a size and a time, and all that are in the process have a size together: what a
body needs is counted as it comes, until its request is answered.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from starlette.types import Receive


@dataclass(frozen=True, kw_only=True)
class Bound:
    """What one body may take."""

    size: int
    """Bytes."""
    seconds: float
    """From the end of the headers on."""


class BodyRefused(Exception):
    """A body is beyond a bound."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class Bodies:
    """All bodies in the process; `most` bytes together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    @contextmanager
    def holding(self) -> Generator[Body]:
        """Hold one body until the block ends."""
        body = Body(self)
        try:
            yield body
        finally:
            self._held -= body.size

    def take(self, size: int) -> bool:
        """Count some bytes more, if there is room for them."""
        if self._held + size > self._most:
            return False
        self._held += size
        return True


class Body:
    """One body."""

    def __init__(self, bodies: Bodies) -> None:
        self.size = 0
        self._bodies = bodies
        self._parts: list[bytes] = []

    async def read(self, receive: Receive, announced: int, bound: Bound) -> bytes:
        """Return the whole body; `announced` is its Content-Length. Raises `BodyRefused`."""
        if announced > bound.size:
            raise _too_large(bound)
        try:
            async with asyncio.timeout(bound.seconds):
                while await self._read_part(receive, bound):
                    pass
        except TimeoutError:
            raise BodyRefused(408, f"The body took longer than {bound.seconds:g} s.") from None
        return b"".join(self._parts)

    async def _read_part(self, receive: Receive, bound: Bound) -> bool:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyRefused(400, "The body has no end.")
        part: bytes = message.get("body", b"")
        if self.size + len(part) > bound.size:
            raise _too_large(bound)
        if not self._bodies.take(len(part)):
            raise BodyRefused(503, "Too much is being sent at the moment. Try again soon.")
        self.size += len(part)
        self._parts.append(part)
        return bool(message.get("more_body"))


def _too_large(bound: Bound) -> BodyRefused:
    return BodyRefused(413, f"The body is too large: here it has at most {bound.size} bytes.")
