"""An owner of streams, and its bus: what reading a stream needs of whoever has it read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio

    from runbus.settings import Settings
    from runbus.store.receiving.node_trackings import NodeTrackings


class Commands(Protocol):
    """Who asks a command until it is answered."""

    async def command(self, *command: str | bytes | float) -> Any:
        """Return the reply to a command. Raises `RunbusError`."""
        ...


class ReceivingBus(Protocol):
    """What receiving needs of its event loop's bus."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop."""
        ...

    @property
    def settings(self) -> Settings:
        """The settings."""
        ...

    @property
    def commands(self) -> Commands:
        """What else is asked."""
        ...

    @property
    def trackings(self) -> NodeTrackings:
        """What tells of changes."""
        ...


class Owner(Protocol):
    """Whom a stream is read for: a `Consumer`, or a `Follower`."""

    @property
    def bus(self) -> ReceivingBus:
        """The bus of its event loop."""
        ...

    poll_interval: float

    @property
    def waits(self) -> bool:
        """Whether entries are wanted now."""
        ...

    def on_read(self, stream: Any, /) -> None:
        """Take note that a stream was read."""
        ...

    def fail(self, stream: Any, error: Exception, /) -> None:
        """Raise an error in whoever waits."""
        ...
