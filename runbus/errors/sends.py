"""An input that is not stored, or not known to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.errors.base import ConflictError, RefusedError, RunbusError, UnreachableError

if TYPE_CHECKING:
    from uuid import UUID


class SendRefused(RunbusError):
    """An input was not stored. Nothing else was changed either."""

    def __init__(self, message: str, *, flow_run_id: UUID, key: str) -> None:
        self.flow_run_id = flow_run_id
        self.key = key
        super().__init__(message)


class InputTooLarge(SendRefused, RefusedError, ValueError):
    """A value is larger than one input may be (`RUNBUS_MAX_INPUT_BYTES`)."""

    def __init__(self, *, flow_run_id: UUID, key: str, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(
            f"the input takes {size:,} bytes and one input may take {limit:,}: keep the value "
            "elsewhere and send where it is, or raise RUNBUS_MAX_INPUT_BYTES.",
            flow_run_id=flow_run_id,
            key=key,
        )


class RunFinished(SendRefused, ConflictError):
    """The receiving run has ended and reads no more inputs."""

    def __init__(self, *, flow_run_id: UUID, key: str, state: str) -> None:
        self.state = state
        super().__init__(
            f"flow run {flow_run_id} is {state} and receives nothing more.",
            flow_run_id=flow_run_id,
            key=key,
        )


class StreamFull(SendRefused, RefusedError):
    """A stream holds as many unread inputs as it may (`RUNBUS_MAX_STREAM_LENGTH`)."""

    def __init__(self, *, flow_run_id: UUID, key: str, stream: str, limit: int) -> None:
        self.stream = stream
        self.limit = limit
        super().__init__(
            f"{limit:,} inputs wait unread on {stream}: let the run receive them, "
            "or raise RUNBUS_MAX_STREAM_LENGTH.",
            flow_run_id=flow_run_id,
            key=key,
        )


class RunFull(SendRefused, RefusedError):
    """A run's inputs take as many bytes as they may (`RUNBUS_MAX_RUN_BYTES`)."""

    def __init__(self, *, flow_run_id: UUID, key: str, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"the inputs of flow run {flow_run_id} may take {limit:,} bytes in all and this one "
            "does not fit: raise RUNBUS_MAX_RUN_BYTES.",
            flow_run_id=flow_run_id,
            key=key,
        )


class KeyInUse(SendRefused, ConflictError):
    """The caller's key already names an input on another stream of the run."""

    def __init__(self, *, flow_run_id: UUID, key: str, stored_as: str) -> None:
        self.stored_as = stored_as
        super().__init__(
            f"the key {key!r} of flow run {flow_run_id} already names an input of type "
            f"{stored_as}: a key names one input of a run, so choose another.",
            flow_run_id=flow_run_id,
            key=key,
        )


class TooMuchUnsent(SendRefused, RefusedError, BufferError):
    """More bytes are on their way un-awaited than allowed (`RUNBUS_MAX_UNSENT_BYTES`)."""

    def __init__(self, *, flow_run_id: UUID, key: str, unsent: int, limit: int) -> None:
        self.unsent = unsent
        self.limit = limit
        super().__init__(
            f"{unsent:,} bytes of sends that nobody awaits are still on their way and "
            f"{limit:,} are allowed: await some of them (`await send_input(…)`).",
            flow_run_id=flow_run_id,
            key=key,
        )


class NotDurable(UnreachableError):
    """Something is stored, but is not known to be as durable as was asked.

    It may be lost with the server. To send an input again under the same key is safe.
    """

    def __init__(self, what: str, durability: object, reason: str) -> None:
        self.durability = durability
        """What was asked."""
        super().__init__(
            f"{what} was stored, and is not known to be durable ({durability}): {reason}. It may "
            "be lost with the server. An input may be sent again under the same key; an answer "
            "stands as long as it is there."
        )


class DurabilityTimeout(NotDurable, TimeoutError):
    """The disk or the replicas took longer than `RUNBUS_DURABILITY_TIMEOUT_SECONDS`."""


class UnsentInputs(RunbusError):
    """Sends were left behind: their run or their event loop ended before they were stored."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys
        shown = ", ".join(keys[:5]) + (", …" if len(keys) > 5 else "")  # noqa: PLR2004
        super().__init__(
            f"{len(keys)} input(s) may not have been stored: {shown}. They were still on their "
            "way when their event loop ended."
        )


class MalformedEntry(RunbusError, ValueError):
    """An entry on an input stream is not an input: no value, broken JSON or a wrong encoding."""

    def __init__(self, *, stream: str, entry_id: str, reason: str) -> None:
        self.stream = stream
        self.entry_id = entry_id
        self.reason = reason
        super().__init__(
            f"entry {entry_id} of {stream} is not an input: {reason}. It was passed over; "
            "see it with XRANGE, remove it with XDEL."
        )
