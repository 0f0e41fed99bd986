"""The side of DBOS, over a SQLite file of its own; left out where DBOS is not installed."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from benchmarks.bench import TEXT, Bench
from benchmarks.compare.side import CHECKED, KEPT, ORDER, REPEATED, RESTART, Side

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_GUARANTEES = {
    REPEATED: "there is no wire: the file is this machine's",
    ORDER: "that of each topic",
    RESTART: "goes on after the last step that it had finished",
    CHECKED: "nothing",
    KEPT: "SQLite",
}
_LAST = "the last"


@asynccontextmanager
async def side(bench: Bench) -> AsyncIterator[Side]:
    """`send` to a workflow that waits in `recv`; a workflow of this process as the job."""
    from dbos import DBOS, SetWorkflowID  # slow to import, and not always there

    with tempfile.TemporaryDirectory(prefix="runbus-compare-") as directory:
        config: Any = {
            "name": "compare",
            "system_database_url": f"sqlite:///{directory}/dbos.sqlite",
            "log_level": "CRITICAL",
            "run_admin_server": False,
        }
        DBOS(config=config)
        loop = asyncio.get_running_loop()
        came: asyncio.Queue[str] = asyncio.Queue()

        @DBOS.workflow()
        def receive() -> None:
            text = ""
            while text != _LAST:
                text = DBOS.recv("texts", timeout_seconds=3600)
                loop.call_soon_threadsafe(came.put_nowait, text)

        @DBOS.workflow()
        async def nothing(number: int) -> int:
            return number

        DBOS.launch()
        receiver, unread = str(uuid4()), str(uuid4())
        with SetWorkflowID(unread):
            await (await DBOS.start_workflow_async(nothing, 0)).get_result()  # may be sent to now
        with SetWorkflowID(receiver):
            receiving = DBOS.start_workflow(receive)

        async def exchange() -> None:
            await DBOS.send_async(receiver, TEXT, "texts")
            await came.get()

        async def job() -> None:
            handle = await DBOS.start_workflow_async(nothing, 1)
            assert await handle.get_result() == 1

        try:
            yield Side(
                name="DBOS",
                guarantees=_GUARANTEES,
                store=partial(DBOS.send_async, unread, TEXT, "texts"),
                exchange=exchange,
                job=job,
            )
        finally:
            await DBOS.send_async(receiver, _LAST, "texts")
            await asyncio.to_thread(receiving.get_result)
            DBOS.destroy()
