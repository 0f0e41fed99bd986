"""Sentinel: the primary is whoever the sentinels say it is, at each new connection.

The sentinels are asked in turn. As one may be behind, the server itself is asked for its role
before it is believed.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

from hiredis import ReplyError

from runbus.errors import RunbusError, ServerRefused
from runbus.store.link import Link
from runbus.store.topology.server import RemoteServer

if TYPE_CHECKING:
    from runbus.settings import Settings
    from runbus.store.topology.urls import SeveralServers

ASK_SECONDS = 1.0


class SentinelServer:
    """The server that a group of sentinels names as the primary."""

    def __init__(self, several: SeveralServers, settings: Settings) -> None:
        self._several, own = _split_options(several)
        self._settings = settings
        self._name = several.path[0]
        self._database = several.path[1] if len(several.path) > 1 else "0"
        self._seconds = min(ASK_SECONDS, settings.connect_timeout_seconds)
        self._sentinels = [
            RemoteServer(self._several.url_of(*each, userinfo=own), settings)
            for each in several.hosts
        ]
        self._sentinels[0].check_files()
        self._primary: tuple[str, int] | None = None

    @property
    def address(self) -> str:
        """The primary, by the name that the sentinels know."""
        known = f" at {self._primary[0]}:{self._primary[1]}" if self._primary else ""
        return f"the primary {self._name!r}{known}"

    async def connect(self, link: Link) -> None:
        """Connect to the primary of this moment."""
        host, port = await self._ask_for_primary()
        url = self._several.url_of(host, port, self._database)
        await RemoteServer(url, self._settings).connect(link)
        await _check_role(link, f"{host}:{port}")
        self._primary = host, port

    async def has_moved(self) -> bool:
        """Whether the sentinels name another primary than the one last connected to."""
        before = self._primary
        if before is None:
            return False
        try:
            return await self._ask_for_primary() != before
        except (OSError, RunbusError):
            return False  # nobody to ask: what is connected may still be right

    async def _ask_for_primary(self) -> tuple[str, int]:
        trouble: Exception | None = None
        for sentinel in list(self._sentinels):
            try:
                async with asyncio.timeout(self._seconds):
                    found = await self._ask(sentinel)
            except (OSError, ReplyError, TimeoutError, ServerRefused) as error:
                trouble = error
            else:
                if found is not None:
                    self._ask_first(sentinel)
                    return found
        reason = str(trouble) if trouble else "none knows it"
        raise ConnectionError(f"no sentinel names the primary {self._name!r}: {reason}")

    async def _ask(self, sentinel: RemoteServer) -> tuple[str, int] | None:
        link = Link(reply_timeout=self._seconds)
        await sentinel.connect(link)
        try:
            found = await link.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)
        finally:
            link.close()
        return (found[0].decode(), int(found[1])) if found else None

    def _ask_first(self, sentinel: RemoteServer) -> None:
        self._sentinels.remove(sentinel)
        self._sentinels.insert(0, sentinel)


async def _check_role(link: Link, address: str) -> None:
    try:
        role: list[Any] = await link.call("ROLE")
    except ReplyError as error:
        link.close()
        raise ConnectionError(f"{address} does not tell its role: {error}") from None
    if role[0] != b"master":
        link.close()
        raise ConnectionError(f"{address} is not the primary yet")


def _split_options(several: SeveralServers) -> tuple[SeveralServers, str]:
    """Take the sentinels' own user and password out of the query."""
    options = dict(parse_qsl(several.query))
    user, password = options.pop("sentinel_username", ""), options.pop("sentinel_password", "")
    own = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
    return replace(several, query=urlencode(options)), own
