"""Holdings: which runs a process has, by its own knowledge.

Three kinds: executions; ends that are to be recorded; and intents, for a claim or the like whose
reply has not been handled. What the server says that the process executes is compared with them.

Any thread may ask and tell.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from runbus.protocol.keys import tag
from runbus.store.maintenance.boot_clock import boot_time

if TYPE_CHECKING:
    from collections.abc import Generator
    from uuid import UUID

    from runbus.store.maintenance.kept_ends import KeptEnd

RECENT_LEASES = 10
"""For how many leases a tag is looked at after something was held or asked for there."""
MOST_RECORDED = 10_000
MOST_RECORDED_BYTES = 16 * 1024 * 1024
"""How many recorded ends, and of how many bytes, are kept in case a failover loses them."""

Held = tuple["UUID", str]
"""A run and the epoch in which it is held."""


class Execution(Protocol):
    """A run that this process executes."""

    @property
    def run_id(self) -> UUID: ...
    @property
    def epoch(self) -> str: ...
    @property
    def is_waiting(self) -> bool: ...
    @property
    def is_abandoned(self) -> bool: ...
    @property
    def interrupt(self) -> BaseException | None: ...
    def end(self, interrupt: BaseException) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What is held of one tag at one moment."""

    executions: dict[Held, Execution]
    ends: frozenset[Held]
    intents: frozenset[UUID]

    def explains(self, held: Held) -> bool:
        """Whether this process knows why the server says that it has the run."""
        return held in self.executions or held in self.ends or held[0] in self.intents


class Holdings:
    """The runs that this process has on one server."""

    def __init__(self, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._lock = Lock()
        self._executions: dict[str, dict[Held, Execution]] = {}
        self._intents: dict[str, UUID] = {}
        self._ends: dict[str, KeptEnd] = {}
        self._recorded: OrderedDict[Held, tuple[float, KeptEnd]] = OrderedDict()
        self._recorded_bytes = 0
        self._losses: dict[Held, None] = {}
        self._tags: dict[str, float] = {}

    @contextmanager
    def intent(self, run_id: UUID) -> Generator[str]:
        """Be about to have a run, in the block. Yield the digits of the epoch that may begin."""
        digits = secrets.token_hex(4)
        with self._lock:
            self._intents[digits] = run_id
            self._tags[tag(run_id)] = boot_time()
        try:
            yield digits
        finally:
            with self._lock:
                del self._intents[digits]

    def add(self, execution: Execution) -> None:
        """Execute a run."""
        with self._lock:
            of_tag = self._executions.setdefault(tag(execution.run_id), {})
            of_tag[execution.run_id, execution.epoch] = execution

    def discard(self, execution: Execution) -> None:
        """Execute a run no more."""
        with self._lock:
            of_tag = self._executions.get(tag(execution.run_id), {})
            if of_tag.get((execution.run_id, execution.epoch)) is execution:
                del of_tag[execution.run_id, execution.epoch]
            self._tags[tag(execution.run_id)] = boot_time()

    def executions(self) -> list[Execution]:
        """Return the runs that are executed."""
        with self._lock:
            return [each for of_tag in self._executions.values() for each in of_tag.values()]

    def drop_abandoned(self) -> None:
        """Execute those runs no more that nothing can go on with, or end, in this process."""
        for execution in self.executions():
            if execution.is_abandoned:
                self.discard(execution)

    def note_loss(self, held: Held) -> None:
        """Have lost a run to another process; the server is yet to hear that this one lives."""
        with self._lock:
            while len(self._losses) >= MOST_RECORDED:
                del self._losses[next(iter(self._losses))]
            self._losses[held] = None
            self._tags[tag(held[0])] = boot_time()

    def losses(self, tag_: str) -> list[Held]:
        """Return the runs of a tag that were lost, and of which the server has not heard that."""
        with self._lock:
            return [held for held in self._losses if tag(held[0]) == tag_]

    def forget_loss(self, held: Held) -> None:
        """Take note that the server has heard it."""
        with self._lock:
            self._losses.pop(held, None)

    def keep(self, end: KeptEnd) -> None:
        """Have an end that is to be recorded."""
        with self._lock:
            self._ends[end.ending.token] = end

    def settle(self, end: KeptEnd) -> None:
        """Take note that an end was recorded, or that another epoch has dropped it."""
        with self._lock:
            self._ends.pop(end.ending.token, None)
            self._tags[tag(end.ending.run_id)] = boot_time()
            is_recorded = end.recorded.result(0) is not None
            if is_recorded and end.ending.retry is None:  # else the execution goes on
                self._remember(end)

    def kept_ends(self) -> list[KeptEnd]:
        """Return the ends that are to be recorded."""
        with self._lock:
            return list(self._ends.values())

    def recorded_end(self, held: Held) -> KeptEnd | None:
        """Return the end of an execution that was recorded lately."""
        with self._lock:
            found = self._recorded.get(held)
        return None if found is None else found[1]

    def snapshot(self, tag_: str) -> Snapshot:
        """Return what is held of a tag now."""
        with self._lock:
            return Snapshot(
                executions=dict(self._executions.get(tag_, {})),
                ends=frozenset(
                    (each.ending.run_id, each.ending.epoch)
                    for each in self._ends.values()
                    if tag(each.ending.run_id) == tag_
                ),
                intents=frozenset(
                    run_id for run_id in self._intents.values() if tag(run_id) == tag_
                ),
            )

    def holds_beside(self, run_id: UUID) -> bool:
        """Tell whether more is held in the tag of a run than the intent to have that one."""
        held = self.snapshot(tag(run_id))
        return bool(held.executions or held.ends or held.intents - {run_id})

    def tags(self) -> set[str]:
        """Return the tags in which something is held."""
        with self._lock:
            ends = (end.ending.run_id for end in self._ends.values())
            executing = {each for each, of_tag in self._executions.items() if of_tag}
            return executing.union(map(tag, (*ends, *self._intents.values())))

    def recent_tags(self) -> set[str]:
        """Return these, and those in which something was held or asked for lately."""
        since = boot_time() - RECENT_LEASES * self._lease_seconds
        held = self.tags()
        with self._lock:
            self._tags = {each: at for each, at in self._tags.items() if at >= since}
            return held | set(self._tags)

    def _remember(self, end: KeptEnd) -> None:
        now = boot_time()
        _, before = self._recorded.pop((end.ending.run_id, end.ending.epoch), (0.0, None))
        self._recorded_bytes += end.ending.size - (before.ending.size if before else 0)
        self._recorded[end.ending.run_id, end.ending.epoch] = (now, end)
        oldest = now - RECENT_LEASES * self._lease_seconds
        while self._recorded and (
            len(self._recorded) > MOST_RECORDED
            or self._recorded_bytes > MOST_RECORDED_BYTES
            or next(iter(self._recorded.values()))[0] < oldest
        ):
            _, (_, gone) = self._recorded.popitem(last=False)
            self._recorded_bytes -= gone.ending.size
