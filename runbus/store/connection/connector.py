"""A connector: the way to those keys that one server has, with or without a connection now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from runbus.errors import ServerUnreachable
    from runbus.store.connection.connection import Connection


class Addressed(Protocol):
    """Something that a person can tell from others of its kind."""

    @property
    def address(self) -> str:
        """How a person would name it; never with a password."""
        ...


class Connector(Protocol):
    """A `ReconnectingConnection` to one server, or a `SlotConnection` to whichever has a slot."""

    @property
    def server(self) -> Addressed:
        """What it leads to."""
        ...

    @property
    def live(self) -> Connection | None:
        """The connection while there is one that is alive."""
        ...

    async def connected(self, after: Exception | None = None) -> Connection:
        """Return a connection to try, `after` a call that failed so.

        Raises `ServerUnreachable`, or `ConnectionLost` where it may be tried again.
        """
        ...

    def unreachable(self, seconds: float, cause: Exception | None = None) -> ServerUnreachable:
        """The error for somebody who has waited this long (seconds)."""
        ...
