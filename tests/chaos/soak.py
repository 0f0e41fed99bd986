"""A soak: many inputs through one process, whose memory stays flat once it is warm.

`python soak.py <how many>` with RUNBUS_URL set; prints the resident memory, in bytes, after every
twentieth part. The runs change, as they do in a process that lives for days.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from pathlib import Path
from uuid import UUID, uuid4

from redis import Redis

from runbus import receive_input, send_input

PARTS = 20
OF_ONE_RUN = 2_500
AT_ONCE = 250


def resident_bytes() -> int:
    """How much memory this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def soak(inputs: int, server: Redis) -> None:
    """Send inputs to run after run, and receive each."""
    for part in range(PARTS):
        for _ in range(inputs // PARTS // OF_ONE_RUN):
            run_id = uuid4()
            await asyncio.gather(_send(run_id), _receive(run_id))
            server.unlink(*server.keys(f"*{run_id}*"))
        gc.collect()
        print(part, resident_bytes(), flush=True)


async def _send(run_id: UUID) -> None:
    for _ in range(OF_ONE_RUN // AT_ONCE):
        sends = [send_input({"number": number}, run_id) for number in range(AT_ONCE)]
        for sent in sends:
            await sent


async def _receive(run_id: UUID) -> None:
    inbox = receive_input(dict, flow_run_id=run_id, timeout=60)
    for _ in range(OF_ONE_RUN):
        await anext(inbox)


if __name__ == "__main__":
    asyncio.run(soak(int(sys.argv[1]), Redis.from_url(os.environ["RUNBUS_URL"])))
