"""Pauses in the store: what the scripts answer where nobody expects to ask."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from runbus.errors import RunMissing
from runbus.store import bus, pauses

if TYPE_CHECKING:
    from servers import Server


async def test_a_pause_that_is_gone_cannot_expire(server: Server) -> None:
    """Its keys were deleted by hand, or have ended their lifetime."""
    with pytest.raises(RunMissing):
        await pauses.expire(bus.current(), uuid4(), "1", 1)
