"""Replies that no server gives: the connection ends, and every caller hears of it."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runbus.store.connection.connection import Connection

SOME_REPLIES = (
    *(b"+OK\r\n", b":1\r\n", b"$3\r\nabc\r\n", b"*1\r\n$1\r\na\r\n", b"-ERR no\r\n", b"_\r\n"),
    *(b">2\r\n$10\r\ninvalidate\r\n_\r\n", b"%1\r\n+a\r\n:1\r\n", b"$-1\r\n", b",nan\r\n"),
    *(b"*-5\r\n", b"$99999999999999999999\r\n", b":x\r\n", b"*1000000\r\n", b"\r\n", b"\x00"),
)
replies = st.lists(st.sampled_from(SOME_REPLIES) | st.binary(max_size=12), max_size=8)


@settings(max_examples=60, deadline=None)
@given(replies, st.integers(0, 3))
async def test_any_bytes(pieces: list[bytes], calls: int) -> None:
    """As many answers as were asked for, or the end of the connection; nothing escapes."""
    escaped: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: escaped.append(context))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if calls:
            await reader.read(1)
        writer.write(b"".join(pieces))  # `writelines` with an empty piece never ends in Python 3.12
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        lost = asyncio.Event()
        connection = Connection(
            reply_timeout=5, on_push=lambda _: None, on_lost=lambda _: lost.set()
        )
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        connection.take_over(writer)
        asked = [connection.call("PING") for _ in range(calls)]
        async with asyncio.timeout(5):
            await asyncio.gather(*asked, return_exceptions=True)
            await lost.wait()
    assert escaped == []
