"""Unreached children: what is to be done with the children of a run, and a primary that is away.

Those that can be reached are seen to at once. The others are when their primary is back, on the
background loop, for as long as this process lives; of called flows, workers take care beside it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from runbus.background import bridge
from runbus.errors import RunbusError, ServerUnreachable
from runbus.store.bus import bus_for
from runbus.store.records.child_runs import Children

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from uuid import UUID

    from runbus.settings import Settings
    from runbus.store.bus import Bus

    Step = Callable[[Children], Coroutine[object, None, None]]

AGAIN_SECONDS = 1.0
"""How long to wait at most before it is tried again."""
_log = logging.getLogger("runbus.flow_runs")


async def end_called(bus: Bus, parent_run_id: UUID, state: str) -> None:
    """End the flows that were called in a run that has ended, see `Children`."""
    await see_to(bus, partial(_end_called, parent_run_id, state))


async def _end_called(parent_run_id: UUID, state: str, children: Children) -> None:
    await children.end_called(parent_run_id, state)


async def see_to(bus: Bus, step: Step) -> Children:
    """Take a step with the children that can be reached, and later again if these are not all."""
    children = Children(bus)
    try:
        await step(children)
    except ServerUnreachable:
        bridge.start(partial(_go_on, bus.settings, step, children))
        raise
    if not children.is_complete:
        bridge.start(partial(_go_on, bus.settings, step, children))
    return children


async def _go_on(settings: Settings, step: Step, children: Children) -> None:
    bus = bus_for(settings)
    left = _left.setdefault(bus, deque())
    left.append((step, children))
    if len(left) > 1:
        return  # who works on the first one takes it up
    while left:
        await asyncio.sleep(random.uniform(0.5, 1) * AGAIN_SECONDS)  # noqa: S311
        while left and await _is_done(bus, *left[0]):
            left.popleft()
        left.rotate(-1)


async def _is_done(bus: Bus, step: Step, former: Children) -> bool:
    children = Children(bus, former)
    try:
        await step(children)
    except ServerUnreachable:
        return False
    except RunbusError as error:
        _log.warning("some children of a run that has ended are left as they are: %s", error)
        return True
    return children.is_complete


_left: WeakKeyDictionary[Bus, deque[tuple[Step, Children]]] = WeakKeyDictionary()
"""Of the background loop: what is tried again."""
