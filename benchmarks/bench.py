"""What all rows share: the server, the keys, the number of rounds."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import dataclass, field
from secrets import token_hex
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
from redis import Redis

from runbus.protocol.keys import Keys
from runbus.settings import temporary_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

SENDER = uuid4()
TEXT = "a short answer"
_UNREAD = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One run of the benchmark."""

    url: str
    quick: bool
    owns_server: bool
    prefix: str = field(default_factory=lambda: f"runbus-speed-{token_hex(4)}")
    """What every key begins with that the benchmark makes."""

    def rounds(self, usual: int = 9) -> Iterator[int]:
        """Count the rounds, each begun without garbage of the one before."""
        for number in range(max(5, usual // 3) if self.quick else usual):
            gc.collect()
            yield number

    def scaled(self, amount: int) -> int:
        """Return how much of something to do in one round."""
        return amount // 3 if self.quick else amount

    @contextmanager
    def settings(self, url: str | None = None) -> Iterator[None]:
        """Let runbus use the benchmark's server, or another URL of it, and its keys."""
        with temporary_settings(url=url or self.url, prefix=self.prefix, max_stream_length=_UNREAD):
            yield

    def control(self) -> Redis:
        """Make a client that looks at the server from outside."""
        return Redis.from_url(self.url)

    def input_key(self, flow_run_id: UUID, name: str) -> str:
        """Return the key of the stream on which runbus keeps a run's inputs of a type."""
        return Keys(self.prefix).input(flow_run_id, name)

    def plain_key(self) -> str:
        """Return a new key for the side that is not runbus."""
        return f"{self.prefix}:plain:{uuid4()}"

    def clean(self) -> None:
        """Remove the benchmark's keys; on a server of its own, all."""
        with self.control() as client:
            if self.owns_server:
                # Not in the background, where it would be counted as the next row's.
                client.execute_command("FLUSHALL", "SYNC")
                return
            for key in client.scan_iter(match=f"{self.prefix}:*", count=1000):
                client.unlink(key)


def plain_fields(value: object = TEXT) -> dict[Any, Any]:
    """Return the fields that runbus stores for an input, made by hand."""
    return {"key": f"str-{uuid4()}", "sender": str(SENDER), "value": orjson.dumps(value)}


def memory_of(control: Redis) -> int:
    """Return the bytes of memory that the server's data take, without connections' buffers."""
    info: dict[str, Any] = control.info("memory")
    return info["used_memory_dataset"]
