"""A server whose memory is full says so, and keeps what it has."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from chaos.faults import FullMemory
from runbus import receive_input, send_input
from runbus.errors import ServerRefused

if TYPE_CHECKING:
    from servers import Server


async def test_sends_are_refused_and_nothing_is_lost(own_server: Server) -> None:
    """The error names the limit; receivers go on, and so do senders once there is room."""
    run_id, fault = uuid4(), FullMemory(own_server)
    inbox = receive_input(int, flow_run_id=run_id, timeout=10)
    await send_input(0, run_id)
    fault.begin()
    for key in (None, "own"):
        with pytest.raises(ServerRefused, match="maxmemory"):
            await send_input(1, run_id, key=key)
    assert await anext(inbox) == 0
    fault.heal()
    assert not (await send_input(2, run_id, key="own")).duplicate
    assert await anext(inbox) == 2
