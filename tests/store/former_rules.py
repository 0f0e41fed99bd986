"""The rules that were there before: the machine shows what was wrong with them.

A lease for all that a process has, epochs that count, and a recovery that reads the leases and then
takes one run after the other. The scripts are those of that time.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime_rules import Rules, Step
from simulated_process import DEPLOYMENT, LIFETIME_MS, Execution, Process
from simulated_server import LEASE, TAG, UNIT_MS

from runbus.protocol import states
from runbus.protocol.fields import read_fields
from runbus.protocol.records import read_flow_run

if TYPE_CHECKING:
    from uuid import UUID

    from simulated_wire import Call

    from runbus.store.connection.connection import Command

MAX_LOSSES = 3
LEASES = "runbus:lease:"
PREFIX = f"runbus:{{{TAG}}}:"
INDEXES = ("runs", "active", "pending", "ended", "events", "scheduled", "executing")
KEYS = {name: PREFIX + name for name in INDEXES}
_LUA = Path(__file__).parent / "former_lua"


def _source(name: str) -> str:
    return "\n".join((_LUA / f"{part}.lua").read_text("utf-8") for part in ("enter", name))


SOURCES = {name: _source(name) for name in ("create_run", "claim_run", "reclaim_run", "move_run")}
_SHAS = {name: sha1(text.encode()).hexdigest() for name, text in SOURCES.items()}
_NAMES = {sha: name for name, sha in _SHAS.items()}


class FormerProcess(Process):
    """A process as it was: it asks which of its runs it has when it was late to renew its lease."""

    def _prepare(self) -> None:
        self._held: dict[tuple[str, str], Execution] = {}
        self.expires_at = -1
        """When (units) its lease is overdue, as far as it knows."""

    def executions(self) -> list[Execution]:
        return list(self._held.values())

    def explains(self, run_id: str, epoch: str) -> bool:
        return (run_id, epoch) in self._held

    def discard(self, execution: Execution) -> None:
        self._held.pop((str(execution.run_id), execution.epoch), None)

    def _add(self, run_id: UUID, reply: Any) -> None:
        run = read_flow_run(run_id, read_fields(reply))
        if run is not None:
            self._held[str(run_id), run.epoch] = Execution(self, run)

    async def _call(self, name: str, *call: Any) -> Any:
        return await self.bus.commands.command("EVALSHA", _SHAS[name], *call)

    # --- Its duties ---

    async def renew(self) -> None:
        if self._held:
            await self._renew_lease()

    async def _renew_lease(self) -> None:
        was_overdue = self.clock() > self.expires_at
        asked_at = self.clock()
        key, ms = LEASES + self.name, LEASE * UNIT_MS
        await self.bus.commands.command("SET", key, ms, "PX", ms)
        if was_overdue:
            await self._find_lost()
        self.expires_at = asked_at + LEASE

    async def _find_lost(self) -> None:
        held = self.executions()
        replies = await self.bus.commands.together(
            *(("HGETALL", f"{PREFIX}{each.run_id}:run") for each in held)
        )
        for each, reply in zip(held, replies, strict=True):
            run = read_flow_run(each.run_id, read_fields(reply))
            if run is None or run.epoch != each.epoch or run.state.is_final():
                self.discard(each)

    async def reconcile(self) -> None:
        """There was no such thing."""

    async def look(self) -> None:
        """Read who has a lease, then take the runs of the others."""
        commands = self.bus.commands
        members = [
            each.decode().split()
            for each in await commands.command("ZRANGE", KEYS["executing"], 0, -1)
        ]
        owners = list(dict.fromkeys(owner for owner, _ in members))
        found = await commands.together(*(("GET", LEASES + owner) for owner in owners))
        gone = {owner for owner, value in zip(owners, found, strict=True) if value is None}
        for owner, run_id in members:
            if owner in gone:
                await self._take(owner, run_id)

    async def _take(self, owner: str, run_id: str) -> None:
        reply = await self._call(
            "reclaim_run",
            *(4, f"{PREFIX}{run_id}:run", KEYS["scheduled"], KEYS["executing"], KEYS["events"]),
            *(run_id, owner, LIFETIME_MS, MAX_LOSSES),
        )
        if reply == b"CRASHED":
            await self._move(run_id, "Crashed", states.before("Crashed"))

    # --- Its runs ---

    async def create(self, run_id: UUID, fields: dict[str, str]) -> None:
        owner = "" if "deployment" in fields else self.name
        if owner:
            await self._renew_lease()
        run, state = f"{PREFIX}{run_id}:", "Running" if owner else "Scheduled"
        reply = await self._call(
            "create_run",
            *(9, run + "run", run + "streams", run + "retried", KEYS["runs"], KEYS["active"]),
            *(KEYS["ended"], KEYS["events"], KEYS["scheduled"], KEYS["executing"]),
            *(str(run_id), run + "input:", LIFETIME_MS, state, states.TYPES[state], owner),
            *(part for field in fields.items() for part in field),
        )
        if owner:
            self._add(run_id, reply)

    async def claim(self, run_id: UUID) -> None:
        if self.clock() > self.expires_at:
            await self._renew_lease()
        reply = await self._call(
            "claim_run",
            *(4, f"{PREFIX}{run_id}:run", KEYS["scheduled"], KEYS["executing"], KEYS["events"]),
            *(str(run_id), self.name, LIFETIME_MS, secrets.token_hex(8), DEPLOYMENT),
        )
        self._add(run_id, reply)

    async def end(self, execution: Execution, state: str) -> None:
        execution.is_busy = True
        after = states.before(state)
        await self._move(str(execution.run_id), state, after, epoch=execution.epoch)
        self.discard(execution)

    async def _move(self, run_id: str, state: str, after: list[str], *, epoch: str = "") -> None:
        run = f"{PREFIX}{run_id}:"
        await self._call(
            "move_run",
            *(9, run + "run", run + "streams", KEYS["runs"], KEYS["active"], KEYS["pending"]),
            *(KEYS["ended"], KEYS["events"], KEYS["scheduled"], KEYS["executing"]),
            *(run_id, run, LIFETIME_MS, secrets.token_hex(8), f",{','.join(after)},"),
            *(state, states.TYPES[state], "", "", epoch, int(bool(epoch)), "", 0),
        )


@dataclass(frozen=True)
class FormerRules(Rules):
    """The rules of that time."""

    lease_pattern = LEASES + "*"
    scheduled = KEYS["scheduled"]
    crashes = "losses"
    has_pulse = False
    takes_turns = True
    make_process = FormerProcess

    def read(self, call: Call, command: Command, reply: Any) -> Step:
        name, argv = _NAMES[command[1]], [str(each) for each in command[3 + command[2] :]]
        verdict = reply.decode() if isinstance(reply, bytes) else ""
        about: dict[str, Any] = {"kind": name.removesuffix("_run")}
        if name == "reclaim_run" or (name == "move_run" and not argv[9]):
            about = {"kind": "take"}
        elif name == "move_run":
            about = {"kind": "end", "epoch": argv[9], "token": argv[3], "state": argv[5]}
        return Step(
            process=call.process.name,
            is_heard=call.is_heard,
            run_id=argv[0],
            verdict=verdict,
            **about,
        )
