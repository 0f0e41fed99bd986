"""What is wrong with a server is told to whoever sends, asks or waits, and at once."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from runbus import get_client, receive_input, send_input


async def assert_all_are_told(error: type[Exception], match: str) -> None:
    """Each of them gets this error, whatever `retry_seconds` says."""
    run_id = uuid4()
    async with asyncio.timeout(10):
        for attempt in (
            send_input(1, run_id),
            get_client().read_flow_run(run_id),
            receive_input(int, flow_run_id=run_id).next(),
        ):
            with pytest.raises(error, match=match):
                await attempt
