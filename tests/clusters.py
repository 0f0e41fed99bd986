"""Real clusters and sentinel groups for tests, of the servers in `servers`."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Self

from redis.exceptions import RedisError
from servers import Engine, Server, ServerFailed, binary_of, popen

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

SLOTS = 16384
_SECONDS = 30.0


def until(found: Callable[[], Any], what: str, seconds: float = _SECONDS) -> Any:
    """Wait until something is so, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(RedisError, OSError):
            if value := found():
                return value
        time.sleep(0.02)
    raise ServerFailed(f"in vain: {what}")


class Cluster:
    """Six nodes: three primaries with a replica each.

    `options` are more arguments of each server, `login` the user who looks after them.
    """

    def __init__(self, engine: Engine, *options: str, **login: str) -> None:
        binary_of(engine)
        self._stack = ExitStack()
        config = (
            *("--cluster-enabled", "yes", "--cluster-node-timeout", "1000"),
            *("--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"),
            *options,
        )
        self.nodes = [self._stack.enter_context(Server.start(engine, *config)) for _ in range(6)]
        self.clients = [node.client(**login) for node in self.nodes]
        self._login = ("AUTH2", login["username"], login["password"]) if login else ()
        self._form()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:2])
        return f"redis+cluster://{hosts}"

    def call(self, number: int, *command: Any) -> Any:
        return self.clients[number].execute_command(*command)

    def id_of(self, number: int) -> str:
        return self.call(number, "CLUSTER", "MYID")

    def slot_of(self, run_id: UUID) -> int:
        return self.call(0, "CLUSTER", "KEYSLOT", f"{{{run_id.hex[-2:]}}}")

    def owner_of(self, slot: int, but: int = -1) -> int:
        """The number of the node that says that it is the primary of a slot."""
        for number, node in enumerate(self.nodes):
            if number != but and node.is_alive:
                with suppress(RedisError, OSError):
                    if self.call(number, "ROLE")[0] == "master" and self._has(number, slot):
                        return number
        return -1

    def replica_of(self, number: int) -> int:
        own = self.id_of(number)
        for other, node in enumerate(self.nodes):
            if node.is_alive and other != number:
                line = next(x for x in self._lines(other) if "myself" in x)
                if line.split()[3] == own:
                    return other
        raise AssertionError("no replica")

    def _lines(self, number: int) -> list[str]:
        return _raw(self.clients[number], "CLUSTER", "NODES").splitlines()

    def _has(self, number: int, slot: int) -> bool:
        line = next(x for x in self._lines(number) if "myself" in x)
        for part in line.split()[8:]:
            if not part.startswith("["):
                first, _, last = part.partition("-")
                if int(first) <= slot <= int(last or first):
                    return True
        return False

    def _form(self) -> None:
        for number in range(3):
            self.call(number, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            first, last = number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1
            self.call(number, "CLUSTER", "ADDSLOTSRANGE", first, last)
        for number in range(1, 6):
            self.call(number, "CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        until(lambda: all(map(self._has_met, range(6))), "the nodes meet")
        for number in range(3):
            self.call(number + 3, "CLUSTER", "REPLICATE", self.id_of(number))
        until(
            lambda: all("cluster_state:ok" in self.info(each) for each in range(6)), "all is well"
        )
        until(lambda: all(map(self._is_synced, range(3, 6))), "the replicas are in sync")
        until(lambda: all(map(self._knows_replicas, range(6))), "the replicas are known")

    def _has_met(self, number: int) -> bool:
        lines = self._lines(number)
        return len(lines) == len(self.nodes) and "handshake" not in "".join(lines)

    def _knows_replicas(self, number: int) -> bool:
        return sum("slave" in line for line in self._lines(number)) == 3

    def info(self, number: int) -> str:
        return _raw(self.clients[number], "CLUSTER", "INFO")

    def _is_synced(self, number: int) -> bool:
        role = self.call(number, "ROLE")
        return role[0] == "slave" and role[3] == "connected"

    def fail_over(self, slot: int) -> None:
        """Let the replica of a slot's primary take over, and wait until it has."""
        before = self.owner_of(slot)
        replica = self.replica_of(before)
        self.call(replica, "CLUSTER", "FAILOVER")
        until(lambda: self.owner_of(slot, but=before) == replica, "the replica takes over")

    def move_slot(self, slot: int, source: int, target: int, pause: Callable[[], None]) -> None:
        """Move a slot the classic way, key by key; `pause` is called in the middle."""
        ids = self.id_of(source), self.id_of(target)
        self.call(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        self.call(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        pause()
        while keys := self.call(source, "CLUSTER", "GETKEYSINSLOT", slot, 10):
            address = ("127.0.0.1", self.nodes[target].port)
            self.call(source, "MIGRATE", *address, "", 0, 5000, *self._login, "KEYS", *keys)
        pause()
        for number in (target, source):
            self.call(number, "CLUSTER", "SETSLOT", slot, "NODE", ids[1])


def _raw(client: Any, *command: str) -> str:
    """A reply as the server wrote it: redis-py parses those of CLUSTER."""
    connection = client.connection_pool.get_connection()
    try:
        connection.send_command(*command)
        reply = connection.read_response()
        return reply.decode() if isinstance(reply, bytes) else reply
    finally:
        client.connection_pool.release(connection)


class SentinelGroup:
    """A primary, two replicas, and three sentinels that watch them.

    `options` are more arguments of each server, `login` the user as whom the sentinels look.
    """

    name = "mine"

    def __init__(self, engine: Engine, *options: str, **login: str) -> None:
        binary_of(engine)
        self._stack = ExitStack()
        start = self._stack.enter_context
        fast = ("--repl-diskless-sync-delay", "0", *options)
        self.nodes = [start(Server.start(engine, *fast))]
        first = f"127.0.0.1 {self.nodes[0].port}"
        for _ in range(2):
            self.nodes.append(start(Server.start(engine, *fast, "--replicaof", *first.split())))
        self.clients = [node.client(**login) for node in self.nodes]
        until(self._is_synced, "the replicas are in sync")
        self.sentinels = [start(Sentinel.start(engine)) for _ in range(3)]
        self.sentinel_clients = [sentinel.client() for sentinel in self.sentinels]
        for client in self.sentinel_clients:
            client.execute_command("SENTINEL", "MONITOR", self.name, *first.split(), 2)
            for option in ("down-after-milliseconds", "failover-timeout"):
                value = 800 if option.startswith("down") else 3000
                client.execute_command("SENTINEL", "SET", self.name, option, value)
            if login:
                who = ("auth-user", login["username"], "auth-pass", login["password"])
                client.execute_command("SENTINEL", "SET", self.name, *who)
        until(self._is_complete, "sentinels know each other")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        return f"redis+sentinel://{hosts}/{self.name}"

    def primary(self, but: int = -1) -> int:
        """The number of the node that is the primary, -1 when there is none."""
        for number, node in enumerate(self.nodes):
            if number != but and node.is_alive:
                with suppress(RedisError, OSError):
                    if self.clients[number].execute_command("ROLE")[0] == "master":
                        return number
        return -1

    def fail_over_without_loss(self) -> None:
        """Let a replica take over as the runbook has it: nothing that was confirmed is lost."""
        before = self.primary()
        old = self.nodes[before].client()
        old.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        until(lambda: _are_even(old), "the replicas have all that the primary has")
        sentinel = self.sentinel_clients[0]
        until(lambda: sentinel.execute_command("SENTINEL", "FAILOVER", self.name), "it begins")
        named = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
        port = self.nodes[before].port
        until(lambda: int(sentinel.execute_command(*named)[1]) != port, "the new one is named")
        host, new_port = sentinel.execute_command(*named)
        with self.nodes[before].client() as other:
            other.execute_command("REPLICAOF", host, new_port)
            other.execute_command("CLIENT", "UNPAUSE")
        old.close()

    def _is_synced(self) -> bool:
        roles = [client.execute_command("ROLE") for client in self.clients[1:]]
        return all(role[3] == "connected" for role in roles)

    def _is_complete(self) -> bool:
        for client in self.sentinel_clients:
            found = client.sentinel_master(self.name)
            if found["num-other-sentinels"] != 2 or found["num-slaves"] != 2:
                return False
        return True


def _are_even(primary: Any) -> bool:
    found = primary.info("replication")
    replicas = [found[f"slave{number}"] for number in range(found["connected_slaves"])]
    return all(each["offset"] == found["master_repl_offset"] for each in replicas)


class Sentinel(Server):
    """A server program that runs as a sentinel; `config_args` are lines of its configuration."""

    @classmethod
    def that_knows(cls, engine: Engine, primary: Server, epoch: int) -> Self:
        """Start one that knows this primary since an epoch, and no other sentinel's word."""
        name = SentinelGroup.name
        return cls.start(
            engine,
            f"sentinel monitor {name} {primary.host} {primary.port} 9",
            f"sentinel config-epoch {name} {epoch}",
        )

    def _popen(self, stdout: Any) -> Any:
        path = self.directory / "sentinel.conf"
        lines = (
            *("bind 127.0.0.1", f"port {self.port}", f"unixsocket {self.socket_path}"),
            *(f"dir {self.directory}", "sentinel resolve-hostnames no"),
            *self._config_args,
        )
        path.write_text("\n".join(lines) + "\n")
        return popen([str(self._binary), str(path), "--sentinel"], stdout)
