"""The call is wrong, and nothing was done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.errors.base import UsageError

if TYPE_CHECKING:
    from uuid import UUID


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


class NoCurrentRun(UsageError, LookupError, RuntimeError):
    """No run is current here and none was named, or the code is not a flow's."""

    def __init__(self, verb: str, *, only_in_flow: bool = False) -> None:
        self.verb = verb
        advice = (
            "call it in the code of a flow"
            if only_in_flow
            else "pass flow_run_id=…, or call it inside a run "
            "(`with bound_run(flow_run_id): …`, in async code `async with`)"
        )
        super().__init__(
            f"{verb} needs a flow run: {advice}. A thread that a flow starts has its run where it "
            "has its context: start it with asyncio.to_thread or anyio.to_thread.run_sync, or as "
            "`Thread(target=contextvars.copy_context().run, args=(work,))`."
        )


class NobodyToAnswer(UsageError, LookupError, RuntimeError):
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


class MissingAwait(UsageError, TypeError, AttributeError):
    """A verb or an async flow was called, and its result used without `await`.

    It is an `AttributeError` since it is raised for attributes, which `hasattr` asks for.
    """

    def __init__(self, verb: str, happened: str = "", advice: str = "") -> None:
        self.verb = verb
        happened = happened or f"{verb} was called on an event loop"
        super().__init__(f"{happened}: {advice or f'write `await {verb}`'}.")


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


class AmbiguousRun(UsageError, LookupError):
    """Several runs have this name, or ids that begin so."""

    def __init__(self, text: str, candidates: dict[UUID, str]) -> None:
        self.candidates = candidates
        """The newest of them: their ids and names."""
        those = ", ".join(f"{run_id} ({name})" for run_id, name in candidates.items())
        super().__init__(f"{text!r} may mean {those}: pass more of the id.")


class ParametersRefused(UsageError, ValueError):
    """The parameters for a run do not fit its flow. No run was made."""

    def __init__(self, *, deployment: str, problems: dict[str, str]) -> None:
        self.deployment = deployment
        self.problems = problems
        """Parameter → what is wrong with it; `` for all of them."""
        super().__init__(f"{deployment} does not take these parameters: {_told(problems)}.")


class AnswerRefused(UsageError, ValueError):
    """An answer does not fit the form. The run stays paused."""

    def __init__(self, *, flow_run_id: UUID, key: str, problems: dict[str, str]) -> None:
        self.flow_run_id = flow_run_id
        self.key = key
        self.problems = problems
        """Field → what is wrong with it; `` for the answer as a whole."""
        told = _told(problems)
        super().__init__(f"the answer does not fit the form: {told}. The run stays paused.")


def _told(problems: dict[str, str]) -> str:
    return "; ".join(
        f"{name}: {problem}" if name else problem for name, problem in problems.items()
    )
