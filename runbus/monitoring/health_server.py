"""Monitoring: a small HTTP server for Prometheus and for whoever restarts what is stuck.

`/metrics` for Prometheus; `/livez` is 200 while the process works at all; `/readyz` while its
server answers and each of its duties has had a good round lately, too. Both say of each duty when
it had its last good round, and how many slots are taken.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from runbus import settings
from runbus.background import bridge
from runbus.background.background_loop import background
from runbus.errors import RunbusError, SettingsError
from runbus.protocol.keys import TAGS
from runbus.protocol.printed import one_line
from runbus.store.bus import current_bus
from runbus.supervision import duty as duties

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from runbus.supervision.duty import Duty

    Report = Callable[[], Iterable[str]]

PATIENCE_SECONDS = 3.0
_log = logging.getLogger("runbus")


@contextmanager
def monitored(report: Report = tuple) -> Generator[None]:
    """Let this process be watched in the block, if the settings say where (`metrics_port`).

    `report` returns lines about what it does, to be shown below its duties.

    Raises `SettingsError` where it cannot listen, or `prometheus-client` is not installed.
    """
    current = settings.current()
    if current.metrics_port is None:
        yield
        return
    with _listening(current.metrics_host, current.metrics_port, report):
        yield


@contextmanager
def _listening(host: str, port: int, report: Report) -> Generator[None]:
    try:
        server = make_server(host, port, _application(report), _Server, _QuietHandler)
    except OSError as error:
        where = f"RUNBUS_METRICS_PORT: cannot listen at {host}:{port}"
        raise SettingsError(f"{where}: {error}") from None
    thread = threading.Thread(target=server.serve_forever, name="runbus-metrics", daemon=True)
    thread.start()
    _log.info("metrics at http://%s:%s/metrics", host, port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _application(report: Report) -> WSGIApplication:
    try:
        import prometheus_client

        from runbus.monitoring.metrics import RunbusCollector
    except ImportError:
        raise SettingsError(
            "RUNBUS_METRICS_PORT needs prometheus-client: pip install 'runbus[metrics]'"
        ) from None
    registry = prometheus_client.CollectorRegistry()
    registry.register(RunbusCollector())
    prometheus_client.ProcessCollector(registry=registry)
    metrics: WSGIApplication = prometheus_client.make_wsgi_app(registry)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    checks: dict[str, Callable[[Report], object]] = {"/livez": _lives, "/readyz": _answers}

    def answer(environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environment.get("PATH_INFO", "")
        if path == "/metrics":
            return metrics(environment, start)
        if path not in checks:
            return _say(start, "404 Not Found", "there are /metrics, /livez and /readyz")
        try:
            checks[path](report)
        except (RunbusError, TimeoutError) as error:
            return _say(start, "503 Service Unavailable", str(error) or "it takes too long")
        return _say(start, "200 OK", f"ok\n{_describe_all(report)}".strip())

    return answer


def _say(start: StartResponse, status: str, text: str) -> Iterable[bytes]:
    body = f"{text}\n".encode()
    length = str(len(body))
    start(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", length)])
    return [body]


def _lives(_: Report) -> None:
    # The thread that answers is not the one that may be stuck.
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), background.loop).result(PATIENCE_SECONDS)


def _answers(report: Report) -> None:
    bridge.run(_ping)
    if any(duty.is_stuck for duty in duties.alive()):
        raise DutiesStuck(_describe_all(report))


def _describe_all(report: Report) -> str:
    """Say how the duties do, those that are stuck first, and what the process does."""
    stuck_first = sorted(duties.alive(), key=lambda duty: not duty.is_stuck)
    return "\n".join([*map(_describe, stuck_first), *report()])


def _describe(duty: Duty) -> str:
    ago = f"{duty.seconds_since_beat:.1f} s ago"
    failed = f"; failed {duty.failures} times" if duty.failures else ""
    why = f", at last: {one_line(str(duty.error))}" if duty.error is not None else ""
    stuck = "STUCK, " if duty.is_stuck else ""
    return f"{duty.name}: {stuck}last good round {ago}{failed}{why}"


class DutiesStuck(RunbusError):
    """Something that this process does again and again has not been done for long."""


async def _ping() -> None:
    # Of a cluster's primaries one may be away: the duties that need it say so.
    bus = current_bus()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await bus.primaries.available(*(("EXISTS", bus.keys.events(tag)) for tag in TAGS))


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    timeout = PATIENCE_SECONDS  # for who connects and says nothing

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Write no line for each scrape."""
