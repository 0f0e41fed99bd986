"""What a server says of runs: their records, the indexes, and who has a lease."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulated_server import TAG

if TYPE_CHECKING:
    from runtime_rules import Rules

Record = dict[str, str]
PREFIX = f"runbus:{{{TAG}}}:"
PAUSES = ("a", "b")
"""The keys of the pauses that runs open."""

READ = """
local prefix, lease = ARGV[1], ARGV[2]
local runs, leases, indexes = {}, {}, {}
for i = 5, 4 + ARGV[4] do
  local run = { asked = '' }
  local found = redis.call('HGETALL', prefix .. ARGV[i] .. ':run')
  for j = 1, #found, 2 do
    run[found[j]] = found[j + 1]
  end
  if run.pause then
    run.asked = redis.call('HGET', prefix .. ARGV[i] .. ':pause:' .. run.pause, 'state') or ''
  end
  if run.created then
    runs[ARGV[i]] = run
  end
end
for i = 5 + ARGV[4], #ARGV do
  leases[ARGV[i]] = redis.call('EXISTS', lease .. ARGV[i]) == 1
end
for _, name in ipairs({ 'executing', 'active', 'pending' }) do
  indexes[name] = redis.call('ZRANGE', prefix .. name, 0, -1)
end
indexes.scheduled = redis.call('ZRANGE', ARGV[3], 0, -1)
indexes.pulse = redis.call('HMGET', prefix .. 'pulse', 'since', 'last')
return cjson.encode({ runs = runs, leases = leases, indexes = indexes })
"""
"""One script for all, as all is read after each step."""


@dataclass(frozen=True)
class Records:
    """All that the server says at one moment."""

    runs: dict[str, Record]
    leases: set[str]
    """The processes that have one."""
    pulse: list[Any]
    executing: set[str]
    scheduled: set[str]
    active: set[str]
    pending: set[str]

    @staticmethod
    def command(rules: Rules, run_ids: list[str], processes: list[str]) -> tuple[Any, ...]:
        """Make the command that reads them."""
        lease = rules.lease_pattern.removesuffix("*")
        counted = (len(run_ids), *run_ids, *processes)
        return ("EVAL", READ, 0, PREFIX, lease, rules.scheduled, *counted)

    @classmethod
    def read(cls, reply: bytes) -> Records:
        """Read the reply."""
        found = json.loads(reply)
        indexes = found["indexes"]
        return cls(
            runs=dict(found["runs"]),
            leases={name for name, there in dict(found["leases"]).items() if there},
            pulse=list(indexes.pop("pulse")),
            **{name: set(members) for name, members in indexes.items()},
        )

    def holder(self, run_id: str) -> tuple[str, str]:
        """Who has a run, and in which epoch; nobody is an empty text."""
        run = self.runs.get(run_id, {})
        return run.get("owner", ""), run.get("epoch", "")
