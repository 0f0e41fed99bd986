"""A real server in simulated trouble: time, outages, clocks that jump, replicas that missed writes.

Nothing sleeps. Time passes by ageing what the server keeps: leases, the pulse and deadlines come so
much nearer to their ends. A lease that has run out is ended by DEL. Between two such steps hardly
any real time passes, so a unit is long.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from redis import Connection

    from runbus.store.connection.connection import Command

UNIT_MS = 100_000
"""A twelfth of a lease. Whole examples are shorter (in real time)."""
LEASE = 12
HALF = LEASE // 2
THIRD = LEASE // 3
MOST_LOST = 3
"""How many units of writes a replica has missed at most."""
TAG = "00"


@dataclass
class Truth:
    """What has happened by the server's own word; a promoted replica has missed some of it."""

    looks: list[int] = field(default_factory=list)
    """When (units, the server's clock) a script has found that a lease was missing."""
    recorded: set[str] = field(default_factory=set)
    """The tokens of the ends that were accepted."""
    crashed: list[tuple[str, str]] = field(default_factory=list)
    """The runs of which a crash was counted, and of which process."""
    epochs: set[tuple[str, str]] = field(default_factory=set)
    """The epochs that have begun, each with its run."""


AGE = """
local ms, by_tag = ARGV[1], ARGV[3]
local function shift(key, ...)
  for _, field in ipairs({ ... }) do
    local value = tonumber(redis.call('HGET', key, field) or '')
    if value then
      redis.call('HSET', key, field, string.format('%d', value - ms))
    end
  end
end
for _, lease in ipairs(redis.call('KEYS', ARGV[2])) do
  local left = redis.call('PTTL', lease) - ms
  if left <= 0 then
    redis.call('DEL', lease)
  else
    redis.call('PEXPIRE', lease, left)
  end
end
shift(by_tag .. 'pulse', 'since', 'last')
for _, pause in ipairs(redis.call('KEYS', by_tag .. '*:pause:*')) do
  shift(pause, 'deadline')
end
for _, id in ipairs(redis.call('ZRANGE', by_tag .. 'pending', 0, -1)) do
  redis.call('ZINCRBY', by_tag .. 'pending', -ms, id)
end
"""
COPY = """
local copy = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  copy[#copy + 1] = { key, redis.call('PTTL', key), redis.call('DUMP', key) }
end
return copy
"""


@dataclass
class Copy:
    """All keys at one moment, as a replica may have them."""

    at: int
    """Units that had passed."""
    now: int
    """By the server's clock."""
    keys: list[tuple[bytes, int, bytes]]
    truth: Truth


class SimulatedServer:
    """The server, with its simulated clock."""

    def __init__(self, connection: Connection, lease_pattern: str, *, has_replica: bool) -> None:
        self.now = 0
        """Units by the server's own clock, which may jump."""
        self.passed = 0
        """Units that have passed."""
        self.truth = Truth()
        self._connection = connection
        self._lease_pattern = lease_pattern
        self._has_replica = has_replica
        self._copies: list[Copy] = []
        self.ask(("FLUSHDB",))

    def ask(self, *commands: Command) -> list[Any]:
        """Let the server execute commands; return the reply to each, or its error."""
        connection = self._connection
        connection.send_packed_command(connection.pack_commands(commands))
        return [_reply(connection) for _ in commands]

    # --- Time ---

    def pass_time(self, units: int) -> None:
        """Let so many units pass."""
        self.passed += units
        self.jump(units)

    def jump(self, units: int) -> None:
        """Set the clock forward; back, if there are fewer than none."""
        self.now += units
        self._age(units)

    def _age(self, units: int) -> None:
        by_tag = f"runbus:{{{TAG}}}:"
        self.ask(("EVAL", AGE, 0, units * UNIT_MS, self._lease_pattern, by_tag))

    def end_lease(self, process: str) -> None:
        """Let the lease of a process run out before its time."""
        self.ask(("DEL", self._lease_pattern.replace("*", process)))

    # --- Replicas ---

    def ask_and_copy(self, *commands: Command) -> list[Any]:
        """The same, after a replica has got all that there was before."""
        if not self._has_replica:
            return self.ask(*commands)
        truth = deepcopy(self.truth)
        keys, *replies = self.ask(("EVAL", COPY, 0), *commands)
        self._copies = [*self._recent()[-11:], Copy(self.passed, self.now, keys, truth)]
        return replies

    def _recent(self) -> list[Copy]:
        return [each for each in self._copies if self.passed - each.at <= MOST_LOST]

    @property
    def can_fail_over(self) -> bool:
        """Whether there is a replica that can have missed something."""
        return bool(self._recent())

    def fail_over(self, lost: int) -> None:
        """Promote a replica that has missed so many of the last writes."""
        copies = self._recent()
        copy = copies[-min(lost, len(copies))]
        self._copies.clear()
        keys = (("RESTORE", key, max(left, 0), dump) for key, left, dump in copy.keys)
        self.ask(("FLUSHDB",), *keys)
        self.truth = copy.truth
        self._age(self.now - copy.now)  # all that has passed since has passed for the copy too


def _reply(connection: Connection) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error
