"""Pauses in Redis: read, answered once, expired and withdrawn."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runbus.errors import (
    AlreadyAnswered,
    NotPaused,
    OwnerGone,
    OwnerSilent,
    QuestionChanged,
    RunLost,
    RunMissing,
)
from runbus.protocol.fields import Fields, json_in, read_fields, read_time
from runbus.protocol.keys import tag
from runbus.protocol.records import FlowRun, Pause, read_flow_run, read_pause
from runbus.store.connection import script_calls, scripts
from runbus.store.records.tag_arguments import tag_arguments
from runbus.store.sending.durability import Stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from runbus.protocol.durability import Durability
    from runbus.protocol.json_value import JSONValue
    from runbus.store.bus import Bus
    from runbus.store.records.pause_opening import Opened


Entries = dict[bytes, list[bytes]]
"""Entries of a resume stream, by their ids."""
_ENTRY_ID = re.compile(rb"[0-9]{1,19}-[0-9]{1,19}")
_NO_NAMES: list[JSONValue] = []


async def read(bus: Bus, flow_run_id: UUID, key: str) -> Pause | None:
    """Read a pause; None when it is not there."""
    record = read_fields(await read_record(bus, flow_run_id, key))
    stream, entries = bus.keys.resume(flow_run_id), Entries()
    for entry_id in _named(record):
        entries |= dict(await bus.commands.command("XRANGE", stream, entry_id, entry_id))
    return read_answer(key, record, entries)


def _named(record: Fields) -> list[bytes]:
    """Return which entries of the resume stream a record names: the answer, and the one before."""
    named = (record.get(name, b"") for name in ("entry", "former"))
    return [each for each in named if _ENTRY_ID.fullmatch(each)]


def read_answer(key: str, record: Fields, entries: Mapping[bytes, list[bytes]]) -> Pause | None:
    """Read a pause's record, with the entries that it names; None for an empty one."""
    entry_id, former_id = record.get("entry", b""), record.get("former", b"")
    entry = (entry_id, entries[entry_id]) if entry_id in entries else None
    pause = read_pause(key, record, entry)
    if pause is not None and pause.state == "pending" and former_id in entries:
        from runbus.forms.secrets import fillable  # late: few are asked again

        former = read_fields(entries[former_id]).get("value", b"")
        names = map(str, json_in(record, "veiled", _NO_NAMES))
        pause = replace(pause, former=fillable(pause.schema, former, names))
    if pause is None or pause.value is None:
        return pause
    from runbus.forms.answers import stored_with_defaults  # late: few read answers

    return replace(pause, value=stored_with_defaults(pause.schema, pause.value))


async def read_several(bus: Bus, pauses: Iterable[tuple[UUID, str]]) -> list[Pause | None]:
    """Read pauses, each by its run and its key; None for each that is not there, or not now."""
    wanted = list(pauses)
    replies = await bus.primaries.available(
        *(("HGETALL", bus.keys.pause(flow_run_id, key)) for flow_run_id, key in wanted)
    )
    records = [read_fields(reply or {}) for reply in replies]
    named = list(map(_named, records))
    replies = await bus.primaries.available(
        *(
            ("XRANGE", bus.keys.resume(flow_run_id), entry_id, entry_id)
            for (flow_run_id, _), ids in zip(wanted, named, strict=True)
            for entry_id in ids
        )
    )
    found = iter(replies)
    return [
        read_answer(key, record, dict(entry for _ in ids for entry in next(found) or ()))
        for (_, key), record, ids in zip(wanted, records, named, strict=True)
    ]


async def read_all(bus: Bus, flow_run_id: UUID) -> list[Pause]:
    """Read the pauses of a run, in the order in which they were opened."""
    fields = await bus.commands.command("HKEYS", bus.keys.streams(flow_run_id))
    keys = [each.decode(errors="replace")[6:] for each in fields if each.startswith(b"pause:")]
    found = await read_several(bus, [(flow_run_id, key) for key in keys])
    return sorted((each for each in found if each is not None), key=lambda each: each.opened)


async def read_pending(bus: Bus, flow_run_id: UUID) -> tuple[FlowRun, Pause | None]:
    """Read a run and the pause in which it waits, None without one. Raises `RunMissing`."""
    keys = bus.keys
    call = script_calls.read_pending(
        run=keys.run(flow_run_id),
        resume=keys.resume(flow_run_id),
        pause_base=keys.pause(flow_run_id, ""),
    )
    about_run, about_pause, former = await bus.commands.script(scripts.READ_PENDING, call)
    run = read_flow_run(flow_run_id, read_fields(about_run))
    if run is None:
        raise RunMissing(flow_run_id)
    return run, read_answer(run.pause or "", read_fields(about_pause), dict(former))


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """What became of a run whose pause was answered."""

    state: str
    """The name of the state that it is in."""
    is_attended: bool
    """Whether the process that waits for the answer lives, as far as is known."""

    @property
    def waits_for_worker(self) -> bool:
        """Whether no process goes on with it now: a worker will."""
        return not self.is_attended or self.state in {"Scheduled", "Pending"}


async def answer(bus: Bus, run: FlowRun, pause: Pause, value: bytes, by: str) -> Resumed:
    """Answer a pause that was pending when it was read.

    Raises `AlreadyAnswered`, `NotPaused` and `QuestionChanged`; for a run that was called directly
    `OwnerGone` when the process that waits is dead (the run has ended then), and `OwnerSilent`
    while it is not known whether it lives: then nothing was changed.
    """
    deployment = run.deployment_id or ""
    reply = await _close(
        bus, run.id, pause.key, pause.generation, "answered", value, by, deployment=deployment
    )
    match reply:
        case [b"CLOSED", state, verdict]:
            return Resumed(state=state.decode(), is_attended=verdict == b"ALIVE")
        case [b"UNSURE"]:
            raise OwnerSilent(
                flow_run_id=run.id,
                retry_seconds=bus.settings.lease_seconds / 3,
                key=pause.key,
                generation=pause.generation,
            )
        case [b"GONE", state]:
            raise OwnerGone(flow_run_id=run.id, state=state.decode())
        case [b"STATE", b"pending", *_]:
            raise QuestionChanged(flow_run_id=run.id, key=pause.key)
        case [b"STATE", state, _, first, when, stands]:
            now = replace(
                pause,
                state=state.decode(errors="replace"),
                by=first.decode(errors="replace") or None,
                answered=read_time(str(when).encode() if isinstance(when, int) else when)
                if when
                else None,
                value=stands,
            )
            raise too_late(run.id, now)
        case _:
            raise RunMissing(run.id)


async def make_durable(bus: Bus, flow_run_id: UUID, pause: Pause, wanted: Durability) -> None:
    """Wait until the answer to a pause is as durable as wanted. Raises `NotDurable`."""
    key = bus.keys.pause(flow_run_id, pause.key)
    stored = Stored(
        what=f"the answer to pause {pause.key!r} of flow run {flow_run_id}",
        tag=tag(flow_run_id),
        key=key,
        proof=("HEXISTS", key, "entry"),
    )
    await bus.outbox.durability.confirm(stored, wanted)


def too_late(flow_run_id: UUID, pause: Pause) -> AlreadyAnswered | NotPaused:
    """Return what an answer to a pause is told that was not pending when it was read."""
    if pause.state not in {"answered", "refused"}:
        return NotPaused(flow_run_id=flow_run_id, state=f"past its pause ({pause.state})")
    from runbus.forms.secrets import veiled_json  # late: few are too late

    return AlreadyAnswered(
        flow_run_id=flow_run_id,
        key=pause.key,
        by=pause.by,
        when=pause.answered,
        value=veiled_json(pause.schema, pause.value),
    )


async def expire(bus: Bus, flow_run_id: UUID, key: str, generation: int, epoch: str = "") -> bool:
    """End a pause whose time is over; False when it was answered in time.

    Who waits in it gives its `epoch`: to it one that a failover has lost is over, too. Of anybody
    else the server checks the time. Raises `RunMissing` and `RunLost`.
    """
    reply = await _close(bus, flow_run_id, key, generation, "expired", epoch=epoch)
    if reply[0] == b"MISSING" and not epoch:
        raise RunMissing(flow_run_id)
    return reply[0] in {b"CLOSED", b"MISSING"} or reply[1] != b"answered"


async def take(bus: Bus, flow_run_id: UUID, opened: Opened, entry_id: bytes) -> None:
    """Answer a pause by an entry that somebody added to the resume stream, if it waits for one."""
    place = (bus, flow_run_id, opened.key, opened.generation)
    await _close(*place, "taken", entry_id, epoch=opened.epoch)


async def withdraw(bus: Bus, flow_run_id: UUID, key: str, epoch: str) -> None:
    """End a pause that the flow has given up: it goes on without an answer. Raises `RunLost`."""
    await _close(bus, flow_run_id, key, None, "cancelled", epoch=epoch)


async def _close(
    bus: Bus,
    flow_run_id: UUID,
    key: str,
    generation: int | None,
    how: str,
    value: bytes = b"",
    by: str = "",
    *,
    epoch: str = "",
    deployment: str = "",
) -> list[bytes]:
    keys, of_tag = bus.keys, tag(flow_run_id)
    call = script_calls.close_pause(
        **tag_arguments(bus, of_tag),
        run=keys.run(flow_run_id),
        history=keys.history(flow_run_id),
        pause=keys.pause(flow_run_id, key),
        resume=keys.resume(flow_run_id),
        scheduled=keys.scheduled(of_tag, deployment),
        pulse=keys.pulse(of_tag),
        run_id=flow_run_id,
        lease_ms=int(bus.settings.lease_seconds * 1000),
        pause_key=key,
        generation=generation,
        becomes=how,
        value=value,
        by=by,
        call_id=secrets.token_hex(8),
        epoch=epoch,
    )
    reply = await bus.commands.script(scripts.CLOSE_PAUSE, call)
    if reply == [b"LOST"]:
        raise RunLost(flow_run_id)
    return reply


async def read_record(bus: Bus, flow_run_id: UUID, key: str) -> dict[bytes, bytes]:
    """Read a pause as the server has it."""
    return await bus.commands.command("HGETALL", bus.keys.pause(flow_run_id, key))
