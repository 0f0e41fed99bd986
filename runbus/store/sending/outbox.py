"""The outbox: all sends of one event loop, one producer for each stream that is sent to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.errors import InputTooLarge, TooMuchUnsent, UnsentInputs
from runbus.store.sending.durability import DurabilityWaiter
from runbus.store.sending.stream_producer import StreamProducer

if TYPE_CHECKING:
    from runbus.protocol.keys import Keys
    from runbus.settings import Settings
    from runbus.store.sending.receipt import Send
    from runbus.store.topology import Topology

IDLE_PRODUCERS = 4096
# What a send takes in this process beside its value.
RECEIPT_BYTES = 600


class Outbox:
    """All sends of one event loop."""

    def __init__(self, topology: Topology, keys: Keys, settings: Settings) -> None:
        self._topology = topology
        self._keys = keys
        self._settings = settings
        self.durability = DurabilityWaiter(topology, keys, settings)
        self._producers: dict[tuple[int, str], StreamProducer] = {}
        self._sweep_at = IDLE_PRODUCERS
        self._unawaited_bytes = 0

    def send(self, sent: Send) -> None:
        """Send an input; its receipt says when it is stored.

        Raises `InputTooLarge` and `TooMuchUnsent`; then nothing was sent.
        """
        if sent.size > self._settings.max_input_bytes:
            raise self._too_large(sent)
        if not sent.awaited:
            self._count_unawaited(sent)
        stream = (sent.flow_run_id.int, sent.stream)
        producer = self._producers.get(stream) or self._open_producer(stream, sent)
        producer.add(sent)

    def unsettled(self) -> list[Send]:
        """Return the sends that are still on their way."""
        return [sent for producer in self._producers.values() for sent in producer.unsettled()]

    def abandon(self) -> list[Send]:
        """Give up the sends that are still on their way, and return them."""
        unsettled = self.unsettled()
        for producer in self._producers.values():
            producer.abandon()
        self._producers.clear()
        for sent in unsettled:
            sent.settle(None, UnsentInputs([sent.key]), duplicate=False)
        return unsettled

    def _too_large(self, sent: Send) -> InputTooLarge:
        limit = self._settings.max_input_bytes
        return InputTooLarge(
            flow_run_id=sent.flow_run_id, key=sent.key, size=sent.size, limit=limit
        )

    def _count_unawaited(self, sent: Send) -> None:
        limit = self._settings.max_unsent_bytes
        size = sent.size + RECEIPT_BYTES
        if self._unawaited_bytes and self._unawaited_bytes + size > limit:
            raise TooMuchUnsent(
                flow_run_id=sent.flow_run_id,
                key=sent.key,
                unsent=self._unawaited_bytes,
                limit=limit,
            )
        self._unawaited_bytes += size
        sent.on_awaited = self._uncount

    def _uncount(self, sent: Send) -> None:
        self._unawaited_bytes -= sent.size + RECEIPT_BYTES

    def _open_producer(self, stream: tuple[int, str], sent: Send) -> StreamProducer:
        if len(self._producers) >= self._sweep_at:
            self._producers = {
                stream: producer for stream, producer in self._producers.items() if producer.busy
            }
            self._sweep_at = max(IDLE_PRODUCERS, 2 * len(self._producers))
        keys = _call_keys(self._keys, sent)
        connector = self._topology.connector(keys[0])
        place = (keys, sent.stream, self._keys.input(sent.flow_run_id, ""))
        producer = StreamProducer(connector, self._settings, *place, self.durability)
        self._producers[stream] = producer
        return producer


def _call_keys(keys: Keys, sent: Send) -> tuple[str, str, str, str]:
    run_id = sent.flow_run_id
    return (
        keys.run(run_id),
        keys.input(run_id, sent.stream),
        keys.streams(run_id),
        keys.retried(run_id),
    )
