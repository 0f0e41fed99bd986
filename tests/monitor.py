"""What a server is asked: all commands from the block's beginning on, with their keys (MONITOR)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')
_END = "the end of the monitor"


@dataclass(frozen=True)
class Asked:
    """A command that a client or a script gave."""

    client: str
    """Its address; `lua` for a script."""
    words: tuple[str, ...]
    keys: frozenset[str] = field(default_factory=frozenset[str])


class Monitor:
    """Everything is asked of the server inside of the block; read `asked` after it."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self.asked: list[Asked] = []

    def __enter__(self) -> Self:
        self._connection: Any = self._client.connection_pool.get_connection()
        self._connection.send_command("MONITOR")
        self._connection.read_response()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.echo(_END)
        while _END not in (line := self._line()):
            client = re.search(r" \[\d+ (\S+)\] ", line)
            assert client, line
            self.asked.append(Asked(client[1], tuple(_WORD.findall(line[client.end() :]))))
        self._connection.disconnect()
        self._client.connection_pool.release(self._connection)
        self.asked = list(self._with_keys(self.asked))

    def _line(self) -> str:
        line = self._connection.read_response()
        return line.decode(errors="replace") if isinstance(line, bytes) else line

    def _with_keys(self, asked: list[Asked]) -> Iterator[Asked]:
        pipeline = self._client.pipeline(transaction=False)
        for each in asked:
            pipeline.execute_command("COMMAND GETKEYS", *each.words)
        for each, keys in zip(asked, pipeline.execute(raise_on_error=False), strict=True):
            if not isinstance(keys, ResponseError):
                yield Asked(each.client, each.words, frozenset(keys))
            elif "no key" in str(keys) or len(each.words) == 1:
                yield each
            else:
                raise keys
