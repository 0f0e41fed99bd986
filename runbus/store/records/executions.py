"""Executions in Redis: how a process comes to have a run, and how it gives it up.

An execution is one process's hold on a run. It has an epoch, `<n>-<8 hex>`, which every write that
it makes for the run carries; whoever takes the run begins another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hiredis import ReplyError

from runbus.protocol.fields import read_fields
from runbus.protocol.ids import read_run_id
from runbus.protocol.keys import TAGS, tag
from runbus.protocol.records import FlowRun, read_flow_run
from runbus.store.connection import script_calls, scripts
from runbus.store.connection.connection import is_transient
from runbus.store.connection.error_replies import refused
from runbus.store.records.tag_arguments import tag_arguments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from runbus.protocol.execution import Ending, Owner
    from runbus.store.bus import Bus
    from runbus.store.connection.connection import Command
    from runbus.store.connection.reply import Reply

    ClaimReply = FlowRun | Exception | str | None

CRASHES_IN_COMPANY = 2
"""After how many processes that died with it a run is executed alone."""
MUST_BE_ALONE = "alone"
LARGEST_KEPT_RESULT = 64 * 1024
"""Up to how many bytes a result is stored when the server's memory is full."""


@dataclass(frozen=True, kw_only=True)
class ClaimRequest:
    """A run that a process would have."""

    run_id: UUID
    deployment: str
    digits: str
    """Of the epoch that begins with it."""
    may_be_alone: bool = False
    """Whether it may be a run that has to be executed alone."""

    def is_answered_by(self, reply: object) -> bool:
        """Whether a reply gives the run to the process."""
        return isinstance(reply, FlowRun)


async def claim(bus: Bus, wanted: Sequence[ClaimRequest], owner: Owner) -> list[ClaimReply]:
    """Take scheduled runs for a process.

    Return for each the run; None when it is not to be had; `MUST_BE_ALONE` for one that is to be
    executed alone; or why that is not known.
    """
    commands = [_claim(bus, each, owner) for each in wanted]
    replies = await bus.primaries.each(*commands)
    return [
        _read_claim(bus, each.run_id, command, reply)
        for each, command, reply in zip(wanted, commands, replies, strict=True)
    ]


def _read_claim(bus: Bus, run_id: UUID, command: Command, reply: Reply) -> ClaimReply:
    if isinstance(reply, ReplyError) and not is_transient(reply):
        return refused(bus.topology.owner(bus.keys.run(run_id)).server.address, reply, command)
    if isinstance(reply, Exception):
        return reply
    if reply == [b"ALONE"]:
        return MUST_BE_ALONE
    return read_flow_run(run_id, read_fields(reply))


def _claim(bus: Bus, wanted: ClaimRequest, owner: Owner) -> Command:
    keys, of_tag = bus.keys, tag(wanted.run_id)
    call = script_calls.claim_run(
        run=keys.run(wanted.run_id),
        history=keys.history(wanted.run_id),
        scheduled=keys.scheduled(of_tag, wanted.deployment),
        executing=keys.executing(of_tag),
        events=keys.events(of_tag),
        lease=keys.lease(of_tag, owner.process),
        run_id=wanted.run_id,
        lifetime_ms=bus.lifetime_ms,
        process=owner.process,
        lease_value=owner.lease,
        digits=wanted.digits,
        deployment=wanted.deployment,
        crashes_in_company=0 if wanted.may_be_alone else CRASHES_IN_COMPANY,
    )
    return scripts.CLAIM_RUN.command(call)


async def adopt(bus: Bus, found: FlowRun, owner: Owner, digits: str) -> FlowRun | None:
    """Take over a run that was called directly, as it was found.

    Return it as it is then; None when it has ended or somebody else has taken it.
    """
    keys, of_tag = bus.keys, tag(found.id)
    call = script_calls.adopt_run(
        run=keys.run(found.id),
        history=keys.history(found.id),
        executing=keys.executing(of_tag),
        events=keys.events(of_tag),
        lease=keys.lease(of_tag, owner.process),
        run_id=found.id,
        lifetime_ms=bus.lifetime_ms,
        process=owner.process,
        lease_value=owner.lease,
        digits=digits,
        found_epoch=found.epoch,
    )
    reply = await bus.commands.script(scripts.ADOPT_RUN, call)
    return read_flow_run(found.id, read_fields(reply))


async def end(bus: Bus, ending: Ending) -> tuple[str, str]:
    """Record how an execution ended. Return `ENDED`, `LOST` or `MISSING`, and the run's state."""
    keys, of_tag = bus.keys, tag(ending.run_id)
    is_small = len(ending.result) <= LARGEST_KEPT_RESULT
    script = scripts.END_RUN if is_small else scripts.END_LARGE_RUN
    call = script_calls.end_run(
        **tag_arguments(bus, of_tag),
        run=keys.run(ending.run_id),
        history=keys.history(ending.run_id),
        ends=keys.ends(ending.run_id),
        scheduled=keys.scheduled(of_tag, ending.deployment or ""),
        run_id=ending.run_id,
        epoch=ending.epoch,
        token=ending.token,
        state=ending.state,
        message=ending.message,
        result=ending.result,
        is_exact=ending.is_exact,
        retry=ending.retry,
    )
    verdict, state = await bus.commands.script(script, call)
    return verdict.decode(), state.decode(errors="replace")


async def release(bus: Bus, run_id: UUID, deployment: str | None, epoch: str, process: str) -> str:
    """Give up a run that a process has by the server's word alone; return the state it is in then.

    Empty when it was not so.
    """
    keys, of_tag = bus.keys, tag(run_id)
    call = script_calls.release_run(
        **tag_arguments(bus, of_tag),
        run=keys.run(run_id),
        scheduled=keys.scheduled(of_tag, deployment or ""),
        run_id=run_id,
        process=process,
        epoch=epoch,
    )
    reply = await bus.commands.script(scripts.RELEASE_RUN, call)
    return reply.decode()


async def check_owner(bus: Bus, run: FlowRun) -> tuple[str, str]:
    """Look whether the process that has a run lives. Return the verdict and the run's state.

    `ALIVE`; `UNSURE` until those who look have done so for a whole lease; `TAKEN` when it is dead:
    then a run that was called directly has ended, and one of a deployment waits for a worker.
    """
    verdict, state = await bus.commands.script(scripts.CHECK_OWNER, _check_call(bus, run))
    return verdict.decode(), state.decode()


async def check_owners(bus: Bus, wanted: Sequence[FlowRun]) -> list[tuple[str, str]]:
    """Look the same way after several runs; a verdict is empty where that cannot be done now."""
    calls = (scripts.CHECK_OWNER.command(_check_call(bus, run)) for run in wanted)
    replies = await bus.primaries.each(*calls)
    return [
        ("", "") if isinstance(reply, Exception) else (reply[0].decode(), reply[1].decode())
        for reply in replies
    ]


def _check_call(bus: Bus, run: FlowRun) -> Command:
    keys, of_tag = bus.keys, tag(run.id)
    return script_calls.check_owner(
        **tag_arguments(bus, of_tag),
        run=keys.run(run.id),
        scheduled=keys.scheduled(of_tag, run.deployment_id or ""),
        pulse=keys.pulse(of_tag),
        run_id=run.id,
        lease_ms=int(bus.settings.lease_seconds * 1000),
    )


async def reset_crashes(bus: Bus, run_id: UUID, epoch: str) -> None:
    """Forget crashes that a run has counted: all, or the one by which an epoch seemed to end."""
    call = script_calls.reset_crashes(
        run=bus.keys.run(run_id), ends=bus.keys.ends(run_id), epoch=epoch
    )
    await bus.commands.script(scripts.RESET_CRASHES, call)


async def held_by(bus: Bus, process: str, tags: Sequence[str]) -> dict[str, set[tuple[UUID, str]]]:
    """Read which runs a process has by the server's word, in each tag that can be read."""
    first, last = f"[{process} ", f"[{process}!"  # `!` follows the space
    commands = [("ZRANGE", bus.keys.executing(tag), first, last, "BYLEX") for tag in tags]
    replies = await bus.primaries.each(*commands)
    bus.primaries.raise_if_forbidden(commands, replies)
    return {
        tag: {(run_id, epoch) for _, run_id, epoch in map(_member, reply) if run_id is not None}
        for tag, reply in zip(tags, replies, strict=True)
        if not isinstance(reply, Exception)
    }


async def owners(bus: Bus) -> dict[str, list[UUID]]:
    """List the runs that processes have, of all that can be read: process → run ids."""
    replies = await bus.primaries.available(
        *(("ZRANGE", bus.keys.executing(each), 0, -1) for each in TAGS)
    )
    found: dict[str, list[UUID]] = {}
    for process, run_id, _ in (_member(member) for reply in replies for member in reply or ()):
        if run_id is not None:
            found.setdefault(process, []).append(run_id)
    return found


def _member(member: bytes) -> tuple[str, UUID | None, str]:
    process, _, rest = member.partition(b" ")
    run_id, _, epoch = rest.partition(b" ")
    return process.decode(errors="replace"), read_run_id(run_id), epoch.decode(errors="replace")
