"""Held sends: what a run sends while it is not known if it is still this process's.

They wait, in order, until its lease is renewed and what the server says of its runs is known. If
the run is another process's by then, they are not sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.background import bridge
from runbus.errors import FlowRunCancelled, RunLost, TooMuchUnsent
from runbus.supervision import tasks

if TYPE_CHECKING:
    import asyncio

    from runbus.execution.run_context import RunningFlow
    from runbus.store.sending.receipt import Send


class HeldSends:
    """The held sends of one run."""

    __slots__ = ("_task", "_waiting")

    def __init__(self) -> None:
        # Not a deque, as an empty one takes ten times as much, and hardly ever is anything held.
        self._waiting: list[Send] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def waits(self) -> bool:
        """Whether anything is held: what is sent now comes after it."""
        return bool(self._waiting)

    def send(self, sent: Send, run: RunningFlow) -> None:
        """Send an input once that is known; in a thread, block until it is."""
        if not bridge.on_loop():
            bridge.run(run.confirm)
            bridge.send(sent)
            return
        self._check_room(sent, run)
        self._waiting.append(sent)
        if self._task is None:
            self._task = tasks.start(self._send_all(run))

    def _check_room(self, sent: Send, run: RunningFlow) -> None:
        if run.holder is None:
            return
        unsent, limit = (
            sum(each.size for each in self._waiting),
            run.holder.settings.max_unsent_bytes,
        )
        if unsent + sent.size > limit:
            raise TooMuchUnsent(
                flow_run_id=sent.flow_run_id, key=sent.key, unsent=unsent, limit=limit
            )

    async def _send_all(self, run: RunningFlow) -> None:
        try:
            await self._confirm(run)
        except BaseException as error:
            self._fail(error, run)
        else:
            while self._waiting:
                _send(self._waiting.pop(0))
        finally:
            self._task = None

    async def _confirm(self, run: RunningFlow) -> None:
        try:
            await run.confirm()
        except FlowRunCancelled:
            # It is told, and cleans up: what it sent, and still sends, is sent for all that.
            await run.confirm()

    def _fail(self, error: BaseException, run: RunningFlow) -> None:
        cause = error if isinstance(error, Exception) else RunLost(run.run_id)
        while self._waiting:
            self._waiting.pop(0).settle(None, cause, duplicate=False)


def _send(sent: Send) -> None:
    try:
        bridge.send(sent)
    except Exception as error:  # it is refused, as it would have been at once
        sent.settle(None, error, duplicate=False)
