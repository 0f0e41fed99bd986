"""The control stream of a run: what it must be told while it runs, beside inputs and answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.protocol.entries import fields_by_name
from runbus.store.receiving.consumer import Consumer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from uuid import UUID

    from runbus.store.bus import Bus

POLL_SECONDS = 10
LONGEST = 100


class Control:
    """One run's control stream."""

    def __init__(self, bus: Bus, flow_run_id: UUID) -> None:
        self._bus = bus
        self._flow_run_id = flow_run_id
        self._key = bus.keys.control(flow_run_id)

    async def signal(self, name: str, epoch: str = "") -> None:
        """Signal the run to `suspend`, say, in the execution with this epoch, or in any."""
        meant = ("epoch", epoch) if epoch else ()
        await self._bus.commands.together(
            ("XADD", self._key, "MAXLEN", "~", LONGEST, "*", "word", name, *meant),
            # The run may have ended meanwhile, and then nobody else would see to this.
            ("PEXPIRE", self._key, self._bus.lifetime_ms),
        )

    async def signals(self, epoch: str) -> AsyncGenerator[str]:
        """Yield the signals to the execution with this epoch, and wait for more."""
        streams = {"control": self._key}
        consumer = Consumer(
            self._bus, self._flow_run_id, streams, POLL_SECONDS, marks=False, looks_again=True
        )
        try:
            while await consumer.wait(None):
                if consumer.take_cut() and await self.is_cancelling(epoch):
                    yield "cancel"
                for _, _, fields in consumer.taken():
                    sent = fields_by_name(fields)
                    # One without an epoch is for whoever gets it.
                    if sent.get("epoch", epoch) == epoch:
                        yield sent.get("word", "")
        finally:
            consumer.close()

    async def is_cancelling(self, epoch: str) -> bool:
        """Whether the run is to be cancelled: the signal may be lost, and the record decides."""
        key = self._bus.keys.run(self._flow_run_id)
        found = await self._bus.commands.command("HMGET", key, "state_name", "epoch")
        return found == [b"Cancelling", epoch.encode()]
