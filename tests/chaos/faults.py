"""Faults, made for real: each a small object that begins and heals.

`begin` and `heal` block until what they do is done. What is over as soon as it has begun (a cut,
say) heals by doing nothing.
"""

from __future__ import annotations

import shutil
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clocks import ClockedServer
    from proxy import Proxy
    from servers import Server

    from chaos.parties import Party


class Fault(Protocol):
    """Something that goes wrong."""

    def begin(self) -> None: ...
    def heal(self) -> None: ...


@dataclass
class Momentary:
    """What is over at once."""

    def heal(self) -> None:
        pass


# --- Connections ---


@dataclass
class Cut(Momentary):
    """All connections end with a reset."""

    proxy: Proxy

    def begin(self) -> None:
        self.proxy.cut()


@dataclass
class LostReply(Momentary):
    """The next request is executed, and its connection ends before the reply."""

    proxy: Proxy

    def begin(self) -> None:
        self.proxy.lose_next_reply()


@dataclass
class LostReplies:
    """Everything is executed and nothing is answered."""

    proxy: Proxy

    def begin(self) -> None:
        self.proxy.drop_replies()

    def heal(self) -> None:
        self.proxy.drop_replies(False)


@dataclass
class LateRequests:
    """What is sent is executed later, after its retries on other connections."""

    proxy: Proxy

    def begin(self) -> None:
        self.proxy.hold_requests()

    def heal(self) -> None:
        self.proxy.hold_requests(False)


@dataclass
class SlowConnections:
    """Every byte takes a while each way."""

    proxy: Proxy
    seconds: float = 0.15

    def begin(self) -> None:
        self.proxy.delay(self.seconds)

    def heal(self) -> None:
        self.proxy.delay(0)


@dataclass
class HalfOpen(Momentary):
    """Connections go silent without a word."""

    proxy: Proxy

    def begin(self) -> None:
        self.proxy.half_open()


@dataclass
class Refusal:
    """Nobody gets in, and those who are in are thrown out."""

    proxy: Proxy

    def begin(self) -> None:
        self.proxy.refuse()
        self.proxy.cut()

    def heal(self) -> None:
        self.proxy.refuse(False)


# --- Processes ---


@dataclass
class KilledParty:
    """SIGKILL; another process takes its place."""

    party: Party

    def begin(self) -> None:
        self.party.kill()

    def heal(self) -> None:
        self.party.start()


@dataclass
class FrozenParty:
    """SIGSTOP, and SIGCONT."""

    party: Party

    def begin(self) -> None:
        self.party.signal(signal.SIGSTOP)

    def heal(self) -> None:
        self.party.signal(signal.SIGCONT)


# --- Servers ---


@dataclass
class KilledServer:
    """SIGKILL, and a restart from the append-only file."""

    server: Server

    def begin(self) -> None:
        self.server.kill()

    def heal(self) -> None:
        self.server.restart()


@dataclass
class FrozenServer:
    """SIGSTOP: its connections stay open and are silent."""

    server: Server

    def begin(self) -> None:
        self.server.freeze()

    def heal(self) -> None:
        self.server.thaw()


@dataclass
class ClientKill(Momentary):
    """CLIENT KILL for everybody."""

    server: Server

    def begin(self) -> None:
        with self.server.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@dataclass
class ScriptFlush(Momentary):
    """The server forgets its scripts."""

    server: Server

    def begin(self) -> None:
        with self.server.client() as client:
            client.script_flush()


@dataclass
class FullMemory:
    """Every write that takes memory is refused."""

    server: Server

    def begin(self) -> None:
        with self.server.client() as client:
            client.config_set("maxmemory", "1")

    def heal(self) -> None:
        with self.server.client() as client:
            client.config_set("maxmemory", "0")


@dataclass
class FailedSnapshot:
    """`MISCONF`: the snapshots that it is to make fail, and it takes no write until one does not.

    A directory stands where the file is to be.
    """

    server: Server

    def begin(self) -> None:
        self._in_the_way.mkdir(exist_ok=True)
        (self._in_the_way / "file").touch()
        with self.server.client() as client:
            client.config_set("save", "3600 1")
            with suppress(ResponseError):  # it has begun one by itself
                client.bgsave()
            while client.info("persistence")["rdb_last_bgsave_status"] == "ok":
                time.sleep(0.01)

    def heal(self) -> None:
        shutil.rmtree(self._in_the_way, ignore_errors=True)
        with self.server.client() as client:
            client.config_set("save", "")

    @property
    def _in_the_way(self) -> Path:
        return self.server.directory / "dump.rdb"


@dataclass
class ReadOnly:
    """`READONLY`: it was made a replica of something that is not there."""

    server: Server

    def begin(self) -> None:
        with self.server.client() as client:
            client.replicaof("127.0.0.1", "1")

    def heal(self) -> None:
        with self.server.client() as client:
            client.replicaof("NO", "ONE")


@dataclass
class NoReplicas:
    """`NOREPLICAS`: it takes no write without a replica, and has none."""

    server: Server

    def begin(self) -> None:
        with self.server.client() as client:
            client.config_set("min-replicas-to-write", "1")

    def heal(self) -> None:
        with self.server.client() as client:
            client.config_set("min-replicas-to-write", "0")


@dataclass
class MissingRight:
    """`NOPERM`: the user may call no scripts, or may write nothing."""

    server: Server
    right: str

    def begin(self) -> None:
        self._set_user(f"-{self.right}")

    def heal(self) -> None:
        self._set_user("+@all")

    def _set_user(self, rule: str) -> None:
        with self.server.client() as client:
            client.execute_command("ACL", "SETUSER", "default", rule)


@dataclass
class TooManyClients:
    """Those who are thrown out do not get in again."""

    server: Server
    _client: Any = field(default=None, init=False)
    _before: str = field(default="", init=False)

    def begin(self) -> None:
        # Its connection stays, as no other could be made.
        self._client = self.server.client(single_connection_client=True)
        self._before = self._client.config_get("maxclients")["maxclients"]
        self._client.config_set("maxclients", "1")
        self._client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def heal(self) -> None:
        self._client.config_set("maxclients", self._before)
        self._client.close()


@dataclass
class ClockJump:
    """The server's clock is elsewhere."""

    server: ClockedServer
    seconds: int

    def begin(self) -> None:
        self.server.jump(self.seconds)

    def heal(self) -> None:
        self.server.jump(0)


@dataclass
class Event(Momentary):
    """Anything else that a world knows how to do, in one call."""

    name: str
    happen: Callable[[], None]

    def begin(self) -> None:
        self.happen()


def name_of(fault: Fault) -> str:
    """What to call a fault: `FrozenServer`, say."""
    return fault.name if isinstance(fault, Event) else type(fault).__name__
