"""Processes that are only names: they claim runs and die, step by step, as a test says.

Nothing renews their leases, which last long; nobody listens for what their runs are told.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from runbus.input.question import question_about
from runbus.protocol.execution import Ending, Owner
from runbus.protocol.keys import tag
from runbus.protocol.records import FlowRun
from runbus.store.bus import current_bus
from runbus.store.maintenance import recovery
from runbus.store.records import executions, pause_opening, runs
from runbus.store.records.executions import ClaimRequest

if TYPE_CHECKING:
    from uuid import UUID

    from runbus.store.records.pause_opening import Form, Opened

LEASE_MS = 60_000


def owner(process: str) -> Owner:
    return Owner(process=process, lease=f"{LEASE_MS} {process}")


async def created(run_id: UUID, fields: dict[str, Any], process: str | None = None) -> FlowRun:
    """Make a run, scheduled or executed by a process."""
    own = None if process is None else owner(process)
    return await runs.create(current_bus(), run_id, fields, owner=own, digits=secrets.token_hex(4))


async def claimed(run_id: UUID, process: str, deployment: str = "f/x") -> FlowRun | None:
    """Claim a run for a process; None when it is not to be had."""
    wanted = ClaimRequest(
        run_id=run_id, deployment=deployment, digits=secrets.token_hex(4), may_be_alone=True
    )
    (reply,) = await executions.claim(current_bus(), [wanted], owner(process))
    if isinstance(reply, Exception):
        raise reply
    assert reply is None or isinstance(reply, FlowRun)
    return reply


async def ended(run: FlowRun, state: str, **others: Any) -> tuple[str, str]:
    """End an execution; return the verdict and the state that the run is in then."""
    ending = Ending(
        run_id=run.id,
        run_name=run.name,
        epoch=run.epoch,
        deployment=run.deployment_id,
        state=state,
        **others,
    )
    return await executions.end(current_bus(), ending)


async def handed_back(run: FlowRun) -> None:
    assert await ended(run, "Scheduled") == ("ENDED", "Scheduled")


async def end_lease(run_id: UUID, process: str) -> None:
    """Let a process have no lease where it has a run, and others know for long enough."""
    bus, of_tag = current_bus(), tag(run_id)
    longest = max(LEASE_MS, int(bus.settings.lease_seconds * 1000))
    seconds, microseconds = await bus.commands.command("TIME")
    now = 1000 * int(seconds) + int(microseconds) // 1000
    pulse = ("since", now - longest - 1000, "last", now)
    await bus.commands.command("HSET", bus.keys.pulse(of_tag), *pulse)
    await bus.commands.command("PEXPIRE", bus.keys.pulse(of_tag), longest)
    await bus.commands.command("DEL", bus.keys.lease(of_tag, process))


async def died(run_id: UUID, process: str) -> None:
    """Let a process die, and others take its runs."""
    await end_lease(run_id, process)
    await recovery.recover_orphaned_runs(current_bus())


async def form_of(model: Any) -> Form:
    """What a pause for a model stores."""
    return await question_about(model).form("1", uuid4())


class Executions:
    """One run as several processes have it, one after the other, and ask in its pause `1`."""

    def __init__(self) -> None:
        self.run_id = uuid4()
        self.epochs: list[str] = []

    async def next(self) -> None:
        """Let the next process have the run."""
        if not self.epochs:
            await created(self.run_id, {"flow": "f", "name": "calm-otter", "deployment": "f/x"})
        else:
            await handed_back(self.run)
        run = await claimed(self.run_id, f"process {len(self.epochs)}")
        assert run is not None
        self.run = run
        self.epochs.append(run.epoch)

    async def ask(self, model: Any, *, by: int = -1, **options: Any) -> Opened:
        """Let a process ask, the latest by default."""
        given: dict[str, Any] = {"timeout": None, "retry": 0, "epoch": self.epochs[by], **options}
        form = await form_of(model)
        return await pause_opening.open_pause(current_bus(), self.run_id, "1", form, **given)

    async def end(self) -> None:
        """End the run."""
        await runs.move(current_bus(), self.run, "Crashed")
