"""Sentinel: the primary is whoever the sentinels say it is, at each new connection.

All sentinels are asked at once, and the newest of what they say is believed, by the whole process
(`known_primary`). As even that may be behind, the server itself is asked for its role, too. If
none of them names the primary, that is an error at once where asking again is no use: who answered
refused, or nobody is left that could know the name.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode
from weakref import WeakKeyDictionary

from hiredis import ReplyError

from runbus.errors import RunbusError, ServerRefused, SettingsError
from runbus.store.connection.connection import Connection, closed_on_error, is_transient
from runbus.store.topology import tls
from runbus.store.topology.known_primary import UNNUMBERED, Named, known_primary
from runbus.store.topology.server import RemoteServer
from runbus.supervision import tasks

if TYPE_CHECKING:
    from runbus.settings import Settings
    from runbus.store.connection.reply import Reply
    from runbus.store.topology.known_primary import Address
    from runbus.store.topology.urls import SeveralServers

    Answer = Named | None | OSError | ServerRefused
    """What a sentinel says: None when it does not know the name."""

ASK_SECONDS = 1.0
LEEWAY_SECONDS = 0.1
"""How much longer than most a sentinel may take, at least."""
UNKNOWN_SECONDS = 1.5
_LOGIN_HINT = " (the sentinels' own user: sentinel_username, sentinel_password)"
_LACKS_RIGHT = (
    "the sentinels' user may not ask for SENTINEL MASTER (+sentinel|master): which of them is "
    "behind is not seen, and what is written within the first seconds after a failover may get lost"
)
_log = logging.getLogger("runbus")


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
        self._majority = len(self._sentinels) // 2 + 1
        self._unknown_since: float | None = None
        self._known = known_primary(several.hosts, self._name)
        self._attempts: dict[asyncio.Timeout, Address] = {}
        self._connections: WeakKeyDictionary[Connection, Address] = WeakKeyDictionary()

    @property
    def address(self) -> str:
        """The primary, by the name that the sentinels know."""
        primary = self._known.address
        known = f" at {primary[0]}:{primary[1]}" if primary else ""
        return f"the primary {self._name!r}{known}"

    async def connect(self, connection: Connection) -> None:
        """Connect to the primary of this moment."""
        address = await self._find_primary()
        attempt = asyncio.timeout(None)
        self._attempts[attempt] = address
        try:
            async with attempt:
                await self._connect_to(address, connection)
        except TimeoutError:
            raise _is_former(address) from None
        except OSError:
            self._known.reject(address)
            raise
        finally:
            del self._attempts[attempt]
        if not self._known.accept(address):
            connection.close()
            raise _is_former(address)
        self._connections[connection] = address

    async def _connect_to(self, address: Address, connection: Connection) -> None:
        host, port = address
        url = self._several.url_of(host, port, self._database)
        await RemoteServer(url, self._settings).connect(connection)
        await _check_role(connection, f"{host}:{port}")

    async def follow(self) -> None:
        """End connections to former primaries, by what the sentinels and other loops know."""
        self._leave_former()
        if self._known.is_fresh or not (self._connections or self._attempts):
            return
        try:
            await self._find_primary()
        except (OSError, RunbusError):
            return  # nobody to ask: what is connected may still be right
        self._leave_former()

    def _leave_former(self) -> None:
        now = asyncio.get_running_loop().time()
        for attempt, address in self._attempts.items():
            if address != self._known.address and not attempt.expired():
                attempt.reschedule(now)
        for connection, address in list(self._connections.items()):
            if not connection.alive:
                del self._connections[connection]
            elif address != self._known.address:
                connection.close()

    async def _find_primary(self) -> Address:
        answers = await self._ask_all()
        named = [answer for answer in answers if isinstance(answer, Named)]
        if not named:
            troubles = [answer for answer in answers if isinstance(answer, Exception)]
            raise self._in_vain(troubles, unknown=None in answers)
        self._unknown_since = None
        return self._known.learn(named, are_most=len(named) >= self._majority)

    async def _ask_all(self) -> list[Answer]:
        with tasks.started(*map(self._ask_in_time, self._sentinels)) as asking:
            await self._wait_for_enough(asking)
        return [each.result() for each in asking if each.done()]

    async def _wait_for_enough(self, asking: list[asyncio.Task[Answer]]) -> None:
        # Whoever is slower than most may be the only one that knows of a failover, or be frozen:
        # it gets as long as the others took.
        clock = asyncio.get_running_loop().time
        started, named, pending = clock(), 0, set(asking)
        while pending and named < self._majority:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            named += sum(isinstance(each.result(), Named) for each in done)
        if pending:
            await asyncio.wait(pending, timeout=max(LEEWAY_SECONDS, clock() - started))

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

    async def _ask_in_time(self, sentinel: RemoteServer) -> Answer:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._ask(sentinel)
        except TimeoutError:
            question = tls.question_of_silence(self._several.scheme)
            return ConnectionError(f"{sentinel.address} does not answer{question}")
        except (OSError, ServerRefused) as error:
            return error

    async def _ask(self, sentinel: RemoteServer) -> Named | None:
        connection = Connection(reply_timeout=self._seconds)
        await sentinel.connect(connection)
        try:
            # In this order: a failover between the two must not give its epoch to the former
            # primary. (While one goes on, MASTER has the new epoch beside the former address.)
            about, found = await asyncio.gather(
                connection.call("SENTINEL", "MASTER", self._name),
                connection.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name),
                return_exceptions=True,
            )
        finally:
            connection.close()
        if isinstance(found, ReplyError):
            raise _refused(sentinel.address, found)
        if isinstance(found, BaseException):
            raise found
        if not found:
            return None
        return Named(address=(found[0].decode(), int(found[1])), epoch=self._epoch_of(about))

    def _epoch_of(self, about: dict[bytes, bytes] | BaseException) -> int:
        if not isinstance(about, BaseException):
            return int(about[b"config-epoch"])
        if str(about).startswith("NOPERM") and not self._known.is_told_of_right:
            self._known.is_told_of_right = True
            _log.warning(_LACKS_RIGHT)
        return UNNUMBERED


def _refused(address: str, error: ReplyError) -> OSError | ServerRefused:
    if is_transient(error):
        return ConnectionError(f"{address}: {error}")
    what = _LOGIN_HINT if str(error).startswith(("NOPERM", "NOAUTH")) else " (is it a sentinel?)"
    return ServerRefused(address=address, reply=f"{error}{what}")


def _is_former(address: Address) -> ConnectionError:
    return ConnectionError(f"{address[0]}:{address[1]} is no longer the primary")


async def _check_role(connection: Connection, address: str) -> None:
    with closed_on_error(connection):
        try:
            role: list[Reply] = await connection.call("ROLE")
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
