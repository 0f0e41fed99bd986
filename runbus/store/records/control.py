"""The control stream of a run: what it must hear while it runs, beside inputs and answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.protocol.entries import fields_by_name
from runbus.store.receiving.consumer import Reader

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

    async def say(self, word: str, epoch: str = "") -> None:
        """Tell the run a word, such as `suspend`, in the execution with this epoch, or in any."""
        meant = ("epoch", epoch) if epoch else ()
        await self._bus.requests.commands(
            ("XADD", self._key, "MAXLEN", "~", LONGEST, "*", "word", word, *meant),
            # The run may have ended meanwhile, and then nobody else would see to this.
            ("PEXPIRE", self._key, self._bus.lifetime_ms),
        )

    async def words(self, epoch: str) -> AsyncGenerator[str]:
        """Yield what the execution with this epoch is told, and wait for more."""
        streams = {"control": self._key}
        reader = Reader(
            self._bus, self._flow_run_id, streams, POLL_SECONDS, marks=False, looks_again=True
        )
        try:
            while await reader.wait(None):
                if reader.take_cut() and await self.is_cancelling(epoch):
                    yield "cancel"
                for _, _, fields in reader.taken():
                    said = fields_by_name(fields)
                    # A word without an epoch means whoever hears it.
                    if said.get("epoch", epoch) == epoch:
                        yield said.get("word", "")
        finally:
            reader.close()

    async def is_cancelling(self, epoch: str) -> bool:
        """Whether the run is to be cancelled: the word may be lost, and the record decides."""
        key = self._bus.keys.run(self._flow_run_id)
        found = await self._bus.requests.command("HMGET", key, "state_name", "epoch")
        return found == [b"Cancelling", epoch.encode()]
