"""What must be true after each script, and once all is healed, whatever happened before.

The judge executes the scripts, and compares what the server said before and after each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError
from runtime_records import Record, Records
from simulated_server import HALF, LEASE, SimulatedServer

from runbus.protocol.states import FINAL, MOVES, TYPES

if TYPE_CHECKING:
    from runtime_rules import Rules, Step
    from simulated_process import Process
    from simulated_wire import Call

    from runbus.store.connection.connection import Command

LONGEST_LOG = 25
UNATTENDED = {"Pending", "Scheduled", "Suspended"}


class Violation(AssertionError):
    """Something that must never be."""


class TakenUnderLease(Violation):
    """A run was taken while its owner's lease was there."""


class TakenTooSoon(Violation):
    """A run was taken before those who look had looked for a whole lease."""


class HealthyLost(Violation):
    """A process that did all that it should has lost a run."""


class OutageCounted(Violation):
    """A crash was counted, or a run called crashed, though its process lived and was well."""


class CrashMiscounted(Violation):
    """A crash was counted of a run that did not execute, or stays counted of one that lived."""


class StaleWrite(Violation):
    """A write of an older or closed epoch was accepted."""


class EpochReused(Violation):
    """Two executions of a run have one epoch."""


class EndDropped(Violation):
    """An end that was recorded was reported as dropped, or is another one now."""


class ForbiddenMove(Violation):
    """A state followed that the table does not allow."""


class IndexWrong(Violation):
    """An index does not say what the records say."""


class ExecutedTwice(Violation):
    """A process goes on with a run that another one executes, and is not told."""


class NotHealed(Violation):
    """A run stays with nobody, or a process with what is not its own."""


def is_final(run: Record) -> bool:
    """Whether a run has ended."""
    return TYPES[run["state_name"]] in FINAL


class Judge:
    """Who lets the server execute the calls, and looks what each has changed."""

    def __init__(
        self,
        rules: Rules,
        server: SimulatedServer,
        processes: dict[str, Process],
        looks_for: tuple[type[Violation], ...],
    ) -> None:
        """Only what it looks for is raised."""
        self.rules = rules
        self.server = server
        self.processes = processes
        self.run_ids: list[str] = []
        self.steps = 0
        self.log: list[str] = []
        """What happened, for people."""
        self.has_failed = False
        self._looks_for = looks_for
        self._lost: dict[tuple[str, str, str], int] = {}
        self.read_again()

    def fail(self, kind: type[Violation], message: str) -> None:
        """Tell a violation, if it is looked for."""
        if issubclass(kind, self._looks_for):
            self.has_failed = True
            raise kind("\n  ".join((message, "before that:", *self.log[-LONGEST_LOG:])))

    # --- Executing ---

    def execute(self, call: Call, command: Command) -> Any:
        """Let the server execute a command; judge what a script has done."""
        if command[0] != "EVALSHA":
            return self.server.ask(command)[0]
        self.steps += 1
        before = self.records
        reply, found = self.server.ask_and_copy(command, self._reading())
        if isinstance(reply, ResponseError):
            self.fail(ForbiddenMove, str(reply))
            return reply
        self.records = Records.read(found)
        step = self.rules.read(call, command, reply)
        if self.records != before:
            self.log.append(f"{step}")
        self._judge(step, before, self.records)
        return reply

    def read_again(self) -> None:
        """Read what has changed without a script."""
        self.records = Records.read(self.server.ask(self._reading())[0])
        for name, process in self.processes.items():
            for each in process.executions():
                held = (str(each.run_id), name, each.epoch)
                if self.records.holder(held[0]) == held[1:]:
                    self._lost.pop(held, None)
                else:
                    self._lost.setdefault(held, self.steps)

    def _reading(self) -> Command:
        return Records.command(self.rules, self.run_ids, list(self.processes))

    # --- Judging one script ---

    def _judge(self, step: Step, before: Records, after: Records) -> None:
        if after.pulse != before.pulse:
            self.server.truth.looks.append(self.server.now)
            if all(owner in before.leases for owner, _ in map(before.holder, before.runs)):
                self.fail(TakenTooSoon, f"{step}: the pulse moved, and no lease was missing")
        self._judge_write(step, before, after)
        for run_id in self.run_ids:
            if before.runs.get(run_id) != after.runs.get(run_id):
                self._judge_run(step, run_id, before, after)
        self._judge_indexes(step, after)

    def _judge_run(self, step: Step, run_id: str, before: Records, after: Records) -> None:
        was, now = before.runs.get(run_id, {}), after.runs[run_id]
        self._judge_move(step, was.get("state_name"), now["state_name"])
        held, holds = before.holder(run_id), after.holder(run_id)
        if holds != held and holds[0]:
            self._judge_gain(step, run_id, holds, after)
        if holds != held and held[0]:
            self._lost[run_id, *held] = self.steps
            self._judge_loss(step, run_id, held, before, now)
        count = self.rules.crashes
        if int(now.get(count, 0)) > int(was.get(count, 0)):
            if step.kind != "take" or was["state_name"] != "Running":
                self.fail(CrashMiscounted, f"{step}: of a run that was {was['state_name']}")
            self.server.truth.crashed.append((run_id, held[0]))

    def _judge_move(self, step: Step, was: str | None, now: str) -> None:
        allowed = {"Scheduled", "Running"} if was is None else {was, *MOVES[was]}
        if was == "Pending" and step.kind in {"end", "pause"}:
            allowed |= MOVES["Running"]  # who writes has begun by then
        if now not in allowed:
            self.fail(ForbiddenMove, f"{step}: {was} → {now}")

    def _judge_gain(self, step: Step, run_id: str, holds: tuple[str, str], after: Records) -> None:
        process, epoch = holds
        if step.kind not in {"create", "claim", "adopt"} or step.process != process:
            self.fail(StaleWrite, f"{step}: gives a run to {process}")
        if (run_id, epoch) in self.server.truth.epochs:
            self.fail(EpochReused, f"{step}: {epoch} of {run_id} began before")
        self.server.truth.epochs.add((run_id, epoch))
        if self.rules.has_pulse and process not in after.leases:
            self.fail(HealthyLost, f"{step}: {process} has a run and no lease")

    def _judge_loss(
        self, step: Step, run_id: str, held: tuple[str, str], before: Records, now: Record
    ) -> None:
        owner, epoch = held
        match step.kind:
            case "take":
                self._judge_take(step, run_id, held, before, now)
            case "release":
                if step.process != owner or self.processes[owner].executes(run_id, epoch):
                    self.fail(HealthyLost, f"{step}: {owner} executes {run_id}")
            case "end" | "pause" if (step.process, step.epoch) == held:
                pass
            case "move" if before.runs[run_id]["state_name"] in UNATTENDED:
                pass
            case "adopt":
                pass  # whoever executes the parent
            case _:
                self.fail(StaleWrite, f"{step}: {run_id} was {owner}'s, in {epoch}")

    def _judge_take(
        self, step: Step, run_id: str, held: tuple[str, str], before: Records, now: Record
    ) -> None:
        owner, epoch = held
        if owner in before.leases:
            self.fail(TakenUnderLease, f"{step}: {run_id} from {owner}")
        if self.rules.has_pulse and not self._pulse_stands():
            self.fail(TakenTooSoon, f"{step}: looks {self.server.truth.looks}")
        process = self.processes[owner]
        if process.is_well and process.explains(run_id, epoch):
            count = self.rules.crashes
            has_counted = now.get(count) != before.runs[run_id].get(count)
            if has_counted or now["state_name"] == "Crashed":
                self.fail(OutageCounted, f"{step}: {owner} lives, {run_id} is {now}")
            self.fail(HealthyLost, f"{step}: {owner} has done all that it should")

    def _pulse_stands(self) -> bool:
        start = now = self.server.now
        for at in reversed(self.server.truth.looks):
            if at > start or start - at >= HALF:
                break
            start = at
        return now - start >= LEASE

    def _judge_write(self, step: Step, before: Records, after: Records) -> None:
        if step.kind not in {"end", "pause"} or not step.epoch:
            return
        recorded, held = self.server.truth.recorded, before.holder(step.run_id)
        is_known, is_accepted = step.token in recorded, step.is_accepted
        was, now = before.runs.get(step.run_id, {}), after.runs.get(step.run_id, {})
        if is_known and is_accepted and was != now:
            self.fail(EndDropped, f"{step}: it has changed the run once more")
        elif is_known and not is_accepted and step.is_heard:
            self.fail(EndDropped, f"{step}: it was recorded before")
        elif is_accepted and not is_known:
            if held != (step.process, step.epoch) or is_final(was):
                self.fail(StaleWrite, f"{step}: {held} had the run")
            if now["state_name"] != step.state and was["state_name"] != "Cancelling":
                self.fail(EndDropped, f"{step}: the run is {now['state_name']}")
            recorded.add(step.token)

    # --- What is true at any time ---

    def _judge_indexes(self, step: Step, found: Records) -> None:
        if not self.rules.has_pulse:
            return
        runs = found.runs
        expected = {
            "executing": {
                self.rules.member(*(run["owner"], run_id, run["epoch"]))
                for run_id, run in runs.items()
                if "owner" in run
            },
            "scheduled": {i for i, run in runs.items() if run["state_name"] == "Scheduled"},
            "active": {i for i, run in runs.items() if not is_final(run)},
            "pending": {i for i, run in runs.items() if _is_waiting(run)},
        }
        for name, members in expected.items():
            if getattr(found, name) != members:
                self.fail(IndexWrong, f"{step}: {name} says {getattr(found, name)}, not {members}")

    def judge_round(self, process: Process, since: int) -> None:
        """Judge what a process executes after a reconciliation that began at a step."""
        for each in process.executions():
            run_id = str(each.run_id)
            lost_at = self._lost.get((run_id, process.name, each.epoch))
            holder = self.records.holder(run_id)
            if lost_at is None or lost_at > since or holder == (process.name, each.epoch):
                continue
            other = self.processes.get(holder[0])
            if other is not None and other.is_alive and other.executes(run_id, holder[1]):
                self.fail(ExecutedTwice, f"{process.name} and {other.name} execute {run_id}")
            self.fail(NotHealed, f"{process.name} is not told that {run_id} is not its own")

    def judge_healed(self) -> None:
        """Judge what is left when nothing is wrong any more."""
        for run_id, run in self.records.runs.items():
            self._judge_healed_run(run_id, run)
            dead = [o for i, o in self.server.truth.crashed if i == run_id and self._is_dead(o)]
            if not is_final(run) and int(run.get(self.rules.crashes, 0)) > len(dead):
                self.fail(CrashMiscounted, f"{run} counts crashes; dead are {dead}")
        for process in self.processes.values():
            for each in process.executions() if process.is_alive else ():
                if self.records.holder(str(each.run_id)) != (process.name, each.epoch):
                    self.fail(NotHealed, f"{process.name} executes {each.run_id}, {each.epoch}")

    def _is_dead(self, process: str) -> bool:
        return not self.processes[process].is_alive

    def _judge_healed_run(self, run_id: str, run: Record) -> None:
        state, owner = run["state_name"], run.get("owner")
        if owner is not None:
            process = self.processes[owner]
            if not process.is_alive or not process.executes(run_id, run["epoch"]):
                self.fail(NotHealed, f"{run_id} is held by {owner}, which does not know: {run}")
        elif not is_final(run) and state != "Scheduled" and not self._asks(run_id, run):
            self.fail(NotHealed, f"{run_id} waits for nothing: {run}")

    def _asks(self, run_id: str, run: Record) -> bool:
        return run["state_name"] == "Suspended" and run_id in self.records.pending


def _is_waiting(run: Record) -> bool:
    if "pause" in run:
        return run["asked"] == "pending"
    return run["state_name"] == "Suspended"
