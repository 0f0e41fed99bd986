"""Calls of the Lua scripts: a function for each, which makes what follows `EVALSHA` and the SHA-1.

Made from the headers of the scripts by `python -m runbus.store.connection.generate_script_calls`.
What the keys and arguments are stands in the header of the script, `lua/<name>.lua`.
"""

# fmt: off

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from runbus.protocol.ids import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from runbus.store.connection.connection import Command


def adopt_run(
    *, run: str, history: str, executing: str, events: str, lease: str, run_id: UUID,
    lifetime_ms: int, process: str, lease_value: str, digits: str, found_epoch: str,
) -> Command:
    """Take over a run that was called directly in another one, which is executed here by now."""
    return (
        5, run, history, executing, events, lease, text_of(run_id), lifetime_ms, process,
        lease_value, digits, found_epoch,
    )


def check_owner(
    *, run: str, runs: str, active: str, pending: str, ended: str, executing: str, scheduled: str,
    events: str, pulse: str, run_id: UUID, lifetime_ms: int, tag_base: str, lease_ms: int,
) -> Command:
    """Look whether the process that has a run lives, for who wants something of the run."""
    return (
        9, run, runs, active, pending, ended, executing, scheduled, events, pulse, text_of(run_id),
        lifetime_ms, tag_base, lease_ms,
    )


def claim_run(
    *, run: str, history: str, scheduled: str, executing: str, events: str, lease: str,
    run_id: UUID, lifetime_ms: int, process: str, lease_value: str, digits: str, deployment: str,
    crashes_in_company: int,
) -> Command:
    """Take a scheduled run, for one process."""
    return (
        6, run, history, scheduled, executing, events, lease, text_of(run_id), lifetime_ms, process,
        lease_value, digits, deployment, crashes_in_company,
    )


def close_pause(
    *, run: str, history: str, pause: str, resume: str, runs: str, active: str, pending: str,
    ended: str, executing: str, scheduled: str, events: str, pulse: str, run_id: UUID,
    lifetime_ms: int, tag_base: str, lease_ms: int, pause_key: str, generation: int | None = None,
    becomes: str, value: str | bytes = "", by: str = "", call_id: str, epoch: str = "",
) -> Command:
    """End a pending pause: it is answered, its time is over, or the flow gives it up."""
    return (
        12, run, history, pause, resume, runs, active, pending, ended, executing, scheduled, events,
        pulse, text_of(run_id), lifetime_ms, tag_base, lease_ms, pause_key,
        "" if generation is None else generation, becomes, value, by, call_id, epoch,
    )


def create_run(
    *, run: str, history: str, streams: str, retried: str, runs: str, active: str, ended: str,
    executing: str, scheduled: str, events: str, lease: str, run_id: UUID, input_base: str,
    lifetime_ms: int, process: str = "", lease_value: str = "", digits: str = "",
    fields: Iterable[tuple[str, str | bytes]],
) -> Command:
    """Make a run, unless it exists."""
    return (
        11, run, history, streams, retried, runs, active, ended, executing, scheduled, events,
        lease, text_of(run_id), input_base, lifetime_ms, process, lease_value, digits,
        *chain.from_iterable(fields),
    )


def end_run(
    *, run: str, history: str, ends: str, runs: str, active: str, pending: str, ended: str,
    executing: str, scheduled: str, events: str, run_id: UUID, lifetime_ms: int, tag_base: str,
    epoch: str, token: str, state: str, message: str = "", result: str | bytes = "", is_exact: bool,
    retry: int | None = None,
) -> Command:
    """End an execution of a run: by its result, its error, a retry, or as it leaves the process."""
    return (
        10, run, history, ends, runs, active, pending, ended, executing, scheduled, events,
        text_of(run_id), lifetime_ms, tag_base, epoch, token, state, message, result, int(is_exact),
        "" if retry is None else retry,
    )


def expire_pauses(
    *, pending: str, events: str, tag_base: str, lifetime_ms: int, count: int,
) -> Command:
    """End the pauses of one tag that nobody answered in time."""
    return (2, pending, events, tag_base, lifetime_ms, count)


def list_runs(
    *, index: str, tag_base: str, passed: int, count: int, bound: int, oldest: str, newest: str,
    states: str = "", flow: str = "", deployment: str = "", parent: str = "", text: str = "",
    text_id: str = "", name: str = "", name_id: str = "",
) -> Command:
    """List the runs of one tag that a filter lets through, the newest first."""
    return (
        1, index, tag_base, passed, count, bound, oldest, newest, states, flow, deployment, parent,
        text, text_id, name, name_id,
    )


def mark_read(
    *, run: str, stream: str, streams: str, name: str, input_base: str, count: int,
    lifetime_ms: int,
) -> Command:
    """Note how far a stream was read, and that it exists."""
    return (3, run, stream, streams, name, input_base, count, lifetime_ms)


def move_run(
    *, run: str, history: str, runs: str, active: str, pending: str, ended: str, executing: str,
    scheduled: str, events: str, run_id: UUID, lifetime_ms: int, tag_base: str, call_id: str,
    after: str = "", to: str, message: str = "", epoch: str = "",
) -> Command:
    """Move a run from one state to another, if it is in a state that allows it."""
    return (
        9, run, history, runs, active, pending, ended, executing, scheduled, events,
        text_of(run_id), lifetime_ms, tag_base, call_id, after, to, message, epoch,
    )


def oldest_wait(*, pending: str, tag_base: str, count: int) -> Command:
    """Find out how long the run of one tag has waited that waits longest for an answer."""
    return (1, pending, tag_base, count)


def open_pause(
    *, run: str, history: str, streams: str, pause: str, pending: str, executing: str, events: str,
    resume: str, ends: str, run_id: UUID, pause_key: str, pause_base: str, lifetime_ms: int,
    schema: str | bytes = "", shape: str, description: str = "", timeout_ms: int | None = None,
    retry: int, to: str, epoch: str, call_id: str, instead_of: str | bytes = "", waits: bool,
    refused: int | None = None, problems: str | bytes = "", veiled: str | bytes = "",
) -> Command:
    """Open a pause, or find it as an earlier execution of the flow left it."""
    return (
        9, run, history, streams, pause, pending, executing, events, resume, ends, text_of(run_id),
        pause_key, pause_base, lifetime_ms, schema, shape, description,
        "" if timeout_ms is None else timeout_ms, retry, to, epoch, call_id, instead_of, int(waits),
        "" if refused is None else refused, problems, veiled,
    )


def read_pending(*, run: str, resume: str, pause_base: str) -> Command:
    """Read a run together with the pause in which it waits."""
    return (2, run, resume, pause_base)


def recover_runs(
    *, runs: str, active: str, pending: str, ended: str, executing: str, events: str, pulse: str,
    tag_base: str, lifetime_ms: int, lease_ms: int, max_crashes: int, page: int,
    start_after: str = "",
) -> Command:
    """Look for owners without a lease in one tag, and take the runs of those that are dead."""
    return (
        7, runs, active, pending, ended, executing, events, pulse, tag_base, lifetime_ms, lease_ms,
        max_crashes, page, start_after,
    )


def refuse_answer(
    *, run: str, pause: str, generation: int, epoch: str, problems: str | bytes,
    veiled: str | bytes,
) -> Command:
    """Note that the flow itself refused an answer, so that the next pause asks anew."""
    return (2, run, pause, generation, epoch, problems, veiled)


def release_run(
    *, run: str, runs: str, active: str, pending: str, ended: str, executing: str, scheduled: str,
    events: str, run_id: UUID, lifetime_ms: int, tag_base: str, process: str, epoch: str,
) -> Command:
    """Take a run from the process that asks, which does not execute it as the server says."""
    return (
        8, run, runs, active, pending, ended, executing, scheduled, events, text_of(run_id),
        lifetime_ms, tag_base, process, epoch,
    )


def renew_lease(*, lease: str, lease_value: str) -> Command:
    """Renew the lease of a process in one tag; where there is none, make it anew."""
    return (1, lease, lease_value)


def repair_index(
    *, runs: str, active: str, pending: str, ended: str, executing: str, events: str, tag_base: str,
    passed: int | None = None, lifetime_ms: int, count: int, changes: bool, run_ids: Iterable[UUID],
) -> Command:
    """Let the indexes of one tag say of some runs what their records say."""
    return (
        6, runs, active, pending, ended, executing, events, tag_base,
        "" if passed is None else passed, lifetime_ms, count, int(changes), *map(text_of, run_ids),
    )


def reset_crashes(*, run: str, ends: str, epoch: str) -> Command:
    """Forget crashes that a run has counted."""
    return (2, run, ends, epoch)


def resume_run(
    *, run: str, history: str, pending: str, scheduled: str, events: str, run_id: UUID,
    lifetime_ms: int, call_id: str,
) -> Command:
    """Schedule a suspended run that asks nothing, as one is that was suspended from outside."""
    return (5, run, history, pending, scheduled, events, text_of(run_id), lifetime_ms, call_id)


def send(
    *, run: str, stream: str, streams: str, retried: str, name: str, input_base: str,
    max_unread: int, max_bytes: int, lifetime_ms: int, renew: bool, mark_all: bool,
    scan_from: str = "", scan_to: str = "", inputs: Iterable[tuple[str, str, str | bytes]],
) -> Command:
    """Append inputs to one stream of one run, in order, each of them once."""
    return (
        4, run, stream, streams, retried, name, input_base, max_unread, max_bytes, lifetime_ms,
        int(renew), int(mark_all), scan_from, scan_to, *chain.from_iterable(inputs),
    )
