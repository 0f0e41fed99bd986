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

from runbus import settings
from runbus.errors import RunbusError, UnsentInputs
from runbus.green_threads import refuse_green_threads
from runbus.protocol.keys import Keys
from runbus.store import readable_log
from runbus.store.commands import Commands
from runbus.store.connection import script_calls, scripts
from runbus.store.connection.connection import ConnectionLost
from runbus.store.notifier import Notifier
from runbus.store.primaries import Primaries
from runbus.store.receiving.node_trackings import NodeTrackings
from runbus.store.sending.outbox import Outbox
from runbus.supervision.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from uuid import UUID

    from runbus.protocol.deployment_info import Served
    from runbus.settings import Settings
    from runbus.store.connection.connection import Command, Connection
    from runbus.store.connection.connector import Connector

_log = logging.getLogger("runbus")
readable_log.clean_all()


class Bus:
    """One event loop's connections, and what goes over them."""

    def __init__(self, settings: Settings) -> None:
        # Late: redis-py takes longer to load than all of runbus, and a program may never connect.
        from runbus.store.topology import topology_for

        self.settings = settings
        self.lifetime_ms = int(settings.retention_seconds * 1000)
        """How long keys outlive what they belong to, in milliseconds."""
        self.keys = Keys(settings.prefix)
        self.loop = asyncio.get_running_loop()
        self.topology = topology_for(settings, self.keys)
        self.trackings = NodeTrackings(self.topology, self.keys, settings)
        self.outbox = Outbox(self.topology, self.keys, settings)
        self.commands = Commands(self.topology, settings)
        self.primaries = Primaries(self.topology, self.commands, settings)
        self.notifier = Notifier(self.topology, self.commands)
        self.served: dict[str, tuple[Served, float]] = {}
        """Deployments that were found, and when that was, by the loop's clock."""
        self.renewed: dict[str, tuple[Connection | None, float]] = {}
        """Queues whose lifetime was renewed: on which connection, and when."""
        self._marking = Tasks()
        self._life = self._live()
        _step(self._life)

    def mark_read(self, flow_run_id: UUID, name: str, count: int) -> None:
        """Tell the server how far a stream was read. A hint, so nobody waits for it."""
        keys = self.keys
        call = script_calls.mark_read(
            run=keys.run(flow_run_id),
            stream=keys.input(flow_run_id, name),
            streams=keys.streams(flow_run_id),
            name=name,
            input_base=keys.input(flow_run_id, ""),
            count=count,
            lifetime_ms=self.lifetime_ms,
        )
        connector = self.topology.connector(keys.run(flow_run_id))
        connection = connector.live
        if connection is not None:
            scripts.MARK_READ.run(connection, call, _note_refusal)
        else:
            self._marking.start(self._connect_and_mark(connector, call))

    async def _connect_and_mark(self, connector: Connector, call: Command) -> None:
        try:
            connection = await connector.connected()
        except (RunbusError, ConnectionLost) as error:
            _note_refusal(error)
        else:
            scripts.MARK_READ.run(connection, call, _note_refusal)

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
        self.notifier.close()
        self.topology.close()
        await asyncio.sleep(0)  # the transports end in the next turn
        await asyncio.sleep(0)

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.reply_timeout_seconds):
                for sent in [*self.outbox.unsettled(), *self.outbox.durability.pending()]:
                    await sent.settlement()
                await self.notifier.all_told()

    def report_unsent(self) -> None:
        """Say loudly which sends are lost, now that their loop is over."""
        unsettled = self.outbox.abandon()
        if unsettled:
            _log.error("%s", UnsentInputs([sent.key for sent in unsettled]))

    def connections(self) -> list[Connection]:
        """Return the connections that are alive."""
        return [connection for node in self.topology.nodes() for connection in node.connections()]


_of_loop: dict[tuple[asyncio.AbstractEventLoop, Settings], Bus] = {}
_of_thread = threading.local()


def current_bus() -> Bus:
    """Return the bus of the event loop that runs in this thread, for the current settings."""
    return bus_of(asyncio.get_running_loop())


def bus_of(loop: asyncio.AbstractEventLoop) -> Bus:
    """Return the bus of this event loop, which runs in this thread, for the current settings."""
    bus: Bus | None = getattr(_of_thread, "bus", None)
    if bus is None or bus.loop is not loop or bus.settings is not settings.in_use:
        bus = _of_thread.bus = bus_for(settings.current())
    return bus


def bus_for(settings: Settings) -> Bus:
    """Return the bus of the event loop that runs in this thread, for these settings."""
    loop = asyncio.get_running_loop()
    bus = _of_loop.get((loop, settings))
    if bus is None:
        refuse_green_threads()
        _drop_closed_loops()
        bus = _of_loop[loop, settings] = Bus(settings)
    return bus


def _drop_closed_loops() -> None:
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
        for connection in bus.connections():
            if (descriptor := connection.fileno()) >= 0:
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
