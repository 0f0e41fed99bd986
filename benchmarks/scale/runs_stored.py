"""The axis of runs that are stored."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

from benchmarks.bench import memory_of
from benchmarks.scale.axis import DECADES, Axis, Costs, named, spent
from runbus import get_client
from runbus.protocol.execution import Owner
from runbus.store.bus import current_bus
from runbus.store.records import pause_opening, runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench

_NOBODY = Owner(process="nobody", lease="60000 nobody")
_FORM = pause_opening.Form(schema=b'{"type": "object"}', shape="object", description="Go on?")
_TOGETHER = 500
_PAGE = 50
_PAGES = 20


def axes() -> Iterator[Axis]:
    """The axis about runs."""
    yield Axis(name="runs stored", sizes=DECADES, measure=_stored)


def _stored(bench: Bench, size: int) -> Costs:
    """Making one that pauses, what it takes of the server, and pages of 50 among so many."""
    with bench.settings():
        return asyncio.run(_costs(bench, size))


async def _costs(bench: Bench, size: int) -> Costs:
    with bench.control() as control:
        await _make_many(_TOGETHER)  # the first ones also make the indexes
        before, start = memory_of(control), spent(control)
        await _make_many(size)
        costs = named("make one that pauses", spent(control).per(size, start))
        costs["stored: bytes"] = (memory_of(control) - before) / size
        client = get_client()
        for name, page in (
            ("page of what waits", lambda: client.read_waiting(limit=_PAGE)),
            ("page of the newest", lambda: client.read_flow_runs(limit=_PAGE)),
        ):
            await page()
            start = spent(control)
            for _ in range(_PAGES):
                await page()
            costs |= named(name, spent(control).per(_PAGES, start))
        return costs


async def _make_many(count: int) -> None:
    for begun in range(0, count, _TOGETHER):
        await asyncio.gather(*(_make() for _ in range(min(_TOGETHER, count - begun))))


async def _make() -> None:
    bus, run_id = current_bus(), uuid4()
    fields = {"name": "calm-otter", "flow": "ask"}
    run = await runs.create(bus, run_id, fields, owner=_NOBODY, digits="benchmark")
    await pause_opening.open_pause(bus, run_id, "1", _FORM, timeout=3600, retry=0, epoch=run.epoch)
