"""What a server says, or that it says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.errors.base import RefusedError, UnreachableError

if TYPE_CHECKING:
    from uuid import UUID


class ServerUnreachable(UnreachableError, ConnectionError):
    """The server could not be reached, or answered that it cannot yet, for `RUNBUS_RETRY_SECONDS`.

    `cause` is why the last attempt failed: an `OSError`, or the server's own words. With
    `maybe_stored`, a send may have been stored although no reply arrived; sending it again with the
    same `key=` is safe.
    """

    def __init__(
        self, *, address: str, seconds: float, cause: object, maybe_stored: bool = False
    ) -> None:
        self.address = address
        self.seconds = seconds
        self.cause = cause
        self.maybe_stored = maybe_stored
        cause_text, for_seconds = str(cause).rstrip("."), f"for {seconds:.1f} s"
        if isinstance(cause, OSError):
            message = (
                f"no answer from the server at {address} {for_seconds}: {cause_text}. Does it run "
                "there? RUNBUS_URL says where it is, RUNBUS_RETRY_SECONDS how long to try."
            )
        else:
            message = f"the server at {address} has said {for_seconds}: {cause_text}."
            message += _MEANT_BY.get(cause_text.partition(" ")[0], "")
        if maybe_stored:
            message += " The input may be stored; sending it again with the same key= is safe."
        super().__init__(message)


_MEANT_BY = {
    "READONLY": " It is a replica: RUNBUS_URL must lead to its primary.",
    "MASTERDOWN": " It is a replica that has lost its primary, where RUNBUS_URL must lead to.",
    "CLUSTERDOWN": " Its cluster is not whole: `redis-cli --cluster check` says what is missing.",
    "NOREPLICAS": " It wants more replicas before it stores anything (min-replicas-to-write).",
}


class SettingsError(RefusedError, ValueError):
    """A setting has a value that cannot be used."""


class ServerRefused(RefusedError):
    """The server answered a command with an error that asking again will not change."""

    def __init__(self, *, address: str, reply: object) -> None:
        self.address = address
        self.reply = str(reply)
        super().__init__(f"the server at {address} refused: {reply}")

    @property
    def passes(self) -> bool:
        """Whether it is for the state of the server that it refuses: its memory or disk is full."""
        return self.reply.startswith(("OOM", "MISCONF"))


class RightMissing(ServerRefused):
    """The user of `RUNBUS_URL` may not do this on the server.

    `right` says what: a command and its key, or a right of `runbus acl` and the script it is for.
    """

    def __init__(self, *, address: str, reply: object, right: str) -> None:
        self.right = right
        super().__init__(address=address, reply=reply)
        self.args = (
            f"the user of RUNBUS_URL may not do this at {address}: it lacks the right {right} "
            f"({reply}). `runbus acl` prints users and what each may do.",
        )


class WireMismatch(RefusedError):
    """What is stored on the server was stored by a version that speaks another wire."""

    def __init__(self, *, address: str, found: int | str, spoken: int) -> None:
        self.address = address
        self.found = found
        self.spoken = spoken
        is_newer = isinstance(found, int) and found > spoken
        advice = (
            "install a newer runbus here"
            if is_newer
            else "let its runs end with the version that made them, then empty it; or use another "
            "RUNBUS_PREFIX beside it"
        )
        super().__init__(
            f"{address} holds runs of another version of runbus (wire {found}; this one speaks "
            f"{spoken}), and neither would understand the other: {advice}."
        )


class EmbeddedServerError(UnreachableError):
    """The embedded server does not start or stop."""


class EndNotRecorded(UnreachableError):
    """A run has ended here, but its server has not taken note of that for `RUNBUS_RETRY_SECONDS`.

    As long as the process lives, it goes on trying. `state` is the one that the run ended in, and
    `cause` is why the last try failed.
    """

    def __init__(
        self, *, flow_run_id: UUID, state: str, seconds: float, cause: Exception | None
    ) -> None:
        self.flow_run_id = flow_run_id
        self.state = state
        self.seconds = seconds
        self.cause = cause
        super().__init__(
            f"flow run {flow_run_id} has ended ({state}), but that is not recorded after "
            f"{seconds:.3g} s: {cause or 'its server does not answer'}. It is tried again for as "
            "long as this process lives."
        )
