"""Runs in Redis: made, moved from state to state, read and listed."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from runbus.errors import RunLost, RunMissing
from runbus.protocol.fields import read_fields
from runbus.protocol.ids import read_run_id
from runbus.protocol.keys import TAGS, tag
from runbus.protocol.records import FlowRun, StateChange, read_flow_run, read_state_change
from runbus.store.connection import script_calls, scripts
from runbus.store.records.tag_arguments import tag_arguments

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from runbus.protocol.execution import Owner
    from runbus.store.bus import Bus


async def create(
    bus: Bus,
    flow_run_id: UUID,
    fields: Mapping[str, str | bytes],
    *,
    owner: Owner | None = None,
    digits: str = "",
) -> FlowRun:
    """Make a run, unless it exists: one that `owner` executes, or else a scheduled one. Return it.

    The epoch of the one that executes it is `1-<digits>`.
    """
    keys, of_tag = bus.keys, tag(flow_run_id)
    process = "" if owner is None else owner.process
    deployment = fields.get("deployment", "")
    call = script_calls.create_run(
        run=keys.run(flow_run_id),
        history=keys.history(flow_run_id),
        streams=keys.streams(flow_run_id),
        retried=keys.retried(flow_run_id),
        runs=keys.runs(of_tag),
        active=keys.active(of_tag),
        ended=keys.ended(of_tag),
        executing=keys.executing(of_tag),
        scheduled=keys.scheduled(of_tag, deployment if isinstance(deployment, str) else ""),
        events=keys.events(of_tag),
        lease=keys.lease(of_tag, process),
        run_id=flow_run_id,
        input_base=keys.input(flow_run_id, ""),
        lifetime_ms=bus.lifetime_ms,
        process=process,
        lease_value="" if owner is None else owner.lease,
        digits=digits,
        fields=fields.items(),
    )
    reply = await bus.commands.script(scripts.CREATE_RUN, call)
    return _found(flow_run_id, read_flow_run(flow_run_id, read_fields(reply)))


async def move(
    bus: Bus,
    run: FlowRun,
    state: str,
    message: str = "",
    *,
    after: Iterable[str] = (),
    epoch: str = "",
) -> str | None:
    """Move a run to a state. Return None, or the name of the state that does not allow it.

    `after` names the states to move from, by default all that the table of moves allows. The
    process that executes the run gives its `epoch`. Raises `RunMissing`; to that process `RunLost`,
    when the run has passed to another one or its record is lost.
    """
    keys, of_tag, before = bus.keys, tag(run.id), ",".join(after)
    call = script_calls.move_run(
        **tag_arguments(bus, of_tag),
        run=keys.run(run.id),
        history=keys.history(run.id),
        scheduled=keys.scheduled(of_tag, run.deployment_id or ""),
        run_id=run.id,
        call_id=secrets.token_hex(8),
        after=before and f",{before},",
        to=state,
        message=message,
        epoch=epoch,
    )
    reply = await bus.commands.script(scripts.MOVE_RUN, call)
    if reply == b"LOST" or (reply == b"MISSING" and epoch):
        raise RunLost(run.id)
    if reply == b"MISSING":
        raise RunMissing(run.id)
    return None if reply == b"MOVED" else reply.decode()


async def resume(bus: Bus, run: FlowRun) -> str | None:
    """Schedule a suspended run that asks nothing. Return None, or the state that it is in instead.

    Raises `RunMissing`.
    """
    keys, of_tag = bus.keys, tag(run.id)
    call = script_calls.resume_run(
        run=keys.run(run.id),
        history=keys.history(run.id),
        pending=keys.pending(of_tag),
        scheduled=keys.scheduled(of_tag, run.deployment_id or ""),
        events=keys.events(of_tag),
        run_id=run.id,
        lifetime_ms=bus.lifetime_ms,
        call_id=secrets.token_hex(8),
    )
    reply = await bus.commands.script(scripts.RESUME_RUN, call)
    if reply == b"MISSING":
        raise RunMissing(run.id)
    return None if reply == b"RESUMED" else reply.decode()


async def scheduled(bus: Bus, deployments: Iterable[str], count: int) -> list[tuple[UUID, str]]:
    """List runs that wait for a worker of these deployments, those that wait longest first.

    Each with its deployment; of each tag at most so many, and of those whose primary answers.
    """
    wanted = [(each, name) for each in TAGS for name in deployments]
    commands = [
        ("ZRANGE", bus.keys.scheduled(each, name), 0, count - 1, "WITHSCORES")
        for each, name in wanted
    ]
    replies = await bus.primaries.each(*commands)
    bus.primaries.raise_if_forbidden(commands, replies)
    found = sorted(
        (score, member, name)
        for (_, name), reply in zip(wanted, replies, strict=True)
        if not isinstance(reply, Exception)
        for member, score in reply
    )
    ids = [(read_run_id(member), name) for _, member, name in found]
    return [(run_id, name) for run_id, name in ids if run_id is not None]


async def count_scheduled(bus: Bus, deployments: Iterable[str]) -> dict[str, int]:
    """Count the runs that wait for a worker, by deployment, of those whose primary answers."""
    wanted = [(each, name) for each in TAGS for name in deployments]
    replies = await bus.primaries.available(
        *(("ZCARD", bus.keys.scheduled(each, name)) for each, name in wanted)
    )
    found: dict[str, int] = {}
    for (_, name), reply in zip(wanted, replies, strict=True):
        if not isinstance(reply, Exception) and reply:
            found[name] = found.get(name, 0) + reply
    return found


async def read(bus: Bus, flow_run_id: UUID) -> FlowRun:
    """Read a run. Raises `RunMissing`."""
    reply = await bus.commands.command("HGETALL", bus.keys.run(flow_run_id))
    return _found(flow_run_id, read_flow_run(flow_run_id, read_fields(reply)))


def _found(flow_run_id: UUID, run: FlowRun | None) -> FlowRun:
    if run is None:
        raise RunMissing(flow_run_id)
    return run


async def read_several(bus: Bus, flow_run_ids: list[UUID]) -> list[FlowRun | None]:
    """Read runs; None for each that is not there."""
    replies = await read_hashes(bus, flow_run_ids)
    return [
        read_flow_run(flow_run_id, read_fields(reply))
        for flow_run_id, reply in zip(flow_run_ids, replies, strict=True)
    ]


async def read_available(bus: Bus, flow_run_ids: list[UUID]) -> dict[UUID, FlowRun | None]:
    """Read runs; None for each that is not there. Those of primaries that are away are missing."""
    replies = await bus.primaries.available(
        *(("HGETALL", bus.keys.run(flow_run_id)) for flow_run_id in flow_run_ids)
    )
    return {
        flow_run_id: read_flow_run(flow_run_id, read_fields(reply))
        for flow_run_id, reply in zip(flow_run_ids, replies, strict=True)
        if reply is not None
    }


async def read_hashes(bus: Bus, flow_run_ids: list[UUID]) -> list[dict[bytes, bytes]]:
    """Read runs as the server has them."""
    return await bus.commands.together(
        *(("HGETALL", bus.keys.run(flow_run_id)) for flow_run_id in flow_run_ids)
    )


async def history(bus: Bus, flow_run_id: UUID) -> list[StateChange]:
    """Read the last states of a run, the newest last."""
    items = await bus.commands.command("LRANGE", bus.keys.history(flow_run_id), 0, -1)
    return [read_state_change(item) for item in items]
