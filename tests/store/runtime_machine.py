"""Processes that claim, renew, take, answer and end, in any order, while things go wrong.

Hypothesis draws what happens next: one call of a real script on a real server, or one fault.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from runtime_judge import Judge, Violation
from runtime_records import PAUSES
from simulated_process import DEPLOYMENT, Execution, Process
from simulated_server import LEASE, THIRD, SimulatedServer
from simulated_wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from redis import Connection
    from runtime_rules import Rules


MOST_PROCESSES = 5
MOST_RUNS = 3
MOST_AWAY = 2
"""How many units a process needs at most to come back after an outage."""
ENDS = ("Completed", "Failed", "Suspended", "Scheduled")
SEEDS = st.integers(0, 1 << 16)
ALL = 1000
HOW_FAR = st.sampled_from([ALL, ALL, 2, 1, 0])
"""How many calls of something are executed and answered at once: the others are on the wire."""


FAULTS = ("outage", "jump", "fail_over", "freeze", "kill", "end_lease", "lose")


def may(fault: str, also: Callable[[Any], bool] = lambda _: True) -> Any:
    """Let a rule be one of a fault that may happen, where `also` says so."""
    return precondition(lambda self: fault in self.faults and also(self))


class RuntimeMachine(RuleBasedStateMachine):
    """Some workers, a page, a few runs."""

    connection: ClassVar[Connection]
    rulebook: ClassVar[Rules]
    looks_for: ClassVar[tuple[type[Violation], ...]] = (Violation,)
    faults: ClassVar[frozenset[str]] = frozenset(FAULTS)
    """What may go wrong."""
    heals: ClassVar[bool] = True

    @initialize(workers=st.integers(2, 3), runs=st.integers(1, 2), data=st.data(), seed=SEEDS)
    def begin(self, workers: int, runs: int, data: st.DataObject, seed: int) -> None:
        """Start a few workers, and schedule a few runs."""
        has_replica = "fail_over" in self.faults and (
            len(self.faults) == 1 or data.draw(st.booleans())
        )
        self.server = SimulatedServer(
            self.connection, self.rulebook.lease_pattern, has_replica=has_replica
        )
        self.processes: dict[str, Process] = {}
        self.judge = Judge(self.rulebook, self.server, self.processes, self.looks_for)
        self.wire = Wire(self.judge.execute)
        self.random = random.Random(seed)
        self.page = self.add_process("page", is_worker=False)
        for _ in range(workers):
            self.add_worker()
        for _ in range(runs):
            self.create(self.page, {"deployment": DEPLOYMENT})

    def add_process(self, name: str, *, is_worker: bool) -> Process:
        process = self.rulebook.make_process(name, self.wire, self.clock, is_worker=is_worker)
        self.processes[name] = process
        return process

    def clock(self) -> int:
        return self.server.passed

    def add_worker(self) -> Process:
        return self.add_process(f"worker{len(self.processes)}", is_worker=True)

    # --- Choosing ---

    def choose(self, data: st.DataObject, items: list[Any]) -> Any:
        return items[data.draw(st.integers(0, len(items) - 1))]

    def living(self) -> list[Process]:
        """The workers that can do something now."""
        return [each for each in self.processes.values() if each.is_worker and each.can_act]

    def executing(self) -> list[Execution]:
        """What can be gone on with now."""
        return [e for each in self.living() for e in each.executions() if not e.is_busy]

    def run_ids(self) -> list[UUID]:
        return [UUID(each) for each in self.judge.run_ids]

    def say(self, *words: object) -> None:
        """Note what happens, for people."""
        self.judge.log.append(f"at {self.server.now}: {' '.join(map(str, words))}")

    def go(self, process: Process, work: Coroutine[Any, Any, Any], calls: int) -> None:
        task = self.wire.start(process, work)
        self.wire.finish(task, calls)

    # --- What processes do ---

    def create(self, process: Process, fields: dict[str, str]) -> None:
        run_id = UUID(int=(len(self.judge.run_ids) + 1) << 8)
        self.judge.run_ids.append(str(run_id))
        fields = {"flow": "flow", "name": "run", "parameters": "{}", **fields}
        self.go(process, process.create(run_id, fields), ALL)

    @precondition(lambda self: self.living() and len(self.judge.run_ids) < MOST_RUNS)
    @rule(data=st.data())
    def call_directly(self, data: st.DataObject) -> None:
        """Begin a run that has no deployment."""
        self.create(self.choose(data, self.living()), {})

    @precondition(lambda self: self.living())
    @rule(data=st.data(), calls=HOW_FAR)
    def claim(self, data: st.DataObject, calls: int) -> None:
        process = self.choose(data, self.living())
        scheduled = [UUID(each) for each in sorted(self.judge.records.scheduled)]
        run_id = self.choose(data, scheduled or self.run_ids())
        self.go(process, process.claim(run_id), calls)

    @precondition(lambda self: self.executing())
    @rule(data=st.data(), state=st.sampled_from(ENDS), calls=HOW_FAR)
    def end(self, data: st.DataObject, state: str, calls: int) -> None:
        execution = self.choose(data, self.executing())
        if execution.run.deployment_id is None and state not in {"Completed", "Failed"}:
            state = "Completed"
        self.go(execution.process, execution.process.end(execution, state), calls)

    @precondition(lambda self: self.executing() and self.rulebook.has_pulse)
    @rule(data=st.data(), calls=HOW_FAR)
    def retry(self, data: st.DataObject, calls: int) -> None:
        execution = self.choose(data, self.executing())
        self.go(execution.process, execution.process.retry(execution), calls)

    @precondition(lambda self: self.executing() and self.rulebook.has_pulse)
    @rule(
        data=st.data(),
        key=st.sampled_from(PAUSES),
        state=st.sampled_from(["Paused", "Suspended"]),
        units=st.sampled_from([None, 3, 20]),
        calls=HOW_FAR,
    )
    def pause(
        self, data: st.DataObject, key: str, state: str, units: int | None, calls: int
    ) -> None:
        execution = self.choose(data, self.executing())
        if execution.run.deployment_id is None:
            state = "Paused"
        process = execution.process
        self.go(process, process.pause(execution, key, state, units), calls)

    @precondition(lambda self: self.rulebook.has_pulse)
    @rule(
        data=st.data(),
        verb=st.sampled_from(["answer", "answer", "check", "cancel"]),
        calls=HOW_FAR,
    )
    def visit(self, data: st.DataObject, verb: str, calls: int) -> None:
        """Answer a run, ask for its owner, or cancel it, from a page."""
        work = getattr(self.page, verb)(self.choose(data, self.run_ids()))
        self.go(self.page, work, calls)

    @precondition(lambda self: self.living())
    @rule(data=st.data(), calls=HOW_FAR)
    def look(self, data: st.DataObject, calls: int) -> None:
        """Look for the dead."""
        process = self.choose(data, self.living())
        self.go(process, process.look(), calls)

    @precondition(lambda self: self.living() and self.rulebook.has_pulse)
    @rule(data=st.data(), calls=HOW_FAR)
    def expire(self, data: st.DataObject, calls: int) -> None:
        """End the pauses whose time is over."""
        process = self.choose(data, self.living())
        self.go(process, process.expire(), calls)

    @precondition(lambda self: self.living())
    @rule(data=st.data(), calls=HOW_FAR)
    def renew(self, data: st.DataObject, calls: int) -> None:
        self.renew_and_reconcile(self.choose(data, self.living()), calls)

    def renew_and_reconcile(self, process: Process, calls: int) -> None:
        self.go(process, self.renewal(process), ALL)
        if not process.is_reconciling:
            self.go(process, self.reconciliation(process), calls)

    async def renewal(self, process: Process) -> None:
        await process.renew()
        if not process.is_frozen:
            process.renewed_at, process.is_suspect, process.is_fresh = (
                self.clock(),
                False,
                True,
            )

    async def reconciliation(self, process: Process) -> None:
        process.is_reconciling = True
        since = self.judge.steps
        try:
            await process.reconcile()
        finally:
            process.is_reconciling = False
        self.judge.judge_round(process, since)

    # --- What becomes of calls ---

    def executable(self) -> list[Any]:
        calls = self.wire.calls
        return [each for each in calls if each.replies is None and not each.process.is_away]

    @precondition(lambda self: self.executable())
    @rule(data=st.data())
    def execute(self, data: st.DataObject) -> None:
        """Execute a call, be it heard or not."""
        self.wire.execute(self.choose(data, self.executable()))

    @precondition(lambda self: any(each.can_be_delivered for each in self.wire.calls))
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """Deliver a reply."""
        calls = [each for each in self.wire.calls if each.can_be_delivered]
        self.wire.deliver(self.choose(data, calls))

    @may("lose", lambda self: any(each.can_be_lost for each in self.wire.calls))
    @rule(data=st.data(), again=st.booleans())
    def lose(self, data: st.DataObject, again: bool) -> None:
        """Lose a reply; if the call was not executed, it may be later."""
        calls = [each for each in self.wire.calls if each.can_be_lost]
        call = self.choose(data, calls)
        self.say("lost:", call, "again" if again else "given up")
        self.wire.lose(call, again=again or call.must_be_repeated)

    # --- Time and faults ---

    @rule(units=st.sampled_from([1, 2, 4, 8, LEASE]), seed=SEEDS)
    def wait(self, units: int, seed: int) -> None:
        """Let time pass, while all who can do what they should."""
        rng, until = random.Random(seed), self.clock() + units
        while self.clock() < until:
            due = [each.due_at for each in self.processes.values() if each.can_act]
            self.pass_time(max(1, min([until, *due]) - self.clock()))
            processes = [each for each in self.processes.values() if each.is_alive]
            for process in rng.sample(processes, len(processes)):
                self.do_duties(process, rng)

    def pass_time(self, units: int) -> None:
        self.server.pass_time(units)
        self.judge.read_again()

    def do_duties(self, process: Process, rng: random.Random) -> None:
        if process.is_away and self.clock() >= process.away_until:
            process.is_away = False
        if not process.can_reach or self.clock() < process.due_at:
            return
        if self.clock() - process.renewed_at >= THIRD or not process.is_fresh:
            self.renew_and_reconcile(process, ALL if rng.random() < 0.8 else 0)
        for task in [task for task, owner in self.wire.tasks.items() if owner is process]:
            self.wire.finish(task, rng.choice([0, 1, ALL]))
        if process.is_worker and self.clock() - process.looked_at >= THIRD:
            looks = self.living() if self.rulebook.takes_turns else [process]
            for each in looks:
                each.looked_at = self.clock()
            self.go(process, process.look(), ALL)

    def is_calm(self) -> bool:
        """Whether all who can have renewed their leases since the last fault."""
        return all(
            each.is_fresh and not each.is_away and self.clock() - each.renewed_at <= THIRD
            for each in self.processes.values()
            if each.can_act
        )

    def upset(self, rng: random.Random) -> None:
        """Let everybody come back in their own time."""
        for each in self.processes.values():
            each.is_fresh = False
            each.away_until = self.clock() + rng.choice([0, 0, 1, MOST_AWAY])
            each.is_away = each.away_until > self.clock()
        self.judge.read_again()

    @may("outage", lambda self: self.is_calm())
    @rule(units=st.integers(1, 3 * LEASE), seed=SEEDS)
    def outage(self, units: int, seed: int) -> None:
        """Let the server be away, or everything asleep."""
        self.say("outage of", units)
        self.server.pass_time(units)
        self.upset(random.Random(seed))

    @may("jump", lambda self: self.rulebook.has_pulse and self.is_calm())
    @rule(units=st.integers(1 - 2 * LEASE, 2 * LEASE), seed=SEEDS)
    def jump(self, units: int, seed: int) -> None:
        """Set the server's clock."""
        self.say("clock jumps by", units)
        self.server.jump(units)
        self.upset(random.Random(seed))

    @may("fail_over", lambda self: self.is_calm() and self.server.can_fail_over)
    @rule(lost=st.integers(1, 8), seed=SEEDS)
    def fail_over(self, lost: int, seed: int) -> None:
        """Promote a replica that has missed the last writes."""
        for call in [each for each in self.wire.calls if each.is_heard and each.replies]:
            self.wire.lose(call, again=True)
        self.server.fail_over(lost)
        self.say("a replica without the last", lost, "writes is promoted")
        self.upset(random.Random(seed))

    @may("freeze", lambda self: self.living())
    @rule(data=st.data())
    def freeze(self, data: st.DataObject) -> None:
        process = self.choose(data, self.living())
        process.is_frozen = process.is_suspect = True
        self.say("frozen:", process.name)

    @precondition(lambda self: any(each.is_frozen for each in self.processes.values()))
    @rule(data=st.data())
    def thaw(self, data: st.DataObject) -> None:
        frozen = [each for each in self.processes.values() if each.is_frozen]
        process = self.choose(data, frozen)
        process.is_frozen = False
        self.say("thawed:", process.name)

    @may("kill", lambda self: len(self.living()) > 1)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        process = self.choose(data, self.living())
        process.is_alive = False
        self.say("killed:", process.name)
        self.wire.drop(process)

    @precondition(lambda self: "kill" in self.faults and len(self.processes) < MOST_PROCESSES)
    @rule()
    def start_another(self) -> None:
        self.add_worker()

    @may("end_lease", lambda self: self.living())
    @rule(data=st.data())
    def end_lease(self, data: st.DataObject) -> None:
        """Let a lease run out before its time."""
        process = self.choose(data, self.living())
        process.is_suspect = True
        self.say("lease ended:", process.name)
        self.server.end_lease(process.name)
        self.judge.read_again()

    # --- The end ---

    def teardown(self) -> None:
        """Let everything heal, and look what is left."""
        if not hasattr(self, "wire"):
            return
        try:
            if self.heals and not self.judge.has_failed:
                self.heal()
                self.judge.judge_healed()
        finally:
            self.wire.close()

    def heal(self) -> None:
        self.say("all heals")
        for process in self.processes.values():
            process.is_frozen = process.is_away = False
        self.drain()
        self.add_process("healer", is_worker=True)
        for _ in range(4 * LEASE // THIRD):
            self.pass_time(THIRD)
            for process in [each for each in self.processes.values() if each.is_alive]:
                self.renew_and_reconcile(process, ALL)
                self.drain()
            for process in self.living():
                self.go(process, process.look(), ALL)
        self.drain()

    def drain(self) -> None:
        """Execute and deliver all that is on its way, in any order."""
        while self.wire.calls:
            call = self.random.choice(self.wire.calls)
            self.wire.execute(call)
            if call.is_heard:
                self.wire.deliver(call)
