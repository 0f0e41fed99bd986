"""Sentinel: the primary is whoever the sentinels say it is, at each new connection.

The sentinels are asked in turn. As one may be behind, the server itself is asked for its role
before it is believed. If none of them names the primary, that is an error at once where asking
again is no use: who answered refused, or nobody is left that could know the name.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

from hiredis import ReplyError

from runbus.errors import RunbusError, ServerRefused, SettingsError
from runbus.store.link import Link, closed_on_error, is_transient
from runbus.store.topology import tls
from runbus.store.topology.server import RemoteServer

if TYPE_CHECKING:
    from runbus.settings import Settings
    from runbus.store.topology.urls import SeveralServers

ASK_SECONDS = 1.0
UNKNOWN_SECONDS = 1.5
_LOGIN_HINT = " (the sentinels' own user: sentinel_username, sentinel_password)"


class SentinelServer:
    """The server that a group of sentinels names as the primary."""

    def __init__(self, several: SeveralServers, settings: Settings) -> None:
        self._several, own = _split_options(several)
        self._settings = settings
        self._name = several.path[0]
        self._database = several.path[1] if len(several.path) > 1 else "0"
        self._seconds = min(ASK_SECONDS, settings.connect_timeout_seconds)
        self._sentinels = [
            RemoteServer(
                self._several.url_of(*each, userinfo=own), settings, login_hint=_LOGIN_HINT
            )
            for each in several.hosts
        ]
        self._sentinels[0].check_files()
        self._unknown_since: float | None = None
        self._primary: tuple[str, int] | None = None

    @property
    def address(self) -> str:
        """The primary, by the name that the sentinels know."""
        known = f" at {self._primary[0]}:{self._primary[1]}" if self._primary else ""
        return f"the primary {self._name!r}{known}"

    async def connect(self, link: Link) -> None:
        """Connect to the primary of this moment."""
        host, port = await self._ask_for_primary()
        asked = self._sentinels[0]
        url = self._several.url_of(host, port, self._database)
        try:
            await RemoteServer(url, self._settings).connect(link)
            await _check_role(link, f"{host}:{port}")
        except OSError:
            # Whoever named it may know of no failover; the next one may.
            self._sentinels.remove(asked)
            self._sentinels.append(asked)
            raise
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
        troubles: list[OSError | ServerRefused] = []
        unknown = False
        for sentinel in list(self._sentinels):
            try:
                found = await self._ask_in_time(sentinel)
            except (OSError, ServerRefused) as error:
                troubles.append(error)
            else:
                if found is not None:
                    self._ask_first(sentinel)
                    self._unknown_since = None
                    return found
                unknown = True
        raise self._in_vain(troubles, unknown=unknown)

    def _in_vain(self, troubles: list[OSError | ServerRefused], *, unknown: bool) -> Exception:
        refused = [error for error in troubles if isinstance(error, ServerRefused)]
        silent = [str(error) for error in troubles if isinstance(error, OSError)]
        if refused and not unknown:
            return refused[0]
        if unknown and not silent and self._is_unknown_for_good():
            return SettingsError(
                f"RUNBUS_URL names the primary {self._name!r}, and none of its sentinels knows it: "
                "SENTINEL MASTERS shows which they know."
            )
        reasons = ["those that answer do not know it"] * unknown + silent[:1]
        return ConnectionError(
            f"no sentinel names the primary {self._name!r}: {'; '.join(reasons)}"
        )

    def _is_unknown_for_good(self) -> bool:
        # Sentinels that have only just started may still be told what to watch.
        now = asyncio.get_running_loop().time()
        if self._unknown_since is None:
            self._unknown_since = now
        return now - self._unknown_since >= UNKNOWN_SECONDS

    async def _ask_in_time(self, sentinel: RemoteServer) -> tuple[str, int] | None:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._ask(sentinel)
        except TimeoutError:
            question = tls.question_of_silence(self._several.scheme)
            raise ConnectionError(f"{sentinel.address} does not answer{question}") from None

    async def _ask(self, sentinel: RemoteServer) -> tuple[str, int] | None:
        link = Link(reply_timeout=self._seconds)
        await sentinel.connect(link)
        try:
            found = await link.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)
        except ReplyError as error:
            raise _refused(sentinel.address, error) from None
        finally:
            link.close()
        return (found[0].decode(), int(found[1])) if found else None

    def _ask_first(self, sentinel: RemoteServer) -> None:
        self._sentinels.remove(sentinel)
        self._sentinels.insert(0, sentinel)


def _refused(address: str, error: ReplyError) -> OSError | ServerRefused:
    if is_transient(error):
        return ConnectionError(f"{address}: {error}")
    what = _LOGIN_HINT if str(error).startswith(("NOPERM", "NOAUTH")) else " (is it a sentinel?)"
    return ServerRefused(address=address, reply=f"{error}{what}")


async def _check_role(link: Link, address: str) -> None:
    with closed_on_error(link):
        try:
            role: list[Any] = await link.call("ROLE")
        except ReplyError as error:
            raise ConnectionError(f"{address} does not tell its role: {error}") from None
        if role[0] != b"master":
            raise ConnectionError(f"{address} is not the primary yet")


def _split_options(several: SeveralServers) -> tuple[SeveralServers, str]:
    """Take the sentinels' own user and password out of the query."""
    options = dict(parse_qsl(several.query))
    user, password = options.pop("sentinel_username", ""), options.pop("sentinel_password", "")
    own = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
    return replace(several, query=urlencode(options)), own
