"""A connection: bounds on what it may take before there is a whole request, and while nobody reads.

Anybody may open connections and send headers one letter a second. So a connection that waits for
the headers of its next request has a time for them; of those whose request is not all here yet
there is a number, and the one that waits longest makes room for a new one: who is honest is done in
an instant. What nobody reads is given up after a while, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

HEADER_SECONDS = 10
STALL_SECONDS = 30
MOST_UNFINISHED = 256


class Connection(H11Protocol):
    """One connection of a browser or a program."""

    _header_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None
    unfinished_since: float | None = None
    """By the loop's clock; None while it has sent a whole request and waits for the response."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request; too many that wait lose the oldest."""
        super().connection_made(transport)
        self._look()
        unfinished = [each for each in self._all() if each.unfinished_since is not None]
        if len(unfinished) > MOST_UNFINISHED:
            min(unfinished, key=lambda each: each.unfinished_since or 0).give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self.unfinished_since = None
        self._header_timer = _stopped(self._header_timer)
        self._stall_timer = _stopped(self._stall_timer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what comes."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next request, without what is left of this one."""
        self.cycle.body = bytearray()
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """Give up when nobody reads on."""
        super().pause_writing()
        self._stall_timer = self.loop.call_later(STALL_SECONDS, self.give_up)

    def resume_writing(self) -> None:
        """Somebody reads."""
        self._stall_timer = _stopped(self._stall_timer)
        super().resume_writing()

    def give_up(self) -> None:
        """Close at once, whatever is left to send."""
        self.unfinished_since = None
        self.transport.abort()

    def _look(self) -> None:
        if self.transport.is_closing():
            self.unfinished_since = None
            return
        cycle = cast("RequestResponseCycle | None", self.cycle)
        is_idle = cycle is None or cycle.response_complete
        if not is_idle:
            self._header_timer = _stopped(self._header_timer)
        elif self._header_timer is None:
            self._header_timer = self.loop.call_later(HEADER_SECONDS, self.give_up)
        if cycle is not None and not is_idle and not cycle.more_body:
            self.unfinished_since = None
        elif self.unfinished_since is None:
            self.unfinished_since = self.loop.time()

    def _all(self) -> set[Connection]:
        return cast("set[Connection]", self.connections)


def _stopped(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
