"""Metrics for Prometheus: what this process has done, and what the server holds.

No label names a run: there are as many of them as anybody likes.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from runbus.background import bridge, lease_holder
from runbus.errors import RunbusError
from runbus.store.admin import gauges
from runbus.store.bus import current_bus
from runbus.store.connection.counters import WAKE_BOUNDS, counts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

PATIENCE_SECONDS = 3.0
_COUNTERS = {
    "sends": "Inputs that this process sent and the server stored.",
    "receives": "Inputs that this process read for receivers.",
    "retries": "Calls to the server that were repeated.",
    "reconnects": "Connections to the server that were lost while they were in use.",
    "runs_lost": "Runs of this process that another process took over.",
    "runs_recovered": "Runs that this process took from processes that are gone.",
}
_log = logging.getLogger("runbus")


class RunbusCollector(Collector):
    """Collects the metrics whenever they are asked for."""

    def describe(self) -> Iterable[Metric]:
        """Return nothing: to register it asks no server."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield the counts of this process, and what the server holds unless it does not answer."""
        for name, help_text in _COUNTERS.items():
            yield CounterMetricFamily(f"runbus_{name}", help_text, value=getattr(counts, name))
        yield _wakes()
        try:
            held, executing = bridge.run(_read)
        except (RunbusError, TimeoutError) as error:
            _log.debug("no metrics of the server: %s", error)
            return
        yield GaugeMetricFamily(
            "runbus_executing_runs", "Runs that this process has.", value=executing
        )
        yield from _held(held)


def _wakes() -> Metric:
    totals = accumulate(counts.wakes.buckets)
    bounds = [*map(str, WAKE_BOUNDS), "+Inf"]
    return HistogramMetricFamily(
        "runbus_wake_seconds",
        "From the server's word that something came until it was here.",
        buckets=list(zip(bounds, totals, strict=True)),
        sum_value=counts.wakes.seconds,
    )


def _held(held: gauges.Gauges) -> Iterable[Metric]:
    singles = {
        "pending_pauses": ("Runs that wait for an answer.", held.pending_pauses),
        "oldest_wait_seconds": ("How long the oldest of them waits.", held.oldest_wait_seconds),
        "stream_entries": ("Inputs of the runs that this process has.", held.stream_entries),
        "unread_inputs": ("Those of them that no receiver has read.", held.unread_inputs),
    }
    for name, (help_text, value) in singles.items():
        yield GaugeMetricFamily(f"runbus_{name}", help_text, value=value)
    queue = GaugeMetricFamily(
        "runbus_queue_length", "Runs that wait for a worker.", labels=["deployment"]
    )
    for deployment, length in held.queue_lengths.items():
        queue.add_metric([deployment], length)
    yield queue


async def _read() -> tuple[gauges.Gauges, int]:
    bus = current_bus()
    async with asyncio.timeout(PATIENCE_SECONDS):
        held = [each.run_id for each in lease_holder.of(bus.settings).holdings.executions()]
        return await gauges.read(bus, held), len(held)
