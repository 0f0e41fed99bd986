"""One server: its address, and how to connect to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from hiredis import ReplyError
from redis.asyncio import connection as redis_py
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from runbus.errors import ServerRefused, SettingsError
from runbus.store.connection.connection import closed_on_error
from runbus.store.connection.hash_slots import read_owners
from runbus.store.topology import tls
from runbus.store.topology.urls import check_one, not_a_sentinel_url, not_all, not_usable

if TYPE_CHECKING:
    from runbus.settings import Settings
    from runbus.store.connection.connection import Connection
    from runbus.store.connection.reply import Reply


class RemoteServer:
    """A server at a URL: `redis://`, `rediss://` or `unix://`."""

    def __init__(
        self, url: str, settings: Settings, *, has_all: bool = False, login_hint: str = ""
    ) -> None:
        """`has_all` says that every key is to be found there.

        `login_hint` tells somebody who is not let in where the user and the password stand.
        """
        self._timeout = settings.connect_timeout_seconds
        self._has_all = has_all
        self._login_hint = login_hint
        self._connection_class, self._options = _connection_options(url)
        self._scheme = urlsplit(url).scheme
        self._was_connected = False
        self.address = _address(self._options)

    def check_files(self) -> None:
        """Load the files that the URL names for TLS. Raises `SettingsError`."""
        tls.load_files(self._connection_class(**self._options))

    async def connect(self, connection: Connection) -> None:
        """Connect, authenticate and switch to RESP3; then hand the transport over."""
        opened = self._connection_class(**self._options)
        try:
            async with asyncio.timeout(self._timeout):
                _load_files_again(opened)
                await opened.connect()
                _hand_over(opened, connection)
                if self._has_all:
                    await _check_has_all(connection)
                self._was_connected = True
        except AuthenticationError as error:
            raise self._refused(f"{error}{self._login_hint}") from None
        except ResponseError as error:
            raise self._refused(error) from None
        except RedisError as error:
            if refusal := tls.refusal(error):
                raise self._refused(refusal) from None
            question = tls.question(error, self._scheme)
            raise ConnectionError(f"{error}{self._unless_it_has_worked(question)}") from None
        except TimeoutError:
            question = self._unless_it_has_worked(tls.question_of_silence(self._scheme))
            raise ConnectionError(f"no answer within {self._timeout:g} s{question}") from None
        finally:
            await opened.disconnect(nowait=True)

    def _unless_it_has_worked(self, question: str) -> str:
        return "" if self._was_connected else question

    def _refused(self, reply: object) -> ServerRefused:
        return ServerRefused(address=self.address, reply=reply)


class EmbeddedServer:
    """The server of this user's own on this machine, started when it does not run."""

    address = "the embedded server"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def connect(self, connection: Connection) -> None:
        """Start the server unless it runs, then connect. Raises `EmbeddedServerError` too."""
        from runbus.store.embedded import server

        try:
            url = await asyncio.to_thread(server.ensure_running)
        except RuntimeError:  # the interpreter ends and starts no more threads
            url = server.ensure_running()
        await RemoteServer(url, self._settings).connect(connection)


def _hand_over(opened: redis_py.AbstractConnection, connection: Connection) -> None:
    # redis-py has no public name for the transport. From here on it is no longer redis-py's.
    writer = cast("asyncio.StreamWriter", opened._writer)  # pyright: ignore[reportPrivateUsage]
    opened._writer = opened._reader = None  # pyright: ignore[reportPrivateUsage]
    connection.take_over(writer)


def _load_files_again(opened: redis_py.AbstractConnection) -> None:
    # They were all right at the start: now somebody may be in the middle of replacing them.
    try:
        tls.load_files(opened)
    except SettingsError as error:
        raise ConnectionError(str(error)) from None


async def _check_has_all(connection: Connection) -> None:
    # A sentinel and a node of a cluster answer like any server until they are asked for a key.
    with closed_on_error(connection):
        mode = await _ask_for_mode(connection)
        if mode == b"sentinel":
            raise not_a_sentinel_url()
        if mode == b"cluster" and await _has_part_only(connection):
            raise not_all()


async def _ask_for_mode(connection: Connection) -> bytes | None:
    try:
        about: dict[bytes, Reply] = await connection.call("HELLO")
    except ReplyError:
        return None  # it does not say
    return about.get(b"mode")


async def _has_part_only(connection: Connection) -> bool:
    try:
        owners = read_owners(await connection.call("CLUSTER", "SLOTS"), "")
    except ReplyError:
        return False  # it does not say
    return len(set(owners.values())) > 1


def _connection_options(url: str) -> tuple[type[redis_py.AbstractConnection], dict[str, Any]]:
    check_one(url)
    try:
        return _read_options(url)
    except (ValueError, TypeError, AttributeError, RedisError):
        # Neither the URL nor what the parser says of it may be shown: they may hold a password.
        raise not_usable(_unusable_option(url)) from None


def _read_options(url: str) -> tuple[type[redis_py.AbstractConnection], dict[str, Any]]:
    options: dict[str, Any] = {**redis_py.parse_url(url)}
    connection_class = options.pop("connection_class", redis_py.Connection)
    options |= {
        "protocol": 3,
        "decode_responses": False,
        "socket_timeout": None,  # `Connection` times its replies itself
        "client_name": "runbus",
    }
    if issubclass(connection_class, redis_py.SSLConnection):
        options.setdefault("ssl_password", "")  # without one, OpenSSL would ask at the terminal
    connection_class(**options)  # finds options that do not exist, before the first use
    return connection_class, options


def _unusable_option(url: str) -> str:
    parts = urlsplit(url)
    if "@" in parts.query:
        return ""  # maybe a password with a ? in it
    for option in parts.query.split("&"):
        try:
            _read_options(f"{parts.scheme}://localhost/?{option}")
        except (ValueError, TypeError, AttributeError, RedisError):
            name = option.partition("=")[0]
            return f"{parts.scheme}:// has no option {name}, or not with this value"
    return ""


def _address(options: dict[str, Any]) -> str:
    if "path" in options:
        return str(options["path"])
    return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
