"""Registration: what a worker says of itself and of what it serves, again and again.

Each record has a primary of its own. One that is away, or that is full, keeps neither the worker
from starting nor the other records from being renewed: the duty whose record it is fails, and
begins again, until the record is there.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, TypeGuard

from pydantic_core import to_json

from runbus.background import bridge
from runbus.errors import ServerRefused, ServerUnreachable
from runbus.store.bus import Bus, bus_for
from runbus.store.records import deployments, workers
from runbus.supervision.duty import Duty, periodic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbus.settings import Settings
    from runbus.worker.deployment import Deployment


class Registration:
    """The records of one worker and of its deployments, made on the background loop."""

    def __init__(self, settings: Settings, process: str, served: Mapping[str, Deployment]) -> None:
        self._settings = settings
        self._process = process
        self._served = served
        self.worker_count = 1
        """How many workers there are, as was read last."""

    def duties(self) -> list[Duty]:
        """Return what makes and renews the records."""
        third = self._settings.lease_seconds / 3
        return [
            periodic("worker's record", self._renew_worker, third),
            periodic("deployments' records", self._register_deployments, third),
        ]

    async def begin(self) -> None:
        """Make the records, for now without those whose server is away or full.

        Raises `ServerUnreachable` when the only server is away, and `ServerRefused` for what does
        not pass.
        """
        await bridge.in_background(self._begin)

    async def end(self) -> None:
        """Take note that the worker has ended."""
        await bridge.in_background(lambda: workers.forget(self._bus, self._process))

    @property
    def _bus(self) -> Bus:
        return bus_for(self._settings)

    async def _begin(self) -> None:
        works = (self._register_deployments(), self._register_worker())
        for error in await asyncio.gather(*works, return_exceptions=True):
            if error is not None and not (self._is_of_one_server(error) or _passes(error)):
                raise error

    async def _renew_worker(self) -> None:
        await self._register_worker()
        self.worker_count = max(1, await workers.count(self._bus))

    async def _register_worker(self) -> None:
        described = {"host": socket.gethostname(), "pid": os.getpid()}
        served = {"deployments": to_json(sorted(self._served))}
        await workers.register(self._bus, self._process, {**described, **served})

    async def _register_deployments(self) -> None:
        works = (
            deployments.register(self._bus, name, deployment.fields())
            for name, deployment in self._served.items()
        )
        results = await asyncio.gather(*works, return_exceptions=True)
        failed = {name: each for name, each in zip(self._served, results, strict=True) if each}
        for error in failed.values():
            raise _naming(failed, error) if self._is_of_one_server(error) else error

    def _is_of_one_server(self, error: BaseException) -> TypeGuard[ServerUnreachable]:
        """Whether one of several servers is away, without which this worker does its work."""
        return isinstance(error, ServerUnreachable) and not self._bus.primaries.has_one_server


def _passes(error: BaseException) -> bool:
    return isinstance(error, ServerRefused) and error.passes


def _naming(deployments: Iterable[str], error: ServerUnreachable) -> ServerUnreachable:
    """Return an error that says which deployments are not registered."""
    cause = ConnectionError(f"not registered yet: {', '.join(deployments)}")
    return ServerUnreachable(address=error.address, seconds=error.seconds, cause=cause)
