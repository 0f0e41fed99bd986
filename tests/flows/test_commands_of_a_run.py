"""How many commands a run of a deployment takes, from `run_deployment` to its result."""

from __future__ import annotations

import asyncio
import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from faults import PATIENCE, result_of, started

from runbus import run_deployment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faults import StartWorker
    from servers import Server

RUNS = 400
TASKS = 50
ROUNDS = 3
"""Of which the one counts that others disturb least: a run that lasts is told more."""
MOST_COMMANDS = 8  # 6.3 on a machine that does nothing else: the busier, the fewer share one
_END = "the last command"
_OF_RUNS = re.compile(r":[0-9a-f]{8}-[0-9a-f-]{27}|:queue")


@contextmanager
def commands(server: Server) -> Iterator[list[str]]:
    """What the server is told in the block, without what is called in scripts."""
    found: list[str] = []
    watching = threading.Event()

    def watch() -> None:
        with server.client() as redis, redis.monitor() as monitor:
            watching.set()
            told: Any
            for told in monitor.listen():
                if _END in told["command"]:
                    return
                if told["client_type"] != "lua":
                    found.append(told["command"])

    thread = threading.Thread(target=watch)
    thread.start()
    assert watching.wait(PATIENCE)
    yield found
    with server.client() as redis:
        redis.echo(_END)
    thread.join(PATIENCE)


async def _run_many(count: int) -> None:
    async def repeat() -> None:
        for _ in range(count // TASKS):
            run = await run_deployment("double/x", {"number": 4})
            assert run.state.result() == 8

    await asyncio.gather(*(repeat() for _ in range(TASKS)))


def test_a_run_takes_few_commands(server: Server, start_worker: StartWorker) -> None:
    """Made, hinted at, claimed, ended, and its end heard of: each is one command, or a shared one.

    What workers ask in any case names no run and is not counted.
    """
    start_worker()
    assert result_of(started("double/x", {"number": 4})) == 8

    async def main() -> list[int]:
        await _run_many(TASKS)  # all is connected then, and every script known
        counts: list[int] = []
        for _ in range(ROUNDS):
            with commands(server) as found:
                await _run_many(RUNS)
            counts.append(sum(_OF_RUNS.search(each) is not None for each in found))
        return counts

    fewest = min(asyncio.run(main()))
    assert fewest >= 4 * RUNS, "a create, a hint, a claim and an end of each"
    assert fewest <= MOST_COMMANDS * RUNS
