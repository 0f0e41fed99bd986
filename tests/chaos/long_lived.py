"""A storm over long-lived workers: what goes wrong lasts, and nobody is killed to make it good.

The workers live from the beginning to the end. Where another kind of storm restarts them so often
that what they left undone is recovered, here it would stay undone, and is found.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import socket
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from chaos import faults
from chaos.history import History, Recorder, by_kind
from chaos.long_lived_flows import KINDS, Question
from chaos.parties import Party
from chaos.remains import executing, leases, read_runs, waiting_for_workers
from chaos.run_checker import FINAL, Figures, Terms, check_runs
from runbus import get_client, run_deployment, send_input
from runbus.errors import RunbusError, RunFinished
from runbus.flow_runs import aresume_flow_run
from runbus.settings import temporary_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaos.checker import Verdict
    from chaos.faults import Fault
    from chaos.worlds import LongLived

WORKERS = 3
LIMIT = 8
LEASE_SECONDS = 2.0
SETTINGS: dict[str, Any] = {
    "reply_timeout_seconds": 1,
    "connect_timeout_seconds": 1,
    "retry_seconds": 3,
    "lease_seconds": LEASE_SECONDS,
}
DURATIONS = ((0.2, 1.5), (2.2, 2.8), (4.0, 8.0))
"""In seconds: shorter than a lease, than a retry, and longer than both."""
KILLING = 0.25
"""In how many storms workers are killed at all."""
CALM_SECONDS = 60.0
FRESH_SECONDS = 0.05
BUSY_SECONDS = 0.3
FRESH_TRIALS = 20
ROUND_TRIPS = 3
"""To start a run, to claim it, and to say that it began: on a busy machine each waits its turn."""
ENDED = 1000
"""More inputs than a conversation gets: it has ended."""
DUTIES = {
    *("claims", "deadlines", "deployments' records", "hints", "index repair", "recovery"),
    *("sweep", "worker's record"),
}


@dataclass
class LongLivedStorm:
    """One storm in one world. `say` gets a line about each fault."""

    world: LongLived
    seed: int
    seconds: float
    say: Callable[[str], None] = lambda _: None
    kills: bool | None = None
    """Whether a worker is killed now and then, and another one takes its place; None: rarely."""
    keeps: bool = False
    """Whether what was written down is left, to be read."""
    faults_made: list[str] = field(default_factory=list[str])
    figures: Figures = field(default_factory=Figures)
    _runs: dict[UUID, str] = field(default_factory=dict[UUID, str])
    _deck: set[str] = field(default_factory=set[str])
    _fault: Fault | None = None
    _violations: list[str] = field(default_factory=list[str])

    async def rage(self) -> Verdict:
        """Let it rage for its time, then wait for calm and check what is so then."""
        self._directory = Path(tempfile.mkdtemp(prefix="runbus-chaos-"))
        if self.keeps:
            self.say(f"{self._directory}\n")
        with ExitStack() as stack:
            if not self.keeps:
                stack.callback(shutil.rmtree, self._directory, ignore_errors=True)
            stack.enter_context(temporary_settings(url=self.world.url, **SETTINGS))
            self._rng = random.Random(self.seed)
            if self.kills is None:
                self.kills = self._rng.random() < KILLING
            self._recorder = Recorder(self._directory, "storm")
            self._history = History(self._directory)
            self._ports = [_free_port() for _ in range(WORKERS)]
            self._parties = [
                stack.enter_context(closing(self._start(number))) for number in range(WORKERS)
            ]
            return await self._rage()

    def _start(self, number: int) -> Party:
        settings = {f"RUNBUS_{name.upper()}": str(value) for name, value in SETTINGS.items()}
        environment = {
            **settings,
            "RUNBUS_URL": self.world.url,
            "RUNBUS_METRICS_PORT": str(self._ports[number]),
            "CHAOS_LIMIT": str(LIMIT),
        }
        return Party("long-lived", self._directory, f"worker{number}", [], environment)

    async def _rage(self) -> Verdict:
        await asyncio.gather(*(self._begin_fresh(each.name) for each in self._parties))
        is_over = asyncio.Event()
        beside = [
            asyncio.create_task(work)
            for work in (
                *(self._start_runs(is_over), self._answer_runs(), self._talk_to_runs()),
                self._watch_promotions(),
            )
        ]
        ends = time.monotonic() + self.seconds
        while time.monotonic() < ends:
            await self._make_fault()
            await asyncio.sleep(self._rng.uniform(0.2, 2))
        is_over.set()
        await beside.pop(0)
        await self._wait_for_ends()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await self._check_calm()
        await self._check_remains()
        return self._verdict()

    def _verdict(self) -> Verdict:
        terms = Terms(lease_seconds=LEASE_SECONDS, loses_runs=self.world.loses_runs)
        verdict, self.figures = check_runs(self._history.grow(), terms)
        verdict.violations += self._violations
        verdict.violations += filter(None, (party.failure() for party in self._parties))
        return verdict

    # --- Faults ---

    async def _make_fault(self) -> None:
        fault, seconds = await asyncio.to_thread(self._next_fault)  # it may look for a primary
        number, name = len(self.faults_made), faults.name_of(fault)
        party = fault.party.process_name if hasattr(fault, "party") else ""
        self.faults_made.append(f"{name}({seconds:.1f})")
        self._recorder.note("begun", fault=number, name=name, party=party)
        self._fault = fault
        await asyncio.to_thread(fault.begin)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(fault.heal)
        self._fault = None
        self._recorder.note("healed", fault=number)
        self.say(self.faults_made[-1])

    def _next_fault(self) -> tuple[Fault, float]:
        # Each kind once, in any order, before any comes again.
        party = self._rng.choice(self._parties)
        lasting = [*self.world.lasting_faults(self._rng), faults.FrozenParty(party)]
        if self.kills:
            lasting.append(faults.KilledParty(party))
        brief = {faults.name_of(fault): fault for fault in self.world.brief_faults()}
        possible = {faults.name_of(fault): fault for fault in lasting} | brief
        rare = [name for name in possible if name not in self._deck]
        if not rare:
            self._deck.clear()
        name = self._rng.choice(rare or list(possible))
        self._deck.add(name)
        seconds = 0.2 if name in brief else self._rng.uniform(*self._rng.choice(DURATIONS))
        return possible[name], seconds

    async def _watch_promotions(self) -> None:
        last = 0
        while self.world.loses_runs:
            began = time.monotonic()
            count, is_whole = await asyncio.to_thread(self.world.promotions)
            if count != last:
                self._recorder.note("promoted", number=count)
            elif is_whole:
                self._recorder.note("whole", since=began)
            last = count
            await asyncio.sleep(0.2)

    # --- Runs ---

    async def _start_runs(self, is_over: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            number = 0
            while not is_over.is_set():
                group.create_task(self._start_run(KINDS[number % len(KINDS)], number))
                number += 1
                await asyncio.sleep(self._rng.uniform(0.1, 0.3))

    async def _start_run(self, kind: str, number: int) -> None:
        dozes = kind in {"doze", "sync-doze", "stumble", "start-child"}
        given = {"seconds": self._rng.uniform(0.05, 3)} if dozes else {}
        key = f"{self.seed} {number}"
        while True:
            began, before = time.monotonic(), self._fault
            try:
                run = await run_deployment(f"{kind}/x", given, timeout=0, idempotency_key=key)
            except RunbusError:
                await asyncio.sleep(0.2)
                continue
            self._note_started(run.id, kind, began, before)
            return

    def _note_started(self, run_id: UUID, kind: str, began: float, before: Fault | None) -> None:
        fault = self._fault
        is_healthy = fault is not None and fault is before and self.world.is_healthy(run_id, fault)
        self._runs[run_id] = kind
        self._recorder.note("started", run=str(run_id), name=kind, began=began, healthy=is_healthy)

    async def _answer_runs(self) -> None:
        while True:
            try:
                waiting = await get_client().read_waiting(limit=200)
            except RunbusError:
                waiting = []
            answers = (
                self._answer(each.run.id, each.pause.key)
                for each in waiting
                if each.pause is not None and self._rng.random() < 0.3
            )
            await asyncio.gather(*answers)
            await asyncio.sleep(0.2)

    async def _answer(self, run_id: UUID, key: str) -> None:
        answer = f"{key}-{self._rng.getrandbits(48):x}"
        what = {"answer": answer, "pause": f"{run_id} {key}"}
        self._recorder.note("answering", **what)
        try:
            await aresume_flow_run(run_id, {"answer": answer})
        except RunbusError as error:
            self._recorder.note("rejected", error=type(error).__name__, **what)
        else:
            self._recorder.note("accepted", **what)

    async def _talk_to_runs(self) -> None:
        talked: dict[UUID, int] = {}
        while True:
            for run_id, kind in list(self._runs.items()):
                if kind == "converse" and talked.get(run_id, 0) < ENDED:
                    await self._talk(run_id, talked)
            await asyncio.sleep(0.3)

    async def _talk(self, run_id: UUID, talked: dict[UUID, int]) -> None:
        number = talked.setdefault(run_id, 0)
        text = "hello" if number < 2 else "end"
        try:
            await send_input(Question(text=text), run_id, sender=str(uuid4()), key=f"{number}")
        except RunbusError as error:
            # Its end may get lost, or be known to a former primary only.
            if isinstance(error, RunFinished) and not self.world.loses_runs:
                talked[run_id] = ENDED
        else:
            talked[run_id] = number + 1

    # --- The end ---

    async def _wait_for_ends(self) -> None:
        deadline = time.monotonic() + CALM_SECONDS
        while time.monotonic() < deadline:
            if not await asyncio.to_thread(self._unended):
                break
            await asyncio.sleep(0.2)
        for run_id, record in (await asyncio.to_thread(read_runs, self.world.primaries())).items():
            self._recorder.note(
                "found",
                run=run_id,
                state=record["state_name"],
                message=record.get("message", ""),
                result=record.get("result", "").strip('"'),
                flow=record["flow"],
                parent=record.get("parent", ""),
            )

    def _unended(self) -> bool:
        found = read_runs(self.world.primaries())
        return any(record["state_name"] not in FINAL for record in found.values())

    async def _check_calm(self) -> None:
        for party, port in zip(self._parties, self._ports, strict=True):
            await self._check_ready(party.name, port)
            bare, times = list[float](), list[float]()
            for _ in range(FRESH_TRIALS):
                bare.append(await asyncio.to_thread(self._round_trips))
                times.append(await self._begin_fresh(party.name))
                self._recorder.note("fresh", seconds=times[-1])
            # Beside others on a busy machine; without hints, half of them would wait for a sweep.
            late = median(bare)
            if min(times) > FRESH_SECONDS + late or median(times) > BUSY_SECONDS + late:
                shown = " ".join(f"{seconds:.3f}" for seconds in times)
                self._violations.append(f"fresh runs of {party.name} began after {shown} s")
        await self._check_places()

    async def _check_ready(self, name: str, port: int) -> None:
        status, text = await asyncio.to_thread(_read_page, f"http://127.0.0.1:{port}/readyz")
        missing = {duty for duty in DUTIES if f"{duty}:" not in text}
        if status != 200 or missing:
            self._violations.append(f"{name} is not ready: {status} {text} {missing or ''}")

    def _round_trips(self) -> float:
        """Return how long (seconds) bare commands take, of as many turns as a run has to begin."""
        client = self.world.primaries()[0]
        client.ping()  # which connects
        began = time.monotonic()
        for _ in range(ROUND_TRIPS):
            client.ping()
        return time.monotonic() - began

    async def _begin_fresh(self, name: str) -> float:
        """Start a run that only one worker serves; return after how many seconds it began."""
        began, run_id = time.monotonic(), None
        deadline = began + CALM_SECONDS
        while time.monotonic() < deadline:
            try:
                if run_id is None:
                    began = time.monotonic()
                    run_id = (await run_deployment(f"fresh/{name}", timeout=0)).id
            except RunbusError:
                await asyncio.sleep(0.05)
                continue
            for event in by_kind(self._history.grow()).get("executing", ()):
                if event["run"] == str(run_id):
                    return event.time - began
            await asyncio.sleep(0.005)
        return CALM_SECONDS

    async def _check_places(self) -> None:
        """Let all workers execute as many runs at once as they have places for."""
        count = WORKERS * LIMIT
        started = [
            (await run_deployment("doze/x", {"seconds": 4}, timeout=0)).id for _ in range(count)
        ]
        wanted, deadline = set(map(str, started)), time.monotonic() + 3.5
        most = 0
        while most < count and time.monotonic() < deadline:
            kinds = by_kind(self._history.grow())
            begun = {event["run"] for event in kinds["executing"]} & wanted
            most = max(most, len(begun - {event["run"] for event in kinds["executed"]}))
            await asyncio.sleep(0.1)
        if most < count:
            self._violations.append(f"of {count} places {most} are used")
        await self._until(lambda: not self._unended())

    async def _check_remains(self) -> None:
        servers = self.world.primaries()
        alive = {worker.process for worker in await get_client().read_workers()}
        if len(alive) != WORKERS:
            self._violations.append(f"{len(alive)} workers are registered")
        for process in leases(servers) - alive:
            self._violations.append(f"{process} has a lease and is no worker")
        codes = await asyncio.gather(*(asyncio.to_thread(each.end) for each in self._parties))
        if any(codes):
            self._violations.append(f"the workers ended with {codes}")
        for name, read in (
            ("a lease is left", leases),
            ("a process is said to execute", executing),
            ("a run is said to wait for a worker", waiting_for_workers),
        ):
            await self._until(lambda read=read: not read(servers), seconds=2 * LEASE_SECONDS)
            if left := read(servers):
                self._violations.append(f"{name}: {sorted(left)[:5]}")

    async def _until(self, is_so: Callable[[], bool], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not await asyncio.to_thread(is_so) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _read_page(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as page:
            return page.status, page.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)
