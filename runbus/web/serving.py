"""Serving: the socket, the server and its end."""

from __future__ import annotations

import signal
import socket
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from runbus import settings
from runbus.errors import RunbusError
from runbus.execution.run_logger import TerminalFormatter
from runbus.monitoring.health_server import monitored
from runbus.protocol.printed import one_line
from runbus.web.app import Page
from runbus.web.connection import Connection
from runbus.web.options import Options, read_options

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from types import FrameType

    from runbus.protocol.json_value import JSONObject

WRONGLY_CALLED = 2
GRACE_SECONDS = 1
_BACKLOG = 512
_LOG_CONFIG: JSONObject = {
    **LOGGING_CONFIG,
    "formatters": {
        name: {"()": TerminalFormatter, "fmt": "%(levelname)s: %(message)s"}
        for name in ("default", "access")
    },
}
_PATIENCE = {"connect_timeout_seconds": 2, "reply_timeout_seconds": 2, "retry_seconds": 2}
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Server(uvicorn.Server):
    """A server that ends its event streams when it is told to end: they would not by themselves."""

    def __init__(self, config: uvicorn.Config, page: Page) -> None:
        super().__init__(config)
        self._page = page

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Take the signals while it serves. That it was told to end is no failure."""
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal."""
        self._page.live.stop()
        super().handle_exit(sig, frame)


def serve(words: Sequence[str]) -> int:
    """Serve until a signal comes."""
    with ExitStack() as held:
        try:
            options = read_options(words)
            held.enter_context(settings.temporary_settings(**_impatient()))
            listening = held.enter_context(_bind(options))
            held.enter_context(monitored())
            page = Page(options)
        except (RunbusError, OSError) as error:
            print(f"runbus: {one_line(str(error))}", file=sys.stderr)
            return WRONGLY_CALLED
        _serve(page, options, listening)
    return 0


def _impatient() -> dict[str, float]:
    # A visitor is told within seconds that the store is away, whatever workers wait for.
    now = settings.current()
    return {name: min(seconds, getattr(now, name)) for name, seconds in _PATIENCE.items()}


def _serve(page: Page, options: Options, listening: socket.socket) -> None:
    config = uvicorn.Config(
        page.asgi,
        http=Connection,
        backlog=_BACKLOG,
        ws="none",
        log_config=_LOG_CONFIG,
        log_level="warning",
        access_log=False,  # a run's id is as good as a key to its inputs
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    print(f"runbus web: {_url(options, listening)}", flush=True)
    Server(config, page).run(sockets=[listening])


def _bind(options: Options) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((options.host.strip("[]"), options.port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        words = f"cannot listen on {options.host} port {options.port}: {error.strerror or error}"
        raise OSError(words) from None
    return listening


def _url(options: Options, listening: socket.socket) -> str:
    host = options.host if ":" not in options.host else f"[{options.host.strip('[]')}]"
    return f"http://{host}:{listening.getsockname()[1]}/"
