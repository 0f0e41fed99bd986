"""The worlds: servers, how clients reach them, and what may go wrong there."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self

from clocks import ClockedServer
from clusters import SLOTS, Cluster, SentinelGroup, until
from proxy import Proxy
from redis.crc import key_slot
from redis.exceptions import RedisError
from servers import Server, ServerFailed

from chaos import faults
from chaos.checker import Promise

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random
    from uuid import UUID

    from redis import Redis
    from servers import Engine

    from chaos.faults import Fault


SYNC_SECONDS = 120.0
FAILOVER_SECONDS = 6.0
"""After how long without another primary the sentinels are asked again."""


def stream_of(run_id: UUID) -> str:
    return f"runbus:{{{run_id.hex[-2:]}}}:{run_id}:input:str"


class World:
    """Servers that things go wrong with."""

    levels: tuple[str, ...] = ("memory",)
    """The durability levels that are sent with."""
    promise = Promise()
    has_flows = True
    """Whether runs execute in it; a failover that loses entries may lose a run's state."""
    url = ""

    def __init__(self) -> None:
        self.stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def faults(self, rng: Random) -> list[Fault]:
        """What may go wrong, beside what happens to the parties."""
        raise NotImplementedError

    def entries(self, run_id: UUID) -> list[tuple[str, dict[str, str]]]:
        """What a run's stream holds, read around runbus."""
        raise NotImplementedError


class Single(World):
    """One server behind a proxy."""

    def __init__(self, engine: Engine, *, fsync: str = "no", options: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.server = self.stack.enter_context(self.start(engine, "--appendfsync", fsync, *options))
        self.proxy = self.stack.enter_context(Proxy(self.server.host, self.server.port))
        self.url = self.proxy.url
        if fsync == "always" or (fsync == "everysec" and engine == "valkey"):
            self.levels = ("memory", "fsync")

    def start(self, engine: Engine, *options: str) -> Server:
        return Server.start(engine, *options)

    def entries(self, run_id: UUID) -> list[tuple[str, dict[str, str]]]:
        with self.server.client() as client:
            return client.xrange(stream_of(run_id))


class BadConnections(Single):
    """One server whose network does its worst."""

    def faults(self, rng: Random) -> list[Fault]:
        return [
            faults.Cut(self.proxy),
            faults.LostReply(self.proxy),
            faults.LostReplies(self.proxy),
            faults.LateRequests(self.proxy),
            faults.SlowConnections(self.proxy, rng.uniform(0.02, 0.2)),
            faults.HalfOpen(self.proxy),
            faults.Refusal(self.proxy),
            faults.ClientKill(self.server),
            faults.ScriptFlush(self.server),
        ]


class BadServer(Single):
    """One server that dies, freezes and comes back."""

    def faults(self, rng: Random) -> list[Fault]:
        return [
            faults.KilledServer(self.server),
            faults.FrozenServer(self.server),
            faults.ClientKill(self.server),
            faults.ScriptFlush(self.server),
            faults.TooManyClients(self.server),
        ]


class FullServer(Single):
    """One server whose memory is full now and then: without runs, as those fail then."""

    has_flows = False

    def faults(self, rng: Random) -> list[Fault]:
        return [faults.FullMemory(self.server), faults.ClientKill(self.server)]


class JumpingClock(Single):
    """One server whose clock jumps to and fro."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)

    def start(self, engine: Engine, *options: str) -> Server:
        self.clock = ClockedServer.start(engine, *options)
        return self.clock

    def faults(self, rng: Random) -> list[Fault]:
        seconds = rng.choice((-7200, -60, -1, 1, 60, 7200))
        return [faults.ClockJump(self.clock, seconds)]


class Clustered(World):
    """Three primaries with a replica each; what is asked for is done without loss."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.cluster = self.stack.enter_context(Cluster(engine))
        self.url = self.cluster.url

    def faults(self, rng: Random) -> list[Fault]:
        slot = self.cluster.slot_of(rng.choice(self.runs))
        return [
            faults.Event("ClusterFailover", lambda: self._fail_over(slot)),
            faults.Event("SlotMove", lambda: self._move(slot)),
        ]

    runs: list[UUID]

    def _fail_over(self, slot: int) -> None:
        before = self.cluster.owner_of(slot)
        replica = until(lambda: 1 + self.cluster.replica_of(before), "a replica") - 1
        self.cluster.call(replica, "CLUSTER", "FAILOVER")
        until(lambda: self.cluster.owner_of(slot, but=before) >= 0, "the replica takes over")

    def _move(self, slot: int) -> None:
        source = self.cluster.owner_of(slot)
        others = (self.cluster.owner_of(each) for each in (1, 6000, 12000))
        target = next(each for each in others if each not in {source, -1})
        self.cluster.move_slot(slot, source, target, lambda: None)

    def entries(self, run_id: UUID) -> list[tuple[str, dict[str, str]]]:
        owner = until(lambda: 1 + self.cluster.owner_of(self.cluster.slot_of(run_id)), "owner") - 1
        return self.cluster.clients[owner].xrange(stream_of(run_id))


class Guarded(World):
    """A sentinel group: its failovers may lose what no replica has."""

    levels = ("memory", "replicated")
    promise = Promise(loses=frozenset({"memory"}), answers_may_get_lost=True, wake_seconds=12)
    has_flows = False

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.group = self.stack.enter_context(SentinelGroup(engine))
        self.url = self.group.url

    def faults(self, rng: Random) -> list[Fault]:
        return [
            faults.Event("SentinelFailover", self._fail_over),
            faults.KilledServer(self.group.nodes[self._primary()]),
            faults.FrozenServer(self.group.nodes[self._primary()]),
        ]

    def _primary(self) -> int:
        return until(lambda: 1 + self._undisputed(), "one primary") - 1

    def _undisputed(self) -> int:
        # A primary that comes back takes itself for one, until the sentinels tell it.
        named = {
            client.sentinel_get_master_addr_by_name(self.group.name)[1]
            for client in self.group.sentinel_clients
        }
        nodes = [number for number, node in enumerate(self.group.nodes) if node.is_alive]
        roles = [self.group.clients[number].execute_command("ROLE")[0] for number in nodes]
        if len(named) != 1 or roles.count("master") != 1:
            return -1
        number = nodes[roles.index("master")]
        return number if self.group.nodes[number].port in named else -1

    def _fail_over(self) -> None:
        before, asked_at = self._primary(), 0.0

        def look() -> int:
            nonlocal asked_at
            if time.monotonic() - asked_at > FAILOVER_SECONDS:  # one may be given up: then another
                asked_at = time.monotonic()
                with suppress(RedisError):  # it may have begun one by itself
                    client = self.group.sentinel_clients[0]
                    client.execute_command("SENTINEL", "FAILOVER", self.group.name)
            return 1 + self.group.primary(but=before)

        until(look, "a new primary")

    def entries(self, run_id: UUID) -> list[tuple[str, dict[str, str]]]:
        return self.group.clients[self._primary()].xrange(stream_of(run_id))


# --- Worlds of long-lived workers --------------------------------------------------------------


class LongLived(World):
    """A world whose faults last, and whose workers are killed rarely or never."""

    loses_runs = False
    """Whether the last writes may get lost, with runs that were started by them."""
    is_away_in_part = False
    """Whether what goes wrong goes wrong on one of several primaries."""

    def lasting_faults(self, rng: Random) -> list[Fault]:
        """What goes wrong until it is healed."""
        raise NotImplementedError

    def brief_faults(self) -> list[Fault]:
        """What is over at once, or is to be after a moment."""
        raise NotImplementedError

    def primaries(self) -> list[Redis]:
        """Return clients of all servers that have keys, each of others."""
        raise NotImplementedError

    def is_healthy(self, run_id: UUID, fault: Fault) -> bool:
        """Whether a fault leaves the primary of a run alone."""
        del run_id, fault
        return False

    def promotions(self) -> tuple[int, bool]:
        """How many promotions there were, and whether all replicas have what the primary has."""
        return 0, True


class LongOutages(LongLived, Single):
    """One server that is away, or refuses what it is asked, for longer than anybody waits."""

    def lasting_faults(self, rng: Random) -> list[Fault]:
        return [
            faults.FrozenServer(self.server),
            faults.KilledServer(self.server),
            faults.Refusal(self.proxy),
            faults.LostReplies(self.proxy),
            faults.TooManyClients(self.server),
            faults.FullMemory(self.server),
            faults.FailedSnapshot(self.server),
            faults.ReadOnly(self.server),
            faults.NoReplicas(self.server),
            faults.MissingRight(self.server, rng.choice(("evalsha", "@write"))),
        ]

    def brief_faults(self) -> list[Fault]:
        return [
            faults.Cut(self.proxy),
            faults.LostReply(self.proxy),
            faults.HalfOpen(self.proxy),
            faults.ClientKill(self.server),
            faults.ScriptFlush(self.server),
        ]

    def primaries(self) -> list[Redis]:
        return [self.server.client()]


class LostPromotions(LongLived, Guarded):
    """A sentinel group whose replicas miss the last writes, and are promoted."""

    loses_runs = True

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._watched = [node.client(socket_timeout=0.3) for node in self.group.nodes]

    def promotions(self) -> tuple[int, bool]:
        found = [each.sentinel_master(self.group.name) for each in self.group.sentinel_clients]
        epochs = {each["config-epoch"] for each in found}
        return max(epochs), len(epochs) == 1 and self._is_whole({each["port"] for each in found})

    def _is_whole(self, named: set[int]) -> bool:
        try:
            roles = [client.execute_command("ROLE") for client in self._watched]
        except (RedisError, OSError):
            return False
        primary = next((n for n, role in enumerate(roles) if role[0] == "master"), 0)
        replicas = [role for role in roles if role[0] == "slave" and role[3] == "connected"]
        return len(replicas) == 2 and named == {self.group.nodes[primary].port}

    def _primary(self) -> int:
        try:
            until(lambda: self.promotions()[1], "all replicas are in sync")
        except ServerFailed:
            self._follow_by_hand()
            until(lambda: self.promotions()[1], "all replicas are in sync", SYNC_SECONDS)
        return super()._primary()

    def _follow_by_hand(self) -> None:
        """Do what sentinels give up now and then: let the others follow who is named."""
        host, port = self.group.sentinel_clients[0].sentinel_get_master_addr_by_name(
            self.group.name
        )
        for node, client in zip(self.group.nodes, self._watched, strict=True):
            if node.port != port:
                with suppress(RedisError, OSError):
                    client.replicaof(host, port)

    def lasting_faults(self, rng: Random) -> list[Fault]:
        node = self.group.nodes[self._primary()]
        return [
            faults.KilledServer(node),
            faults.FrozenServer(node),
            LossyPromotion(self.group, self._primary(), rng.uniform(0.1, 0.7)),
        ]

    def brief_faults(self) -> list[Fault]:
        return [faults.Event("SentinelFailover", self._fail_over)]

    def primaries(self) -> list[Redis]:
        return [self.group.clients[self._primary()]]


class LossyPromotion:
    """The replicas hear nothing for a while; then the primary dies, and one of them takes over."""

    def __init__(self, group: SentinelGroup, number: int, seconds: float) -> None:
        self._group = group
        self._number = number
        self._seconds = seconds

    def begin(self) -> None:
        replicas = [n for number, n in enumerate(self._group.nodes) if number != self._number]
        for node in replicas:
            node.freeze()
        # What is written from now on goes to no socket of theirs.
        self._group.clients[self._number].execute_command("CLIENT", "KILL", "TYPE", "replica")
        time.sleep(self._seconds)
        self._group.nodes[self._number].kill()
        for node in replicas:
            node.thaw()
        until(lambda: 1 + self._group.primary(but=self._number), "a new primary")

    def heal(self) -> None:
        self._group.nodes[self._number].restart()


class AwayInPart(LongLived):
    """Three primaries, of which one is away for a while and nobody takes over."""

    is_away_in_part = True

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        options = ("--cluster-require-full-coverage", "no", "--cluster-replica-no-failover", "yes")
        self.cluster = self.stack.enter_context(Cluster(engine, *options))
        self.url = self.cluster.url

    def lasting_faults(self, rng: Random) -> list[Fault]:
        node = self.cluster.nodes[rng.randrange(3)]
        return [
            faults.FrozenServer(node),
            faults.KilledServer(node),
            faults.FullMemory(node),
            faults.FailedSnapshot(node),
        ]

    def brief_faults(self) -> list[Fault]:
        node = self.cluster.nodes[0]
        return [faults.ClientKill(node), faults.ScriptFlush(node)]

    def primaries(self) -> list[Redis]:
        return self.cluster.clients[:3]

    def is_healthy(self, run_id: UUID, fault: Fault) -> bool:
        server = getattr(fault, "server", None)
        number = self._number_of(run_id)
        return server is not None and server is not self.cluster.nodes[number]

    def _number_of(self, run_id: UUID) -> int:
        # As they were given out in the beginning: nothing moves here.
        slot = key_slot(run_id.hex[-2:].encode())
        return next(n for n in reversed(range(3)) if slot >= n * SLOTS // 3)


LONG_LIVED: dict[str, Callable[[], LongLived]] = {
    "long outages, valkey": lambda: LongOutages("valkey"),
    "long outages, redis": lambda: LongOutages("redis"),
    "lost promotions, valkey": lambda: LostPromotions("valkey"),
    "lost promotions, redis": lambda: LostPromotions("redis"),
    "away in part, valkey": lambda: AwayInPart("valkey"),
    "away in part, redis": lambda: AwayInPart("redis"),
}
WORLDS: dict[str, Callable[[], World]] = {
    "bad connections, valkey": lambda: BadConnections("valkey"),
    "bad connections, redis": lambda: BadConnections("redis"),
    "bad server, valkey": lambda: BadServer("valkey", fsync="everysec"),
    "bad server, redis": lambda: BadServer("redis", fsync="always"),
    "full server, valkey": lambda: FullServer("valkey", fsync="everysec"),
    "full server, redis": lambda: FullServer("redis"),
    "jumping clock": lambda: JumpingClock("valkey"),
    "cluster, valkey": lambda: Clustered("valkey"),
    "cluster, redis": lambda: Clustered("redis"),
    "sentinel, valkey": lambda: Guarded("valkey"),
    "sentinel, redis": lambda: Guarded("redis"),
}
