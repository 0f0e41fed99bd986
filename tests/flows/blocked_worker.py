"""A worker with a short time of grace, and a flow that blocks its event loop for ever."""

from __future__ import annotations

import time

from lasting import note

from runbus import flow, serve
from runbus.worker import blocked_end, worker


@flow
async def block(diary: str, gate: str) -> None:
    note(diary, "begins")
    time.sleep(1000)  # noqa: ASYNC251  (what is tested)


if __name__ == "__main__":
    worker.GRACE_SECONDS = blocked_end.HAND_BACK_SECONDS = blocked_end.BLOCKED_SECONDS = 0.5
    serve(block.to_deployment("x"))
