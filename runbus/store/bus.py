"""The bus: all that one event loop holds of the servers.

A bus belongs to its event loop and ends with it. It is made at the first use in a loop.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING

from runbus.errors import RunbusError, UnsentInputs
from runbus.green_threads import refuse_green_threads
from runbus.protocol.keys import Keys
from runbus.store.commands import Requests
from runbus.store.connection import scripts
from runbus.store.connection.connection import LinkLost
from runbus.store.sending.outbox import Outbox
from runbus.store.topology import topology_for

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from uuid import UUID

    from runbus.settings import Settings
    from runbus.store.connection.connection import Command, Link
    from runbus.store.connection.reconnecting_connection import Channel
    from runbus.store.topology.slot_connection import Route

_log = logging.getLogger("runbus")


class Bus:
    """One event loop's connections, and what goes over them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lifetime_ms = int(settings.retention_seconds * 1000)
        """How long keys outlive what they belong to, in milliseconds."""
        self.keys = Keys(settings.prefix)
        self.loop = asyncio.get_running_loop()
        self.topology = topology_for(settings, self.keys)
        self.outbox = Outbox(self.topology, self.keys, settings)
        self.requests = Requests(self.topology, settings)
        self.flows: dict[str, tuple[bytes, float]] = {}
        """Deployments that were found: the flow of each, and when that was, by the loop's clock."""
        self.renewed: dict[str, tuple[Link | None, float]] = {}
        """Queues whose lifetime was renewed: on which connection, and when."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._life = self._live()
        _step(self._life)

    def mark_read(self, flow_run_id: UUID, name: str, count: int) -> None:
        """Tell the server how far a stream was read. A hint, so nobody waits for it."""
        keys = self.keys
        call = scripts.mark_read(
            keys=(keys.run(flow_run_id), keys.input(flow_run_id, name), keys.streams(flow_run_id)),
            name=name,
            count=count,
            lifetime_ms=self.lifetime_ms,
        )
        route = self.topology.route(keys.run(flow_run_id))
        link = route.link
        if link is not None:
            scripts.MARK_READ.run(link, call, _note_refusal)
        else:
            task = self.loop.create_task(self._connect_and_mark(route, call))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect_and_mark(self, route: Channel | Route, call: Command) -> None:
        try:
            link = await route.connected()
        except (RunbusError, LinkLost) as error:
            _note_refusal(error)
        else:
            scripts.MARK_READ.run(link, call, _note_refusal)

    async def _live(self) -> AsyncGenerator[None]:
        # The one thing that an event loop does for us when it ends is to close the asynchronous
        # generators that were started in it (`shutdown_asyncgens`, part of `asyncio.run`).
        try:
            yield
        finally:
            await self._end()

    async def _end(self) -> None:
        if self in _inherited:
            return  # a forked child leaves its parent's loop
        _of_loop.pop((self.loop, self.settings), None)
        _of_thread.bus = None
        await self._drain()
        self.report_unsent()
        self.requests.close()
        self.topology.close()
        await asyncio.sleep(0)  # the transports end in the next turn
        await asyncio.sleep(0)

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.reply_timeout_seconds):
                for sent in [*self.outbox.unsettled(), *self.outbox.barrier.pending()]:
                    await sent.settlement()
                await self.requests.all_told()

    def report_unsent(self) -> None:
        """Say loudly which sends are lost, now that their loop is over."""
        unsettled = self.outbox.abandon()
        if unsettled:
            _log.error("%s", UnsentInputs([sent.key for sent in unsettled]))

    def links(self) -> list[Link]:
        """Return the connections that are alive."""
        return [link for node in self.topology.nodes() for link in node.links()]


_of_loop: dict[tuple[asyncio.AbstractEventLoop, Settings], Bus] = {}
_of_thread = threading.local()


def current() -> Bus:
    """Return the bus of the event loop that runs in this thread, for the current settings."""
    return of(asyncio.get_running_loop())


def of(loop: asyncio.AbstractEventLoop) -> Bus:
    """Return the bus of this event loop, which runs in this thread, for the current settings."""
    bus: Bus | None = getattr(_of_thread, "bus", None)
    if bus is None or bus.loop is not loop or not bus.settings.are_current():
        # Late, because pydantic-settings takes a sixth of the time that importing runbus takes.
        from runbus import settings

        bus = _of_thread.bus = of_settings(settings.current())
    return bus


def of_settings(settings: Settings) -> Bus:
    """Return the bus of the event loop that runs in this thread, for these settings."""
    loop = asyncio.get_running_loop()
    bus = _of_loop.get((loop, settings))
    if bus is None:
        refuse_green_threads()
        _bury_the_dead()
        bus = _of_loop[loop, settings] = Bus(settings)
    return bus


def _bury_the_dead() -> None:
    # A loop that was closed by hand did not close its generators.
    for key in [key for key in _of_loop if key[0].is_closed()]:
        _of_loop.pop(key).report_unsent()


def _report_all() -> None:
    for bus in _of_loop.values():
        bus.report_unsent()


_inherited: list[Bus] = []


def _drop_inherited() -> None:
    # A forked child shares its parent's sockets. It must neither use them nor close them the
    # orderly way, which would speak to the server, or to the parent's selector, in the parent's
    # name. So their descriptors are pointed elsewhere and the objects are kept for ever.
    _inherited.extend(_of_loop.values())
    _of_loop.clear()
    _of_thread.bus = None
    nowhere = os.open(os.devnull, os.O_RDWR)
    for bus in _inherited:
        for link in bus.links():
            if (descriptor := link.fileno()) >= 0:
                os.dup2(nowhere, descriptor)
    os.close(nowhere)


atexit.register(_report_all)
os.register_at_fork(after_in_child=_drop_inherited)


def _step(generator: AsyncGenerator[None]) -> None:
    with contextlib.suppress(StopIteration):
        generator.__anext__().send(None)


def _note_refusal(reply: object) -> None:
    if isinstance(reply, Exception):
        _log.debug("a read mark was not stored: %s", reply)
