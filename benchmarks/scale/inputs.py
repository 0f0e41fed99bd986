"""Axes about inputs: how many a stream holds, how large they are, how many keys are excluded."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from benchmarks.bench import SENDER, TEXT, Bench, memory_of
from benchmarks.measure import rate
from benchmarks.micro.drains import drain, fill
from benchmarks.micro.sends import TASKS
from benchmarks.scale.axis import DECADES, Axis, Costs, named, spent
from runbus import receive_input, send_input

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEASURED = 5000
_BACKLOG = 20_000
_MEGABYTE = 1024 * 1024
_FEW = 200
_WAKES = 1000


def axes() -> Iterator[Axis]:
    """The axes about inputs."""
    yield Axis(name="inputs on a stream", sizes=DECADES, measure=_of_a_stream)
    yield Axis(
        name="bytes of an input",
        sizes=(10, 100, 1000, 10_000, 100_000, _MEGABYTE - 100),
        measure=_of_a_size,
    )
    yield Axis(name="excluded keys", sizes=(1, *DECADES), measure=_with_excluded_keys)


def _of_a_stream(bench: Bench, size: int) -> Costs:
    """Sends to a stream of this length, reading it all, and a wake at its end."""
    return asyncio.run(_stream_costs(bench, size))


async def _stream_costs(bench: Bench, size: int) -> Costs:
    run_id = uuid4()
    with bench.settings(), bench.control() as control:
        await _warm_up()
        await fill(run_id, TEXT, size)
        key: Any = bench.input_key(run_id, "str")
        costs = {"stored: bytes": float(control.memory_usage(key, samples=0) or 0) / size}
        times = max(1, _MEASURED // size)
        start = spent(control)
        for _ in range(times):
            await drain(run_id, str)
        costs |= named("receive", spent(control).per(size * times, start))
        start = spent(control)
        await rate(partial(send_input, TEXT, run_id, SENDER), _MEASURED, TASKS)
        costs |= named("send", spent(control).per(_MEASURED, start))
        inbox = receive_input(str, flow_run_id=run_id)
        for _ in range(size + _MEASURED):
            await anext(inbox)
        start = spent(control)
        for _ in range(_WAKES):
            await send_input(TEXT, run_id, SENDER)
            await anext(inbox)
        return costs | named("send and receive, one at a time", spent(control).per(_WAKES, start))


def _of_a_size(bench: Bench, size: int) -> Costs:
    """Sends and receives of inputs of so many bytes, for each input and what is stored."""
    count = max(_FEW, min(_MEASURED, 50 * _MEGABYTE // size))
    return asyncio.run(_size_costs(bench, "x" * size, count))


async def _size_costs(bench: Bench, text: str, count: int) -> Costs:
    run_id = uuid4()
    with bench.settings(), bench.control() as control:
        await _warm_up()
        before, start = memory_of(control), spent(control)
        await rate(partial(send_input, text, run_id, SENDER), count, min(TASKS, count))
        costs = named("send", spent(control).per(count, start))
        costs["stored: bytes"] = (memory_of(control) - before) / count
        start = spent(control)
        await drain(run_id, str)
        return costs | named("receive", spent(control).per(count, start))


def _with_excluded_keys(bench: Bench, size: int) -> Costs:
    """Reading a backlog without the inputs of so many other keys."""
    return asyncio.run(_excluded_costs(bench, size))


async def _excluded_costs(bench: Bench, size: int) -> Costs:
    run_id, keys = uuid4(), {f"str-{uuid4()}" for _ in range(size)}
    with bench.settings(), bench.control() as control:
        await fill(run_id, TEXT, _BACKLOG)
        await drain(run_id, str)
        start = spent(control)
        await drain(run_id, str, keys)
        return named("receive", spent(control).per(_BACKLOG, start))


async def _warm_up() -> None:
    # So that the first step does not pay for connections, scripts and the buffers of both ends.
    run_id = uuid4()
    await fill(run_id, TEXT, _MEASURED)
    await drain(run_id, str)
