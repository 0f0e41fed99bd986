"""Everything that runbus raises.

    RunbusError
    ├── SettingsError (ValueError)             a RUNBUS_* value is wrong
    ├── UsageError                             the call itself is wrong; nothing was sent
    │   ├── InvalidRunId (ValueError)
    │   ├── InvalidKeyPrefix (ValueError)
    │   ├── InvalidArgument (ValueError)
    │   ├── NoCurrentRun (LookupError)
    │   ├── NobodyToAnswer (LookupError)
    │   ├── UnnamedType (TypeError)
    │   ├── UnsupportedType (TypeError)
    │   ├── NotSerializable (TypeError)
    │   ├── MissingAwait (TypeError)
    │   ├── WrongSyntax (TypeError)
    │   ├── MonkeyPatched (RuntimeError)       gevent or eventlet has replaced Python's threads
    │   ├── RunMissing (LookupError)           runbus knows no run of this id
    │   ├── AmbiguousRun (LookupError)         several runs of this name
    │   ├── NotPaused                          the run does not wait for an answer
    │   │   └── OwnerGone                      its process has ended: nobody waits any more
    │   ├── AlreadyAnswered                    somebody was first
    │   ├── OwnerSilent                        maybe nobody waits for the answer: ask again
    │   ├── DeploymentMissing (LookupError)
    │   ├── AlreadyEnded                       the run has ended
    │   ├── AnswerRefused (ValueError)         the answer does not fit the form
    │   ├── CannotPause                        the run is in no state to pause in
    │   ├── PauseChanged                       a flow that runs again asks for something else
    │   └── NoResult (LookupError)             a run that has nothing to return
    ├── SendRefused                            the input is not stored
    │   ├── InputTooLarge (ValueError)
    │   ├── RunFinished
    │   ├── StreamFull
    │   ├── RunFull
    │   ├── KeyInUse
    │   └── TooMuchUnsent (BufferError)
    ├── NotDurable                             stored, but maybe not on the disk or the replicas
    │   └── DurabilityTimeout (TimeoutError)
    ├── UnsentInputs                           sends that a run or a loop left behind
    ├── MalformedEntry (ValueError)            somebody else's bytes on a stream
    ├── ReceiveTimeout (TimeoutError)
    ├── FlowPauseTimeout (TimeoutError)        nobody answered in time
    ├── RunNotEnded (TimeoutError)             a run that is waited for takes longer
    ├── FlowTimeout (TimeoutError)             a flow took longer than its `timeout_seconds`
    ├── RunLost                                another process has the run by now
    ├── EndNotRecorded                         a run has ended, and its server does not take note
    ├── RunFailed                              a run ended otherwise than by returning
    ├── ServerUnreachable (ConnectionError)    asked again and again, to no avail
    ├── ServerRefused                          the server answered with an error
    │   └── RightMissing                       its user may not do this
    ├── WireMismatch                           another version of runbus has stored what is there
    └── EmbeddedServerError                    the server of this machine's own does not start

An input that arrives but does not fit the receiver's type raises pydantic's own
`ValidationError`, with a note that names the input.

    BaseException
    └── FlowInterrupt                          ends a flow; `except Exception` lets it pass
        ├── FlowRunCancelled
        ├── FlowRunSuspended
        └── FlowRunHandedBack                  its worker ends, another one goes on
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


class RunbusError(Exception):
    """The root of every error that runbus raises."""


class SettingsError(RunbusError, ValueError):
    """A setting has a value that cannot be used."""


class UsageError(RunbusError):
    """The call itself is wrong. Nothing was sent or received."""


class InvalidRunId(UsageError, ValueError):
    """A flow run id is not a UUID."""

    def __init__(self, value: object) -> None:
        self.value = value
        super().__init__(
            f"{value!r} is not a flow run id: pass a UUID or its text. For an engine whose run "
            "ids are not UUIDs, runbus.flow_run_id_for(engine, text) makes one."
        )


class InvalidKeyPrefix(UsageError, ValueError):
    """A `key_prefix` cannot name a stream."""

    def __init__(self, value: object, reason: str) -> None:
        self.value = value
        super().__init__(f"{value!r:.80} cannot be a key_prefix: {reason}.")


class InvalidArgument(UsageError, ValueError):
    """An argument of a verb has a value that it cannot have."""

    def __init__(self, argument: str, value: object, reason: str) -> None:
        self.argument = argument
        self.value = value
        super().__init__(f"{argument}={value!r:.80}: {reason}.")


class NoCurrentRun(UsageError, LookupError):
    """No run is current here and none was named."""

    def __init__(self, verb: str) -> None:
        super().__init__(
            f"{verb} needs a flow run: pass flow_run_id=…, or call it inside a run "
            "(`with bound_run(flow_run_id): …`, in async code `async with`)."
        )


class NobodyToAnswer(UsageError, LookupError):
    """An input was not received, or does not say which run sent it."""


class UnnamedType(UsageError, TypeError):
    """A type has no name that a stream could carry."""

    def __init__(self, annotation: object) -> None:
        self.annotation = annotation
        super().__init__(
            f"{annotation!r} has no name of its own to find its stream by: pass key_prefix='…' "
            "on both sides, or use a named type."
        )


class UnsupportedType(UsageError, TypeError):
    """A type cannot be received, because pydantic has no schema for it."""

    def __init__(self, annotation: object, reason: str) -> None:
        self.annotation = annotation
        super().__init__(f"{annotation!r} cannot be received: {reason}")


class NotSerializable(UsageError, TypeError):
    """A value cannot be written as JSON."""

    def __init__(self, value: object, reason: object) -> None:
        self.value_type = type(value)
        super().__init__(f"a {type(value).__name__} cannot be sent: {reason}")


class MissingAwait(UsageError, TypeError):
    """A verb was called on an event loop and its result used without `await`."""

    def __init__(self, verb: str) -> None:
        self.verb = verb
        super().__init__(f"{verb} was called on an event loop: write `await {verb}`.")


class WrongSyntax(UsageError, TypeError):
    """`for` or `with` was used on an event loop's thread, where it would block the loop."""

    def __init__(self, used: str, instead: str) -> None:
        super().__init__(
            f"`{used}` would block the event loop that runs in this thread: write `{instead}`."
        )


class MonkeyPatched(UsageError, RuntimeError):
    """The modules of threads or sockets are not Python's own: runbus would hang."""

    def __init__(self, patcher: str, modules: list[str]) -> None:
        self.patcher = patcher
        self.modules = modules
        super().__init__(
            f"{patcher} has patched {', '.join(modules)}, and runbus needs Python's own: "
            "use plain threads or asyncio in this process (for gunicorn `--worker-class gthread`, "
            "for Celery `--pool threads`), or do not patch."
        )


class RunMissing(UsageError, LookupError):
    """Runbus knows no run of this id."""

    def __init__(self, flow_run_id: UUID | str) -> None:
        self.flow_run_id = flow_run_id
        """Its id, or the text that was to find it."""
        super().__init__(
            f"there is no flow run {flow_run_id} here: it never was, its keys have expired, or it "
            "is on another server or under another RUNBUS_PREFIX."
        )


class AmbiguousRun(UsageError, LookupError):
    """Several runs have this name, or ids that begin so."""

    def __init__(self, text: str, candidates: dict[UUID, str]) -> None:
        self.candidates = candidates
        """The newest of them: their ids and names."""
        those = ", ".join(f"{run_id} ({name})" for run_id, name in candidates.items())
        super().__init__(f"{text!r} may mean {those}: pass more of the id.")


class NotPaused(UsageError):
    """A run does not wait for an answer."""

    def __init__(self, *, flow_run_id: UUID, state: str) -> None:
        self.flow_run_id = flow_run_id
        self.state = state
        super().__init__(f"flow run {flow_run_id} is {state} and waits for no answer.")


class OwnerGone(NotPaused):
    """The process of a run that was called directly has ended: nobody waits for the answer."""

    def __init__(self, *, flow_run_id: UUID, state: str) -> None:
        super().__init__(flow_run_id=flow_run_id, state=state)
        self.args = (
            f"flow run {flow_run_id} is {state}: its process ended, and nobody waits for the "
            "answer. It was not stored.",
        )


class AlreadyAnswered(UsageError):
    """Somebody else's answer was first; it stands."""

    def __init__(
        self,
        *,
        flow_run_id: UUID,
        key: str,
        by: str | None,
        when: datetime | None,
        value: bytes | None = None,
    ) -> None:
        self.flow_run_id = flow_run_id
        self.key = key
        self.by = by
        self.when = when
        self.value = value
        """The JSON of the answer that stands."""
        who = by or "somebody"
        at = f" at {when:%Y-%m-%d %H:%M:%S} UTC" if when else ""
        super().__init__(
            f"pause {key!r} of flow run {flow_run_id} was answered by {who}{at}: this answer was "
            "not stored."
        )


class OwnerSilent(UsageError):
    """The process that waits for an answer says nothing, and it is not known yet whether it lives.

    Nothing was changed. After `retry_seconds` the same call may know more; after the lease time
    (`RUNBUS_LEASE_SECONDS`) of such calls the run has crashed, or its process has come back.
    """

    def __init__(
        self,
        *,
        flow_run_id: UUID,
        retry_seconds: float,
        key: str = "",
        generation: int | None = None,
    ) -> None:
        self.flow_run_id = flow_run_id
        self.retry_seconds = retry_seconds
        self.key = key
        """The pause that was to be answered."""
        self.generation = generation
        super().__init__(
            f"the process of flow run {flow_run_id} says nothing, so maybe nobody waits for the "
            f"answer any more. Try again in {retry_seconds:.3g} s: until it is known, nothing is "
            "changed."
        )


class DeploymentMissing(UsageError, LookupError):
    """There is no deployment of this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"there is no deployment {name!r}: some_flow.serve(name='…') makes flow/name and works "
            "on its runs."
        )


class AlreadyEnded(UsageError):
    """A run has ended, and can neither be cancelled nor go on."""

    def __init__(self, *, flow_run_id: UUID, state: str) -> None:
        self.flow_run_id = flow_run_id
        self.state = state
        super().__init__(f"flow run {flow_run_id} is {state} already.")


class AnswerRefused(UsageError, ValueError):
    """An answer does not fit the form. The run stays paused."""

    def __init__(self, *, flow_run_id: UUID, key: str, problems: dict[str, str]) -> None:
        self.flow_run_id = flow_run_id
        self.key = key
        self.problems = problems
        """Field → what is wrong with it; `` for the answer as a whole."""
        told = "; ".join(
            f"{name}: {problem}" if name else problem for name, problem in problems.items()
        )
        super().__init__(f"the answer does not fit the form: {told}. The run stays paused.")


class CannotPause(UsageError):
    """A run is in no state to pause in."""


class PauseChanged(UsageError):
    """A flow that runs again asks for something else under the key of an earlier pause."""

    def __init__(self, *, flow_run_id: UUID, key: str) -> None:
        self.flow_run_id = flow_run_id
        self.key = key
        super().__init__(
            f"pause {key!r} of flow run {flow_run_id} asked for another type of answer when the "
            "flow ran before: give each pause a key of its own (key='…'), or start a new run."
        )


class NoResult(UsageError, LookupError):
    """A run has nothing to return, or nothing that could be kept."""

    def __init__(self, state: str) -> None:
        self.state = state
        super().__init__(
            f"there is no result: the run is {state}"
            + (
                ", and what it returned cannot be written as JSON or is too large."
                if state == "Completed"
                else "."
            )
        )


class SendRefused(RunbusError):
    """An input was not stored. Nothing else was changed either."""

    def __init__(self, message: str, *, flow_run_id: UUID, key: str) -> None:
        self.flow_run_id = flow_run_id
        self.key = key
        super().__init__(message)


class InputTooLarge(SendRefused, ValueError):
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


class RunFinished(SendRefused):
    """The receiving run has ended and reads no more inputs."""

    def __init__(self, *, flow_run_id: UUID, key: str, state: str) -> None:
        self.state = state
        super().__init__(
            f"flow run {flow_run_id} is {state} and receives nothing more.",
            flow_run_id=flow_run_id,
            key=key,
        )


class StreamFull(SendRefused):
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


class RunFull(SendRefused):
    """A run's inputs take as many bytes as they may (`RUNBUS_MAX_RUN_BYTES`)."""

    def __init__(self, *, flow_run_id: UUID, key: str, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"the inputs of flow run {flow_run_id} may take {limit:,} bytes in all and this one "
            "does not fit: raise RUNBUS_MAX_RUN_BYTES.",
            flow_run_id=flow_run_id,
            key=key,
        )


class KeyInUse(SendRefused):
    """The caller's key already names an input on another stream of the run."""

    def __init__(self, *, flow_run_id: UUID, key: str, stored_as: str) -> None:
        self.stored_as = stored_as
        super().__init__(
            f"the key {key!r} of flow run {flow_run_id} already names an input of type "
            f"{stored_as}: a key names one input of a run, so choose another.",
            flow_run_id=flow_run_id,
            key=key,
        )


class TooMuchUnsent(SendRefused, BufferError):
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


class NotDurable(RunbusError):
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


class ReceiveTimeout(RunbusError, TimeoutError):
    """No input came in time."""

    def __init__(self, *, flow_run_id: UUID, streams: tuple[str, ...], timeout: float) -> None:
        self.flow_run_id = flow_run_id
        self.streams = streams
        self.timeout = timeout
        super().__init__(
            f"no {' or '.join(streams)} came for flow run {flow_run_id} within {timeout:g} s."
        )


class FlowPauseTimeout(RunbusError, TimeoutError):
    """Nobody answered a pause in time."""

    def __init__(self, *, flow_run_id: UUID, key: str) -> None:
        self.flow_run_id = flow_run_id
        self.key = key
        super().__init__(f"nobody answered pause {key!r} of flow run {flow_run_id} in time.")


class RunNotEnded(RunbusError, TimeoutError):
    """A run that is waited for takes longer. It goes on."""

    def __init__(self, *, flow_run_id: UUID, timeout: float) -> None:
        self.flow_run_id = flow_run_id
        self.timeout = timeout
        super().__init__(f"flow run {flow_run_id} has not ended within {timeout:g} s.")


class FlowTimeout(RunbusError, TimeoutError):
    """A flow took longer than its `timeout_seconds`."""

    def __init__(self, *, flow: str, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"flow {flow} took longer than its timeout of {seconds:g} s.")


class RunFailed(RunbusError):
    """A run ended otherwise than by returning."""

    def __init__(self, *, state: str, message: str) -> None:
        self.state = state
        super().__init__(f"the flow run is {state}" + (f": {message}" if message else "."))


class RunLost(RunbusError):
    """A run has passed to another process; nothing more is written for it from this one."""

    def __init__(self, flow_run_id: UUID) -> None:
        self.flow_run_id = flow_run_id
        super().__init__(
            f"flow run {flow_run_id} is not this process's any more: another one has it by now, or "
            "it has ended. This one was frozen or cut off for longer than its lease "
            "(RUNBUS_LEASE_SECONDS), or its server has lost what it had stored."
        )


class EndNotRecorded(RunbusError):
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


class FlowInterrupt(BaseException):
    """Ends a flow from outside. It passes `except Exception`."""

    happened = "was interrupted"

    def __init__(self, flow_run_id: UUID) -> None:
        self.flow_run_id = flow_run_id
        super().__init__(f"flow run {flow_run_id} {self.happened}.")


class FlowRunCancelled(FlowInterrupt):
    """The run was cancelled."""

    happened = "was cancelled"


class FlowRunSuspended(FlowInterrupt):
    """The run leaves its process until it is resumed."""

    happened = "is suspended"


class FlowRunHandedBack(FlowInterrupt):
    """The run's worker ends; another worker goes on with the run."""

    happened = "is handed back"


class WireMismatch(RunbusError):
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


class ServerUnreachable(RunbusError, ConnectionError):
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


class ServerRefused(RunbusError):
    """The server answered a command with an error that asking again will not change."""

    def __init__(self, *, address: str, reply: object) -> None:
        self.address = address
        self.reply = str(reply)
        super().__init__(f"the server at {address} refused: {reply}")


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


class EmbeddedServerError(RunbusError):
    """The embedded server does not start or stop."""
