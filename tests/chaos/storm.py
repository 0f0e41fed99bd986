"""A storm: parties at work in a world where faults come and go, and the verdict afterwards."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from chaos import faults
from chaos.checker import Verdict, check
from chaos.history import History, Recorder, by_kind
from chaos.parties import Party
from runbus import get_client, run_deployment
from runbus.errors import AlreadyAnswered, DeploymentMissing, NotPaused, RunbusError
from runbus.flow_runs import aresume_flow_run
from runbus.settings import temporary_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaos.faults import Fault
    from chaos.worlds import World

RUNS = 3
CALM_SECONDS = 45.0
SETTINGS: dict[str, Any] = {
    "reply_timeout_seconds": 1,
    "connect_timeout_seconds": 1,
    "retry_seconds": 60,
    "lease_seconds": 1.5,
    "durability_timeout_seconds": 5,
}


@dataclass
class Storm:
    """One storm in one world. `say` gets a line about each fault."""

    world: World
    seed: int
    seconds: float
    say: Callable[[str], None] = lambda _: None
    faults_made: list[str] = field(default_factory=list[str])
    _deck: set[str] = field(default_factory=set[str])
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    async def rage(self) -> Verdict:
        """Let it rage for its time, then wait for calm and check what was written down."""
        directory = Path(tempfile.mkdtemp(prefix="runbus-chaos-"))
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            stack.enter_context(temporary_settings(url=self.world.url, **SETTINGS))
            self._rng = random.Random(self.seed)
            self._recorder, self._history = Recorder(directory, "storm"), History(directory)
            self._runs = self._some_runs()
            self.world.runs = self._runs
            self._parties = [
                stack.enter_context(_closing(party)) for party in self._start(directory)
            ]
            return await self._rage()

    async def _rage(self) -> Verdict:
        await self._until(lambda: self._has_seen("received"), "a first input")
        ends = time.monotonic() + self.seconds
        dialogues = asyncio.create_task(self._hold_dialogues())
        if self.world.has_flows:
            await self._until(lambda: self._has_seen("accepted"), "a first answer")
            ends = time.monotonic() + self.seconds
        while time.monotonic() < ends:
            await self._make_fault()
            await asyncio.sleep(self._rng.uniform(0.1, 0.8))
        self.is_over.set()
        await dialogues
        for party in self._parties:
            if party.role == "sender":
                await asyncio.to_thread(party.end)
        await self._dump()
        verdict = check(self._history.grow(), self.world.promise)
        verdict.violations += filter(None, (party.failure() for party in self._parties))
        return verdict

    def _has_seen(self, kind: str) -> bool:
        return kind in by_kind(self._history.grow())

    async def _make_fault(self) -> None:
        fault = self._next_fault()
        number, name = len(self.faults_made), faults.name_of(fault)
        self.faults_made.append(name)
        self._recorder.note("begun", fault=number)
        await asyncio.to_thread(fault.begin)
        await asyncio.sleep(self._rng.uniform(0.2, 1.5))
        await asyncio.to_thread(fault.heal)
        self._recorder.note("healed", fault=number)
        self.say(name)

    def _next_fault(self) -> Fault:
        # Each kind once, in any order, before any comes again.
        possible = {faults.name_of(fault): fault for fault in self._possible_faults()}
        rare = [name for name in possible if name not in self._deck]
        if not rare:
            self._deck.clear()
        name = self._rng.choice(rare or list(possible))
        self._deck.add(name)
        return possible[name]

    def _possible_faults(self) -> list[Fault]:
        some_party = self._rng.choice(self._parties)
        return [
            *self.world.faults(self._rng),
            faults.FrozenParty(some_party),
            faults.KilledParty(some_party),
        ]

    # --- Parties ---

    def _some_runs(self) -> list[UUID]:
        return [UUID(int=self._rng.getrandbits(128), version=4) for _ in range(RUNS)]

    def _start(self, directory: Path) -> list[Party]:
        settings = {f"RUNBUS_{name.upper()}": str(value) for name, value in SETTINGS.items()}
        environment = {
            **settings,
            "RUNBUS_URL": self.world.url,
            "CHAOS_LEVELS": " ".join(self.world.levels),
        }
        names = ["sender", "receiver"] + ["worker"] * (2 if self.world.has_flows else 0)
        return [
            Party(name, directory, f"{name}{number}", self._runs, environment)
            for number, name in enumerate(names)
        ]

    # --- Dialogues: runs of a flow that are answered, each pause by two at once ---

    async def _hold_dialogues(self) -> None:
        async with asyncio.TaskGroup() as group:
            number = 0
            while self.world.has_flows and not self.is_over.is_set():
                group.create_task(self._hold_dialogue(number))
                number += 1
                await asyncio.sleep(0.7)

    async def _hold_dialogue(self, number: int) -> None:
        run_id = None
        key = f"dialogue {self.seed} {number}"
        while run_id is None:
            try:
                run = await run_deployment("dialogue/x", timeout=0, idempotency_key=key)
                run_id = run.id
            except (DeploymentMissing, RunbusError):
                await asyncio.sleep(0.2)
        deadline = time.monotonic() + self.seconds + CALM_SECONDS
        while True:
            run = await get_client().read_flow_run(run_id)
            if run.state.is_final() or time.monotonic() > deadline:
                state, message = run.state.name, run.state.message
                self._recorder.note("ended", run=str(run_id), state=state, message=message)
                return
            if run.pause is not None:
                await asyncio.gather(*(self._answer(run_id, run.pause, who) for who in "ab"))
            await asyncio.sleep(0.15)

    async def _answer(self, run_id: UUID, key: str, who: str) -> None:
        answer = f"{key}-{who}-{self._rng.getrandbits(48):x}"
        what = {"answer": answer, "pause": f"{run_id} {key}"}
        self._recorder.note("answering", **what)
        try:
            await aresume_flow_run(run_id, {"answer": answer}, by=who)
        except (AlreadyAnswered, NotPaused, RunbusError) as error:
            self._recorder.note("rejected", error=type(error).__name__, **what)
        else:
            self._recorder.note("accepted", **what)

    # --- The end ---

    async def _dump(self) -> None:
        for run_id in self._runs:
            entries = await asyncio.to_thread(self.world.entries, run_id)
            for entry_id, fields in entries:
                name = fields["value"].strip('"')
                self._recorder.note("stored", input=name, stream=str(run_id), entry=entry_id)
            await self._until(
                lambda e=entries, r=run_id: self._has_all(str(r), e), "", gives_up=True
            )

    def _has_all(self, stream: str, entries: list[Any]) -> bool:
        got = [
            x for x in by_kind(self._history.grow()).get("received", []) if x["stream"] == stream
        ]
        if not got or not entries:
            return not entries
        last = got[-1]["receiver"]
        seen = {event["input"] for event in got if event["receiver"] == last}
        return all(fields["value"].strip('"') in seen for _, fields in entries)

    async def _until(self, found: Callable[[], Any], what: str, *, gives_up: bool = False) -> None:
        deadline = time.monotonic() + CALM_SECONDS
        while not found():
            if time.monotonic() > deadline:
                if gives_up:
                    return  # the checker says what is missing
                raise TimeoutError(what)
            await asyncio.sleep(0.05)


class _closing:
    def __init__(self, party: Party) -> None:
        self._party = party

    def __enter__(self) -> Party:
        return self._party

    def __exit__(self, *_: object) -> None:
        self._party.close()
